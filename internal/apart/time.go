package apart

import (
	"cmp"
	"context"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
)

// Until returns the end of the time of a call at a server, by limits.Monotonic; 0 for none. It
// is the earlier one of that of the request, with this timeout, and of the deadline of ctx.
// A timeout of 0 is none, and a negative one is over already. It is a duration, and not a time of
// the caller, so the clocks of both ends need not agree. now is the time by limits.Monotonic.
func Until(ctx context.Context, timeout, now time.Duration) (until time.Duration) {
	if timeout != 0 {
		// In the bubble of a test the clock is below zero: its base is from before.
		until = cmp.Or(now+timeout, 1)
		if timeout > 0 && until < now { // an overflow: it ends after centuries
			until = 0
		}
	}
	if at, ok := ctx.Deadline(); ok {
		if end := now + time.Until(at); until == 0 || end < until {
			until = cmp.Or(end, 1)
		}
	}
	return until
}

// Late returns the refusal of a call whose time is over, nil before. Such a call has not run: its
// caller has given up, and may have sent it again.
func Late(until time.Duration) *fault.Fault {
	if until == 0 || limits.Monotonic() < until {
		return nil
	}
	return fault.FromContext(context.DeadlineExceeded, fault.NotRun)
}
