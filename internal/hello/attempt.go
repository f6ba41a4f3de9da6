package hello

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
)

// An Attempt is one attempt to connect, with its time limits and errors. The wait for
// admission uses Ctx; everything before uses Timed, which also ends after Limit.
type Attempt struct {
	What  string // "dial tcp 127.0.0.1:7", the prefix of errors; "" for NewClient
	Ctx   context.Context
	Timed context.Context
	Limit time.Duration // DialTimeout
}

// Begin begins an attempt. The caller must call stop.
func Begin(ctx context.Context, what string, limit time.Duration) (a Attempt, stop context.CancelFunc) {
	a = Attempt{What: what, Ctx: ctx, Limit: limit}
	a.Timed, stop = context.WithTimeout(ctx, limit)
	return a, stop
}

// ConnectError returns the error of an attempt without a connection. One that was refused says
// so, even if its time has ended meanwhile: of several addresses of a name, the first may
// refuse and the second be silent.
func (a *Attempt) ConnectError(err error) *fault.Fault {
	late := a.timeoutError("no connection", err)
	var refused net.Error
	if late == nil || errors.As(err, &refused) && refused.Timeout() || isContextError(err) {
		if late != nil {
			return late
		}
		return fault.New(fault.Unavailable, fault.NotRun, "%w", err)
	}
	both := *late
	both.Message += ": " + err.Error()
	both.Err = errors.Join(late.Err, err)
	return &both
}

// isContextError reports whether err only repeats the end of a context.
func isContextError(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// timeoutError returns the error of an attempt ended by its context or by Limit, or nil if
// err has another cause. missing describes the step not completed.
func (a *Attempt) timeoutError(missing string, err error) *fault.Fault {
	cause := a.Timed.Err()
	if cause == nil && errors.Is(err, context.DeadlineExceeded) {
		cause = context.DeadlineExceeded // package net has a timer of its own, and may be first
	}
	if cause == nil {
		return nil
	}
	e := fault.Missing(missing, cause)
	if e.Code == fault.DeadlineExceeded && !a.callerEndsFirst() {
		e.Message = fault.Prefix + missing + " in " + a.Limit.String() + " (DialTimeout)"
	}
	return fault.About(a.What, e).(*fault.Fault)
}

// callerEndsFirst reports whether the caller's deadline is before the end of Limit.
func (a *Attempt) callerEndsFirst() bool {
	own, ok := a.Ctx.Deadline()
	end, _ := a.Timed.Deadline()
	return ok && !own.After(end)
}

// HandshakeError closes a connection after a failed handshake, and returns the error of
// Dial.
func (a *Attempt) HandshakeError(nc net.Conn, err error) error {
	nc.Close()
	if e, ok := err.(*fault.Fault); ok {
		return fault.About(a.What, e)
	}
	if e := a.timeoutError("no answer to INIT", nil); e != nil {
		return e
	}
	return fault.About(a.What, fault.New(fault.Unavailable, fault.NotRun, "handshake: %w", fault.WithoutContextErrors(err)))
}
