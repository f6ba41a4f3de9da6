package bsrpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// The one reply to a call: its results, its error, or the error of a handler that did not
// return.

// reply is replier.reply.
func (c *nativeConn) reply(inv *invocation, err error) {
	inv.end(context.Canceled)
	inv.err = err
	inv.full = c.Reply(inv)
}

// Refused is transport.Answer.Refused.
func (inv *invocation) Refused() bool { return inv.refusal != nil }

// Await is transport.Answer.Await. A peer that reads nothing delays only itself, so the
// call leaves its exclusive group.
func (inv *invocation) Await() {
	inv.waits.Store(true)
	if inv.waiter != nil {
		inv.waiter.ReleaseGroup()
	}
}

// MayHang is transport.Answer.MayHang: the encoder of a user's type and the methods of an
// error are user code.
func (inv *invocation) MayHang() bool { return inv.err != nil || inv.method.Sig.Results.UserCode() }

// Queued is transport.Answer.Queued. Until then user code may panic.
func (inv *invocation) Queued(lent bool) {
	inv.answered = true
	inv.served.discount(inv)
	if lent {
		inv.Enc = codec.Encoder{}
	}
}

// Encode is transport.Answer.Encode. Results that cannot be sent become an error.
func (inv *invocation) Encode() (*wire.Frame, *wire.Body) {
	inv.ResetEncoder()
	c := inv.out.(*nativeConn)
	if inv.err == nil && inv.canceled.Load() {
		inv.err = context.Canceled
	}
	if inv.err == nil {
		if inv.err = c.encodeResults(inv); inv.err == nil {
			inv.head = wire.Frame{Type: wire.Response, ID: inv.id}
			return &inv.head, &inv.Enc.Body
		}
	}
	inv.ResetEncoder() // user code may have stopped halfway
	if why := c.Dismissed(); why != nil {
		inv.err = why // of a call that is not run: others get no reply
	}
	code, failure := c.failureOf(inv, inv.err)
	inv.Enc.Buf = failure.Append(inv.Enc.Buf)
	inv.head = wire.Frame{Type: wire.Error, Flags: inv.errorFlags(code), Arg: uint16(code), ID: inv.id}
	return &inv.head, &inv.Enc.Body
}

// encodeResults encodes the results into inv.Enc.
func (c *nativeConn) encodeResults(inv *invocation) error {
	inv.Enc.Max = int(min(c.PeerMaxMessage(), 1<<30))
	inv.Enc.MinCut, inv.Enc.Depth = wire.MinCut, c.served.settings.maxDepth
	if err := inv.AppendResults(); err != nil {
		code := fault.Internal
		if errors.Is(err, codec.ErrSize) {
			code, err = fault.ResourceExhausted, fmt.Errorf("%w (the client's MaxMessage is %d)", err, c.PeerMaxMessage())
		}
		c.served.report(report.Result, slog.LevelError, "bsrpc: result cannot be sent", "method", inv.method.Name, "err", err)
		return fault.New(code, fault.Answered, "%s, %v", inv.method.Name, err)
	}
	return nil
}

// failureOf returns the code and the body of an ERROR frame for err.
func (c *nativeConn) failureOf(inv *invocation, err error) (fault.Code, wire.Failure) {
	var p *panicError
	if errors.As(err, &p) {
		return fault.Internal, wire.Failure{Message: fault.Prefix + inv.method.Name + ": " + p.Error(), LogID: p.id}
	}
	return wireError(err, c.served.settings.MaxErrorText)
}

// errorFlags returns the flags of the ERROR frame that answers inv.
func (inv *invocation) errorFlags(code fault.Code) (flags wire.Flags) {
	if inv.refusal != nil {
		flags = wire.NotRun
	}
	if code == fault.DeadlineExceeded && (inv.refusal != nil || inv.call.expired()) {
		flags |= wire.Expired // a call is refused with this code when its time is over
	}
	return flags
}

// panicked counts and logs a handler that did not return. A nil what means
// runtime.Goexit.
func (d *dispatcher) panicked(m *servedMethod, what any) *panicError {
	d.panics.Add(1)
	return &panicError{d.log.AddPanic(report.Panic, "bsrpc: handler panicked", what, "method", m.Name)}
}

// A panicError is the error of a handler that panicked. Its id is that of the log line, ""
// without one.
type panicError struct{ id string }

func (e *panicError) Error() string { return "panic in the handler" }

// located returns the text with the id of the log line.
func (e *panicError) located() string {
	if e.id == "" {
		return e.Error()
	}
	return e.Error() + " (id " + e.id + " in the server's log)"
}
