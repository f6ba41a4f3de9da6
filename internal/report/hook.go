package report

import (
	"context"
	"errors"
	"runtime"
	"sync"

	"github.com/bsrpc/bsrpc/internal/errtree"
	"github.com/bsrpc/bsrpc/internal/fault"
)

// Guard calls a hook and returns its error. It logs a panic or runtime.Goexit in the
// hook, and returns an error for it.
func (l *Log) Guard(hook string, f func() error) error { return <-l.Start(hook, f) }

// Call is Guard on the goroutine of its caller, which runtime.Goexit in the hook ends.
func (l *Log) Call(hook string, f func() error) (err error) {
	defer func() {
		if what := recover(); what != nil {
			err = panicked(hook, l.AddPanic(Hook, "bsrpc: hook panicked", what, "hook", hook))
		}
	}()
	return insideHook(f)
}

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

// Await is Guard until ctx ends, and then returns its error. f may continue.
func (l *Log) Await(ctx context.Context, hook string, f func() error) error {
	select {
	case err := <-l.Start(hook, f):
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A HookLimit limits the calls of a hook under way, those included which Await has given up.
// One peer has at most what the others leave free, so half of the limit alone, and there is
// always room for another one. The zero value allows none. It is safe for concurrent use.
type HookLimit struct {
	Most int

	mu     sync.Mutex // guards the rest
	all    int
	byPeer map[string]int
}

// ErrTooMany is the error of Await if too many calls are under way.
var ErrTooMany = errors.New("too many calls of the hook are under way")

// Await is Log.Await within the limit, for a call that a peer has caused.
func (h *HookLimit) Await(ctx context.Context, l *Log, hook, peer string, f func() error) error {
	if !h.begin(peer) {
		return ErrTooMany
	}
	return l.Await(ctx, hook, func() error {
		defer h.end(peer)
		return f()
	})
}

// begin counts a call. It reports false if there is no room.
func (h *HookLimit) begin(peer string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byPeer[peer] >= h.Most-h.all {
		return false
	}
	if h.byPeer == nil {
		h.byPeer = make(map[string]int)
	}
	h.all++
	h.byPeer[peer]++
	return true
}

// end uncounts a call.
func (h *HookLimit) end(peer string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all--
	if h.byPeer[peer]--; h.byPeer[peer] == 0 {
		delete(h.byPeer, peer)
	}
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
func insideHook(f func() error) error { return errtree.Bounded(f()) }

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
