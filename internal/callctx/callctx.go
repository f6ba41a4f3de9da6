// Package callctx is the context of a call: when it ends, what it has received from the caller
// and collects for the reply, and what contexts add to the calls made with them. It knows
// neither connections nor methods.
package callctx

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc/internal/limits"
)

// A Context is the context of one call at a server, and of an intercepted call at a
// client. It takes one allocation as long as users only ask for the deadline, the error and
// values: Done and AfterFunc create the channel and the timer.
type Context struct {
	context.Context               // the connection's, or the caller's at a client
	Until           time.Duration // the deadline, by limits.Monotonic; 0 for none
	AtClient        bool          // all values are those of Context
	Timed           bool          // Expire is called at Until, so the Context needs no timer

	head  replyHead // guarded by mu, as all after it
	ended end
	over  bool // the call is, streams included
	mu    sync.Mutex
	extra *extra // nil for most
	watch *watch // nil until a user waits
}

// An end is why a Context has ended.
type end uint8

const (
	notEnded end = iota
	canceled
	late // at the deadline
	lost // with the connection, or with the context of the caller at a client
)

// own returns the error of a context that has ended first.
func (e end) own() error {
	if e == late {
		return context.DeadlineExceeded
	}
	return context.Canceled
}

// handlerKey is the context key of a handler's *Context.
type handlerKey struct{}

// Of returns the context of the handler from which ctx is derived; nil if there is none.
func Of(ctx context.Context) *Context {
	if ctx == nil {
		return nil
	}
	x, _ := ctx.Value(handlerKey{}).(*Context)
	return x
}

// Own returns the Context that ctx is, perhaps within a struct; nil if it is none.
func Own(ctx context.Context) *Context {
	if x, ok := ctx.(interface{ itself() *Context }); ok {
		return x.itself()
	}
	return nil
}

func (x *Context) itself() *Context { return x }

// Format implements fmt.Formatter. It prints nothing of the call.
func (x *Context) Format(f fmt.State, _ rune) { io.WriteString(f, "bsrpc: a handler's context") }

// LogValue implements slog.LogValuer.
func (x *Context) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(x)) }

// A watch is what ends with a Context.
type watch struct {
	done   chan struct{}
	timer  *time.Timer
	unlink func() bool // from the connection's context
	after  []func()    // nil after its stop
	room   [1]func()   // the memory of the first of after
}

// Deadline returns the deadline of the caller, or the earlier one of a transport or, in a callback,
// of the call.
func (x *Context) Deadline() (at time.Time, ok bool) {
	at, ok = x.Context.Deadline()
	if own := limits.TimeOf(x.Until); x.Until != 0 && !(ok && at.Before(own)) {
		return own, true
	}
	return at, ok
}

// Expired reports whether the caller's deadline has passed, whatever ended the call. A nil
// Context has no deadline.
func (x *Context) Expired() bool {
	return x != nil && x.Until != 0 && limits.Monotonic() >= x.Until
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
func (x *Context) Value(key any) any {
	if key == causeKey && x.endedItself() {
		return nil
	}
	if x.AtClient {
		return x.Context.Value(key)
	}
	switch key {
	case outgoingKey{}:
		return x.outgoing()
	case handlerKey{}:
		return x
	case limits.HandlerEnd{}:
		return x.Until
	}
	return x.Context.Value(key)
}

// Done is closed when the caller cancels the call, at its deadline, when the connection
// ends, and when the handler has returned.
func (x *Context) Done() <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.watchLocked().done
}

// watchLocked returns what watches the context, and begins it at the first use.
func (x *Context) watchLocked() *watch {
	if x.watch != nil {
		return x.watch
	}
	w := &watch{done: make(chan struct{})}
	x.watch = w
	if x.ended != notEnded {
		close(w.done)
		return w
	}
	if x.Until != 0 && !x.Timed {
		w.timer = time.AfterFunc(max(1, x.Until-limits.Monotonic()), func() { x.finish(late) })
	}
	w.unlink = func() bool { return false }
	if x.Context.Done() != nil { // it ends
		w.unlink = context.AfterFunc(x.Context, func() { x.finish(lost) })
	}
	return w
}

// Err returns why Done is closed.
func (x *Context) Err() error {
	x.mu.Lock()
	ended := x.ended
	x.mu.Unlock()
	switch {
	case ended == lost:
		return x.Context.Err()
	case ended != notEnded:
		return ended.own()
	case x.Expired(): // the connection may have ended later
		x.finish(late)
	case x.Context.Err() != nil:
		x.finish(lost)
	default:
		return nil
	}
	return x.Err()
}

// AfterFunc spares context.AfterFunc and derived contexts a waiting goroutine.
func (x *Context) AfterFunc(f func()) (stop func() bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ended != notEnded {
		go f()
		return func() bool { return false }
	}
	w := x.watchLocked()
	i := len(w.after)
	if i == 0 {
		w.after = w.room[:0]
	}
	w.after = append(w.after, f)
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

// OnGiveUp calls f when the call is cancelled, and when its deadline is near.
func (x *Context) OnGiveUp(f func()) (stop func()) {
	stopEnd, stopLate := x.AfterFunc(f), x.beforeDeadline(f)
	return func() {
		stopEnd()
		stopLate()
	}
}

// beforeDeadline calls f shortly before the deadline. It does nothing without one.
func (x *Context) beforeDeadline(f func()) (stop func() bool) {
	if x.Until == 0 {
		return func() bool { return false }
	}
	return time.AfterFunc(max(1, limits.BeforeEnd(x.Until-limits.Monotonic())), f).Stop
}

// CancelByPeer ends the context after a CANCEL of the caller, and returns the error of the
// context. A caller sends it also at its deadline, at about the time at which this end finds
// the same: within margin. x may be nil.
func (x *Context) CancelByPeer(margin time.Duration) error {
	why := canceled
	if x != nil {
		if x.Until != 0 && x.Until-limits.Monotonic() < margin {
			why = late
		}
		x.finish(why)
	}
	return why.own()
}

// Cancel ends the context, unless it has ended.
func (x *Context) Cancel() { x.finish(canceled) }

// Expire ends the context as its deadline does, unless it has ended.
func (x *Context) Expire() { x.finish(late) }

// finish ends the context, unless it has ended.
func (x *Context) finish(why end) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.endLocked(why)
}

// endedItself reports whether the context has ended, and not with its parent.
func (x *Context) endedItself() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.ended == canceled || x.ended == late
}

// SendHead notes that the head of a reply is about to be sent, before a stream.
func (x *Context) SendHead() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.head = headSent
}

// EndReplied ends the context of a call whose reply is about to be sent. x may be nil.
func (x *Context) EndReplied() {
	if x != nil {
		x.endReplied()
	}
}

func (x *Context) endReplied() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.head, x.over = headSent, true
	x.endLocked(canceled)
}

// IsOver reports whether the call is over, streams included.
func (x *Context) IsOver() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.over
}

// endLocked ends the context, once.
func (x *Context) endLocked(why end) {
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
			go f()
		}
	}
}
