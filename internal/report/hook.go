package report

import (
	"runtime"

	"github.com/bsrpc/bsrpc/internal/fault"
)

// Guard calls a hook. A panic, or runtime.Goexit, is its error.
func (l *Log) Guard(hook string, f func() error) error { return <-l.Start(hook, f) }

// Start calls a hook on a new goroutine. The channel, which is buffered, receives its
// error.
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

func panicked(hook, id string) *fault.Fault {
	e := fault.New(fault.Internal, fault.NotRun, "panic in %s", hook)
	e.LogID = id
	return e
}

// insideHook calls a hook. InHook finds its frame on the stack.
//
//go:noinline
func insideHook(f func() error) error { return f() }

const hookFrame = "github.com/bsrpc/bsrpc/internal/report.insideHook"

// InHook reports whether a hook has called its caller, on the same goroutine.
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
