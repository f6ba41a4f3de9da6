package limits

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
)

// A Timeout is the time limit of one call: either the deadline of its context, or a
// duration set by the library. The context has a timer of its own; a duration needs one
// here, with the advantage that sending it requires no clock. Only the goroutine of the
// call may use a Timeout.
type Timeout struct {
	deadline time.Duration // of the context, by Monotonic; 0 for none
	after    time.Duration // set by the library; valid if by is not byNone
	began    time.Duration // beginning of after, by Monotonic
	left     time.Duration // of after, at Start
	by       Source
	waited   bool        // the call waited after Start
	earlier  bool        // the call began before Start
	timer    *time.Timer // reused by the next call
}

// A Source is where the library has a limit from.
type Source uint8

// The sources of limits.
const (
	byNone Source = iota // the library set no limit
	ByMethod
	ByDefault
)

// String returns the name of a source in errors.
func (s Source) String() string {
	if s == ByMethod {
		return "timeout= of the method"
	}
	return "DefaultCallTimeout"
}

// Monotonic returns the time since the start of the program. It costs half of time.Now,
// because it reads only the monotonic clock.
func Monotonic() time.Duration { return time.Since(epoch) }

// MonotonicAt returns the value of Monotonic at a time with a monotonic reading.
func MonotonicAt(at time.Time) time.Duration { return at.Sub(epoch) }

// At returns the time at which Monotonic has returned d, for comparisons with others: its date is
// that of the system's clock at the start of the program, and d later.
func At(d time.Duration) time.Time { return epoch.Add(d) }

// deadlineAt is MonotonicAt for any time. One without a monotonic reading, such as a date, is as far
// away as the clock says now, wherever that has stood at the start of the program.
func deadlineAt(at time.Time) time.Duration {
	if at == at.Round(0) {
		now := time.Now()
		return at.Sub(now) + now.Sub(epoch)
	}
	return at.Sub(epoch)
}

// farAway is as good as the end of time, and may be added to any Monotonic.
const farAway = 1 << 62

// TimeOf returns the time at which Monotonic returns d.
func TimeOf(d time.Duration) time.Time {
	now := time.Now()
	return now.Add(d - MonotonicAt(now))
}

var epoch = time.Now()

// Begin resets t for a new call. If ctx has no deadline and after is not 0, the limit is
// after, and by names its source. Start must follow before the other methods.
func (t *Timeout) Begin(ctx context.Context, after time.Duration, by Source) {
	*t = Timeout{timer: t.timer}
	if at, ok := ctx.Deadline(); ok {
		t.deadline = cmp.Or(max(-farAway, min(farAway, deadlineAt(at))), 1)
	} else if after > 0 {
		t.after, t.left, t.by = after, after, by
	}
}

// BeginUntil resets t for a call that began earlier, with the limit of Begin: it ends at a
// time by Monotonic that the context may have as its deadline.
func (t *Timeout) BeginUntil(end, after time.Duration, by Source) {
	*t = Timeout{timer: t.timer, after: after, by: by, began: end - after, waited: true, earlier: true}
}

// End returns the end of a limit set by the library, by Monotonic; 0 without one.
func (t *Timeout) End() time.Duration {
	if t.by == byNone {
		return 0
	}
	return cmp.Or(t.began+t.after, 1)
}

// Remaining returns the time left, possibly negative. ok is false if there is no limit.
func (t *Timeout) Remaining() (left time.Duration, ok bool) {
	switch {
	case t.by != byNone:
		return t.began + t.after - Monotonic(), true
	case t.deadline == 0:
		return 0, false
	}
	return t.deadline - Monotonic(), true
}

// Expired returns a channel that receives a value at the end of a limit set by the
// library, or nil without one. Stop must follow.
func (t *Timeout) Expired() <-chan time.Time {
	if t.by == byNone {
		return nil
	}
	left, _ := t.Remaining()
	if t.timer == nil {
		t.timer = time.NewTimer(left)
	} else {
		t.timer.Reset(left)
	}
	return t.timer.C
}

// Start notes the time, by Monotonic. It is the beginning of the call, except after
// BeginUntil.
func (t *Timeout) Start(now time.Duration) {
	if t.earlier {
		t.left, t.waited = t.began+t.after-now, false
	} else {
		t.began = now
	}
}

// Set reports whether the library set the limit.
func (t *Timeout) Set() bool { return t.by != byNone }

// MarkWaited must be called if the call waits between Start and the writing of its request.
// Left then reads the clock; otherwise it assumes that no time has passed.
func (t *Timeout) MarkWaited() { t.waited = true }

// Stop releases the timer of Expired.
func (t *Timeout) Stop() {
	if t.timer != nil {
		t.timer.Stop()
	}
}

// Forget frees the timer of a limit that is kept but not waited for again.
func (t *Timeout) Forget() { t.timer = nil }

// Left returns the time left in the unit of the wire: microseconds, 0 for no limit or a
// day or more. expired reports whether the limit has passed.
func (t *Timeout) Left() (us uint64, expired bool) {
	left, ok := t.left, t.by != byNone
	if !ok || t.waited {
		left, ok = t.Remaining()
	}
	if !ok {
		return 0, false
	}
	if left <= 0 {
		return 0, true
	}
	if left >= 24*time.Hour {
		return 0, false
	}
	return max(1, uint64(left.Microseconds())), false
}

// Fault returns the error of a call at the end of its limit. The message names the
// source of the limit.
func (t *Timeout) Fault(outcome fault.Outcome) *fault.Fault {
	e := fault.New(fault.DeadlineExceeded, outcome, "%w", context.DeadlineExceeded)
	if t.by != byNone {
		advice := "give the context a deadline, or the method timeout="
		if t.by == ByMethod {
			advice = "change it, or give the context a deadline"
		}
		e.Message = fault.Prefix + "no answer in " + t.after.String() + " (" + t.by.String() + "); " + advice
	}
	return e
}

// ContextFault returns the error of a call whose context has ended with err. A limit set by
// the library may end the context as well, see BeginUntil.
func (t *Timeout) ContextFault(err error, outcome fault.Outcome) *fault.Fault {
	if t.by != byNone && errors.Is(err, context.DeadlineExceeded) {
		return t.Fault(outcome)
	}
	return fault.FromContext(err, outcome)
}

// BeforeEnd returns nine tenths of the remaining time, or all but 20 ms. A wait in vain is given
// up then, so that the reason for it reaches the caller in time.
func BeforeEnd(left time.Duration) time.Duration {
	return left - min(left/10, 20*time.Millisecond)
}

// HandlerEnd is the context key of the deadline of a handler, a time.Duration by Monotonic; 0 for
// none.
type HandlerEnd struct{}

// BeforeHandlerEnd returns the context for a wait of a call. It is ctx, unless that ends with a
// handler's deadline: then it ends at BeforeEnd of that.
func BeforeHandlerEnd(ctx context.Context) (context.Context, context.CancelFunc) {
	end, _ := ctx.Value(HandlerEnd{}).(time.Duration)
	at, ok := ctx.Deadline()
	if end == 0 || !ok || deadlineAt(at) > end { // a context.WithoutCancel may be among its parents
		return ctx, func() {}
	}
	now := Monotonic()
	return context.WithDeadline(ctx, TimeOf(now+BeforeEnd(end-now)))
}

// OwnFault returns the fault of this end for a call the peer has ended as timed out or
// cancelled, if this end would have ended it for the same reason: the clocks of both
// ends race. Otherwise it returns nil. expired says that the time was over at the peer.
func (t *Timeout) OwnFault(ctx context.Context, expired bool, remote *fault.Fault) *fault.Fault {
	switch remote.Code {
	case fault.Canceled:
		if err := ctx.Err(); err != nil {
			return fault.FromContext(err, remote.Outcome)
		}
	case fault.DeadlineExceeded:
		left, limited := t.Remaining()
		if !limited || left > 0 && !expired {
			return nil
		}
		own := t.Fault(remote.Outcome) // names the source of the limit
		if remote.Outcome == fault.NotRun {
			own.Message = remote.Message // names the reason for the wait
		}
		return own
	}
	return nil
}

// Plain returns ctx without its AfterFunc, if that is code of the user: package context calls what it
// returns on the goroutine that ends a call, and it may hang or panic. The context of a handler
// keeps its own, which spares a goroutine.
func Plain(ctx context.Context) context.Context {
	switch ctx.(type) {
	case interface{ OnGiveUp(func()) func() }: // of internal/callctx
	case interface {
		AfterFunc(func()) (stop func() bool)
	}:
		return struct{ context.Context }{ctx}
	}
	return ctx
}
