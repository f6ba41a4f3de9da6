package bsrpc

import (
	"runtime"

	"github.com/bsrpc/bsrpc/internal/fault"
)

// guard calls a user's hook: a panic, or runtime.Goexit, is its error.
func (r *reports) guard(hook string, f func() error) error { return <-r.start(hook, f) }

// start calls a user's hook on a goroutine of its own. The channel gets its error,
// and has room for it.
func (r *reports) start(hook string, f func() error) <-chan error {
	result := make(chan error, 1)
	go func() {
		var err error
		returned := false
		defer func() {
			if !returned {
				id := r.addPanic(reportHook, "bsrpc: hook panicked", recover(), "hook", hook)
				err = hookPanicked(hook, id)
			}
			result <- err
		}()
		err = insideHook(f)
		returned = true
	}()
	return result
}

func hookPanicked(hook, id string) *fault.Fault {
	e := fault.New(fault.Internal, fault.NotRun, "panic in %s", hook)
	e.LogID = id
	return e
}

// insideHook calls a hook. Its frame on a stack is how inHook knows one.
//
//go:noinline
func insideHook(f func() error) error { return f() }

const hookFrame = "github.com/bsrpc/bsrpc.insideHook"

// inHook reports whether a hook has called its caller, on the same goroutine.
func inHook() bool {
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
