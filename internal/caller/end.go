package caller

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/identity"
	"github.com/bsrpc/bsrpc/internal/option"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/tally"
)

// An End is what the calls of one end share. It never changes, except for its counters. It has
// funcs in place of methods, as a Method.
type End struct {
	Settings     *option.Settings
	Log          *report.Log
	OnewayErrors *atomic.Uint64 // failed oneway calls; nil for an end without calls
	Tallies      *tally.Set     // count the calls; nil for an end without calls

	// EndOf is that of transport.Config; nil for an end without one.
	EndOf func(ctx context.Context) *fault.Fault
}

// FailedOneway returns the number of failed oneway calls.
func FailedOneway(e *End) uint64 {
	if e.OnewayErrors == nil {
		return 0
	}
	return e.OnewayErrors.Load()
}

// OnewayFailed counts and logs the error of a oneway call that was handed over. If the
// client is closed before the answer to a written one, nothing is known to have failed.
func OnewayFailed(e *End, m *Method, err error) {
	if f, ok := err.(*fault.Fault); ok && f.Outcome == fault.OutcomeUnknown && errors.Is(err, fault.ErrClosed) {
		return
	}
	e.OnewayErrors.Add(1)
	e.Log.Post(report.Oneway, slog.LevelWarn, "bsrpc: oneway call failed", "method", m.Name, "err", report.Text(fault.About(m.Name, err).Error(), 256))
}

// Identified returns the error of a call with the errors of its identities as its cause. It runs
// user code.
func Identified(e *End, m *Method, err error) error {
	s := cmp.Or(m.Of, e.Settings)
	return identity.Caused(s.Errors, err, &s.Bounds, e.Log, m.Name)
}
