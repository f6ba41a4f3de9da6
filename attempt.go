package bsrpc

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/netconn"
)

// An attempt is what becomes a client or an error: a way to the server, a
// handshake, and a place. The caller's context bounds all of it, DialTimeout what
// timed is the context of.
type attempt struct {
	what  string // "dial tcp 127.0.0.1:7", which begins its errors; "" for NewClient
	ctx   context.Context
	timed context.Context
	limit time.Duration // DialTimeout
}

// newAttempt begins an attempt. stop frees what times it.
func newAttempt(ctx context.Context, what string, limit time.Duration) (a *attempt, stop func()) {
	a = &attempt{what: what, ctx: ctx, limit: limit}
	a.timed, stop = context.WithTimeout(ctx, limit)
	return a, stop
}

// over returns the error of an attempt that has ended by its context or by
// DialTimeout, with what was still missing then; nil if err has another cause.
func (a *attempt) over(missing string, err error) *fault.Fault {
	cause := a.timed.Err()
	if cause == nil && errors.Is(err, context.DeadlineExceeded) {
		cause = context.DeadlineExceeded // package net keeps the time by a clock of its own
	}
	if cause == nil {
		return nil
	}
	e := stopped(missing, cause)
	if e.Code == fault.DeadlineExceeded && !a.isTimedByCaller() {
		e.Message = fault.Prefix + missing + " in " + a.limit.String() + " (DialTimeout)"
	}
	return fault.About(a.what, e).(*fault.Fault)
}

// isTimedByCaller says whether the caller's context ends before DialTimeout
// would.
func (a *attempt) isTimedByCaller() bool {
	own, ok := a.ctx.Deadline()
	end, _ := a.timed.Deadline()
	return ok && !own.After(end)
}

// stopped is the error of what has waited for something until its context ended.
func stopped(missing string, cause error) *fault.Fault {
	e := fault.OfContext(cause, fault.NotRun)
	e.Message = fault.Prefix + missing + ": " + cause.Error()
	return e
}

// refused closes a connection whose handshake has failed, and returns the error
// of its attempt.
func (a *attempt) refused(nc net.Conn, err error) error {
	nc.Close()
	if e, ok := err.(*fault.Fault); ok {
		return fault.About(a.what, e)
	}
	if e := a.over("no answer to INIT", nil); e != nil {
		return e
	}
	return fault.About(a.what, fault.New(fault.Unavailable, fault.NotRun, "handshake: %w", fault.NotOfCaller(err)))
}

// endsEarly explains the error of a socket in the handshake, if it is the
// connection's end.
func endsEarly(nc net.Conn, sent bool, err error) error {
	cause := err
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		cause = io.ErrUnexpectedEOF
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.ErrClosedPipe):
	case !sent && speaksTLS(nc):
		return &explained{err.Error(), err} // it has sent nothing but its part of the TLS handshake
	default:
		return err
	}
	switch {
	case !speaksTLS(nc):
		return &explained{"the server closed the connection before it answered INIT; does it expect TLS?", cause}
	case !sent:
		return &explained{"the server closed the connection in the TLS handshake; does it speak TLS?", cause}
	}
	return &explained{"the server closed the connection before it answered INIT", cause}
}

// speaksTLS says whether nc is a *tls.Conn, or does as one.
func speaksTLS(nc net.Conn) bool {
	_, ok := netconn.Unwrap(nc).(interface{ HandshakeContext(context.Context) error })
	return ok
}
