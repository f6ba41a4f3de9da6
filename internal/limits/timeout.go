package limits

import (
	"context"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
)

// A Timeout is the time limit of one call, and its source: the deadline of its context,
// or the library, which then knows the length. It belongs to the goroutine of the call.
type Timeout struct {
	deadline time.Time     // of the context; zero: none
	after    time.Duration // what the library has set
	began    time.Duration // with after: when, by Monotonic; set as the call is made
	by       string        // what has set it, "" if the library has not
	waited   bool          // the call has waited since
	timer    *time.Timer   // kept for the next call
}

// What sets the time of a call whose context has no deadline.
const (
	ByMethod  = "timeout= of the method"
	ByDefault = "DefaultCallTimeout"
)

// Monotonic is a clock that costs half of time.Now, which reads two.
func Monotonic() time.Duration { return time.Since(epoch) }

// MonotonicAt returns what Monotonic was at a time.
func MonotonicAt(at time.Time) time.Duration { return at.Sub(epoch) }

var epoch = time.Now()

// Begin sets the limit of a call whose context has no deadline to after, unless that is
// 0. by names the source of the limit. Start follows.
func (t *Timeout) Begin(ctx context.Context, after time.Duration, by string) {
	*t = Timeout{timer: t.timer}
	if at, ok := ctx.Deadline(); ok {
		t.deadline = at
	} else if after > 0 {
		t.after, t.by = after, by
	}
}

// Remaining returns the time left. ok is false if there is no end.
func (t *Timeout) Remaining() (left time.Duration, ok bool) {
	switch {
	case t.by != "":
		return t.began + t.after - Monotonic(), true
	case t.deadline.IsZero():
		return 0, false
	}
	return time.Until(t.deadline), true
}

// Expired returns a channel that brings the end of the call's time, until Stop,
// if the library set one: the caller's context has a timer of its own.
func (t *Timeout) Expired() <-chan time.Time {
	if t.by == "" {
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

// Start sets when a call began whose limit is the library's.
func (t *Timeout) Start(now time.Duration) { t.began = now }

// Set reports whether the library has set the limit.
func (t *Timeout) Set() bool { return t.by != "" }

// Wait says that the call has to wait before its request is written, so that Left reads
// the clock.
func (t *Timeout) Wait() { t.waited = true }

// Stop releases the timer of Expired.
func (t *Timeout) Stop() {
	if t.timer != nil {
		t.timer.Stop()
	}
}

// Left returns the time left as the wire has it: microseconds, 0 for none.
// expired says that there is none left.
func (t *Timeout) Left() (us uint64, expired bool) {
	left, ok := t.after, t.by != ""
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

// Fault returns the error of a call whose time is over.
func (t *Timeout) Fault(outcome fault.Outcome) *fault.Fault {
	e := fault.New(fault.DeadlineExceeded, outcome, "%w", context.DeadlineExceeded)
	if t.by != "" {
		advice := "give the context a deadline, or the method timeout="
		if t.by == ByMethod {
			advice = "change it, or give the context a deadline"
		}
		e.Message = fault.Prefix + "no answer in " + t.after.String() + " (" + t.by + "); " + advice
	}
	return e
}
