package bsrpc

import (
	"context"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc/internal/transport"
)

// A callContext is the context of one call at a server, and of an intercepted call at a
// client. It takes one allocation as long as users only ask for the deadline, the error and
// values: Done and AfterFunc create the channel and the timer.
type callContext struct {
	context.Context // the connection's, or the caller's at a client
	deadline        time.Time
	heldGroups      []uint64 // ids of the exclusive groups held by the caller
	call            *Call    // at a client, where all values are those of Context; else nil

	mu     sync.Mutex // guards the rest
	head   replyHead
	lost   bool          // err is that of the connection, or of the caller at a client
	over   bool          // the call is, streams included
	meta   *callMetadata // nil without any
	err    error
	done   chan struct{}
	timer  *time.Timer
	unlink func() bool // from the connection's context
	after  []*func()   // nil after its stop
}

// Deadline returns the deadline of the caller.
func (x *callContext) Deadline() (time.Time, bool) { return x.deadline, !x.deadline.IsZero() }

// expired reports whether the caller's deadline has passed, whatever ended the call. A nil
// callContext has no deadline.
func (x *callContext) expired() bool {
	return x != nil && !x.deadline.IsZero() && !time.Now().Before(x.deadline)
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
	x.watchLocked()
	return x.done
}

func (x *callContext) watchLocked() {
	if x.done != nil {
		return
	}
	x.done = make(chan struct{})
	if x.err != nil {
		close(x.done)
		return
	}
	if !x.deadline.IsZero() {
		x.timer = time.AfterFunc(time.Until(x.deadline), func() { x.end(context.DeadlineExceeded) })
	}
	parent := x.Context
	x.unlink = context.AfterFunc(parent, func() { x.endWith(parent) })
}

// Err returns why Done is closed.
func (x *callContext) Err() error {
	x.mu.Lock()
	err := x.err
	x.mu.Unlock()
	switch {
	case err != nil:
		return err
	case x.expired(): // the connection may have ended later
		x.end(context.DeadlineExceeded)
	case x.Context.Err() != nil:
		x.endWith(x.Context)
	default:
		return nil
	}
	return x.Err()
}

// AfterFunc spares context.AfterFunc and derived contexts a waiting goroutine.
func (x *callContext) AfterFunc(f func()) (stop func() bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err != nil {
		go f()
		return func() bool { return false }
	}
	x.watchLocked()
	i := len(x.after)
	x.after = append(x.after, &f)
	return func() bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		if x.err != nil || x.after[i] == nil {
			return false
		}
		x.after[i] = nil
		return true
	}
}

// graceTime is the longest time before its deadline at which a waiting call is given up, so
// that the reason reaches the caller in time.
const graceTime = 20 * time.Millisecond

// beforeDeadline calls f when nine tenths of the remaining time have passed, or all but
// graceTime. It does nothing without a deadline.
func (x *callContext) beforeDeadline(f func()) (stop func() bool) {
	if x.deadline.IsZero() {
		return func() bool { return false }
	}
	left := time.Until(x.deadline)
	return time.AfterFunc(left-min(left/10, graceTime), f).Stop
}

// whyCanceled returns the meaning of a CANCEL: a caller sends it also at its deadline, at
// about the time at which this end finds the same.
func (x *callContext) whyCanceled() error {
	if !x.deadline.IsZero() && time.Until(x.deadline) < transport.WatchdogPeriod {
		return context.DeadlineExceeded
	}
	return context.Canceled
}

// end sets the context's error, unless it has one.
func (x *callContext) end(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.endLocked(err)
}

// endWith ends the context with its parent.
func (x *callContext) endWith(parent context.Context) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.lost = x.lost || x.err == nil
	x.endLocked(parent.Err())
}

// endedItself reports whether the context has ended, and not with its parent.
func (x *callContext) endedItself() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.err != nil && !x.lost
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
	x.endLocked(context.Canceled)
}

// isOver reports whether the call is over, streams included.
func (x *callContext) isOver() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.over
}

func (x *callContext) endLocked(err error) {
	if x.err != nil {
		return
	}
	x.err = err
	if x.done == nil {
		return
	}
	close(x.done)
	if x.timer != nil {
		x.timer.Stop()
	}
	x.unlink()
	for _, f := range x.after {
		if f != nil {
			go (*f)()
		}
	}
}
