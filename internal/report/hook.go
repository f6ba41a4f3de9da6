package report

import (
	"runtime"

	"github.com/bsrpc/bsrpc/internal/fault"
)

// Guard calls a hook and returns its error. It logs a panic or runtime.Goexit in the
// hook, and returns an error for it.
func (l *Log) Guard(hook string, f func() error) error { return <-l.Start(hook, f) }

// Start is Guard without waiting. The channel receives the error. It is buffered, so
// that the goroutine ends even if the caller has stopped waiting.
func (l *Log) Start(hook string, f func() error) <-chan error {
	result := make(chan error, 1)
	go func() {
		var err error
		returned := false
		defer func() {
			if !returned {
				id := l.AddPanic(Hook, "bsrpc: hook panicked", recover(), "hook", hook)
				err = panicked(hook, id)
			}
			result <- err
		}()
		err = insideHook(f)
		returned = true
	}()
	return result
}

// panicked returns the error of a hook after a panic. id is that of its line in the log.
func panicked(hook, id string) *fault.Fault {
	e := fault.New(fault.Internal, fault.NotRun, "panic in %s", hook)
	e.LogID = id
	return e
}

// insideHook calls a hook. It must not be inlined: InHook finds its frame on the stack.
//
//go:noinline
func insideHook(f func() error) error { return f() }

const hookFrame = "github.com/bsrpc/bsrpc/internal/report.insideHook"

// InHook reports whether its caller was called by a hook, directly or not, on the same
// goroutine. Functions that wait for hooks use it to avoid waiting for themselves.
func InHook() bool {
	pcs := make([]uintptr, 64)
	n := runtime.Callers(2, pcs)
	for n == len(pcs) {
		pcs = make([]uintptr, 2*len(pcs))
		n = runtime.Callers(2, pcs)
	}
	frames := runtime.CallersFrames(pcs[:n])
	for {
		f, more := frames.Next()
		if f.Function == hookFrame {
			return true
		}
		if !more {
			return false
		}
	}
}
