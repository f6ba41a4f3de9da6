package apart

import (
	"cmp"
	"context"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
)

// Until returns the end of the time of a request at a server, by limits.Monotonic; 0 for none.
// A timeout of 0 is none, and a negative one is over already. It is a duration, and not a time of
// the caller, so the clocks of both ends need not agree. now is the time by limits.Monotonic. A
// deadline of ctx shortly before is the same time, seen by the transport. An earlier one is its own
// limit: it ends the call, and says nothing about the time of the caller.
func Until(ctx context.Context, timeout, now time.Duration) (until time.Duration) {
	if timeout != 0 {
		// In the bubble of a test the clock is below zero: its base is from before.
		until = cmp.Or(now+timeout, 1)
		if timeout > 0 && until < now { // an overflow: it ends after centuries
			until = 0
		}
	}
	if at, ok := ctx.Deadline(); ok && until != 0 {
		if end := now + time.Until(at); end < until && end-now >= limits.BeforeEnd(until-now) {
			until = cmp.Or(end, 1)
		}
	}
	return until
}

// Late returns the refusal of a call whose time, or that of the transport, is over, nil before. Such
// a call has not run: its caller has given up, and may have sent it again.
func Late(ctx context.Context, until time.Duration) *fault.Fault {
	if IsOver(until) || ctx.Err() == context.DeadlineExceeded {
		return fault.FromContext(context.DeadlineExceeded, fault.NotRun)
	}
	return nil
}

// IsOver reports whether the time of a request is over.
func IsOver(until time.Duration) bool { return until != 0 && limits.Monotonic() >= until }
