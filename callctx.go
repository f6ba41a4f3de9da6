package bsrpc

import (
	"context"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/transport"
)

// A callContext is the context of one call at a server, and of an intercepted call at a
// client. It takes one allocation as long as users only ask for the deadline, the error and
// values: Done and AfterFunc create the channel and the timer.
type callContext struct {
	context.Context               // the connection's, or the caller's at a client
	deadline        time.Duration // by limits.Monotonic; 0 for none
	call            *Call         // at a client, where all values are those of Context; else nil

	mu    sync.Mutex // guards the rest
	head  replyHead
	ended contextEnd
	over  bool          // the call is, streams included
	extra *callExtra    // nil for most
	watch *contextWatch // nil until a user waits
}

// A contextEnd is why a callContext has ended.
type contextEnd uint8

const (
	notEnded contextEnd = iota
	endedCanceled
	endedLate // at the deadline
	endedLost // with the connection, or with the context of the caller at a client
)

// own returns the error of a context that has ended first.
func (e contextEnd) own() error {
	if e == endedLate {
		return context.DeadlineExceeded
	}
	return context.Canceled
}

// A contextWatch is what ends with a callContext.
type contextWatch struct {
	done   chan struct{}
	timer  *time.Timer
	unlink func() bool // from the connection's context
	after  []*func()   // nil after its stop
}

// Deadline returns the deadline of the caller.
func (x *callContext) Deadline() (at time.Time, ok bool) {
	if x.deadline == 0 {
		return at, false
	}
	return limits.TimeOf(x.deadline), true
}

// expired reports whether the caller's deadline has passed, whatever ended the call. A nil
// callContext has no deadline.
func (x *callContext) expired() bool {
	return x != nil && x.deadline != 0 && limits.Monotonic() >= x.deadline
}

// causeKey is the key by which context.Cause finds the cause of a context; it is unexported
// there.
var causeKey = func() (key any) {
	context.Cause(keyCatcher{context.Background(), &key})
	return key
}()

// A keyCatcher stores the key of a Value. It has ended, because context.Cause looks no
// further otherwise.
type keyCatcher struct {
	context.Context
	key *any
}

func (c keyCatcher) Err() error { return context.Canceled }

func (c keyCatcher) Value(key any) any {
	*c.key = key
	return nil
}

// Value returns the library's own values of the call, and those of the session. A call that
// ended first has no cause of its connection.
func (x *callContext) Value(key any) any {
	if key == causeKey && x.endedItself() {
		return nil
	}
	if x.call != nil {
		return x.Context.Value(key)
	}
	switch key {
	case outgoingKey{}:
		return x.outgoing()
	case callKey{}:
		return x
	}
	return x.Context.Value(key)
}

// Done is closed when the caller cancels the call, at its deadline, when the connection
// ends, and when the handler has returned.
func (x *callContext) Done() <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.watchLocked().done
}

// watchLocked returns what watches the context, and begins it at the first use.
func (x *callContext) watchLocked() *contextWatch {
	if x.watch != nil {
		return x.watch
	}
	w := &contextWatch{done: make(chan struct{})}
	x.watch = w
	if x.ended != notEnded {
		close(w.done)
		return w
	}
	if x.deadline != 0 {
		w.timer = time.AfterFunc(x.deadline-limits.Monotonic(), func() { x.end(endedLate) })
	}
	w.unlink = context.AfterFunc(x.Context, func() { x.end(endedLost) })
	return w
}

// Err returns why Done is closed.
func (x *callContext) Err() error {
	x.mu.Lock()
	ended := x.ended
	x.mu.Unlock()
	switch {
	case ended == endedLost:
		return x.Context.Err()
	case ended != notEnded:
		return ended.own()
	case x.expired(): // the connection may have ended later
		x.end(endedLate)
	case x.Context.Err() != nil:
		x.end(endedLost)
	default:
		return nil
	}
	return x.Err()
}

// AfterFunc spares context.AfterFunc and derived contexts a waiting goroutine.
func (x *callContext) AfterFunc(f func()) (stop func() bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ended != notEnded {
		go f()
		return func() bool { return false }
	}
	w := x.watchLocked()
	i := len(w.after)
	w.after = append(w.after, &f)
	return func() bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		if x.ended != notEnded || w.after[i] == nil {
			return false
		}
		w.after[i] = nil
		return true
	}
}

// graceTime is the longest time before its deadline at which a waiting call is given up, so
// that the reason reaches the caller in time.
const graceTime = 20 * time.Millisecond

// beforeDeadline calls f shortly before the deadline. It does nothing without one.
func (x *callContext) beforeDeadline(f func()) (stop func() bool) {
	if x.deadline == 0 {
		return func() bool { return false }
	}
	return time.AfterFunc(beforeEnd(x.deadline-limits.Monotonic()), f).Stop
}

// beforeEnd returns nine tenths of the remaining time, or all but graceTime.
func beforeEnd(left time.Duration) time.Duration { return left - min(left/10, graceTime) }

// whyCanceled returns the meaning of a CANCEL: a caller sends it also at its deadline, at
// about the time at which this end finds the same.
func (x *callContext) whyCanceled() contextEnd {
	if x.deadline != 0 && x.deadline-limits.Monotonic() < transport.WatchdogPeriod {
		return endedLate
	}
	return endedCanceled
}

// end ends the context, unless it has ended.
func (x *callContext) end(why contextEnd) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.endLocked(why)
}

// endedItself reports whether the context has ended, and not with its parent.
func (x *callContext) endedItself() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.ended == endedCanceled || x.ended == endedLate
}

// sendHead notes that the head of a reply is about to be sent, before a stream.
func (x *callContext) sendHead() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.head = headSent
}

// endReplied ends the context of a call whose reply is about to be sent.
func (x *callContext) endReplied() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.head, x.over = headSent, true
	x.endLocked(endedCanceled)
}

// isOver reports whether the call is over, streams included.
func (x *callContext) isOver() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.over
}

// endLocked ends the context, once.
func (x *callContext) endLocked(why contextEnd) {
	if x.ended != notEnded {
		return
	}
	x.ended = why
	w := x.watch
	if w == nil {
		return
	}
	close(w.done)
	if w.timer != nil {
		w.timer.Stop()
	}
	w.unlink()
	for _, f := range w.after {
		if f != nil {
			go (*f)()
		}
	}
}
