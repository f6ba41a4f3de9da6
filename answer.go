package bsrpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// How a call that runs is answered, exactly once: by its results, its error,
// or for a handler that did not return.

// answer sends the one answer to the call: the results, or err. The call ends
// being in flight as its answer is queued, neither before nor after. Where there
// is no room for it, what has been encoded is dropped, and encoded again when
// there is.
//
// On a connection whose session has been closed, the CLOSE frame with the reason
// answers every call that has run.
func (c *serverConn) answer(inv *invocation, err error) {
	inv.end(context.Canceled)
	head, ok := wire.Frame{}, false
	size := uint64(wire.MaxUnchunked) // until it is known
	if !c.out.isFull() && c.tells(inv) {
		head, err = c.encode(inv, err)
		size = inv.Enc.Size()
		c.mu.Lock()
		if ok = c.err != nil || c.out.takesLocked(size); !ok {
			c.mu.Unlock()
		}
	}
	for !ok {
		inv.ResetEncoder()
		head, ok, err = c.encodeInTurn(inv, err, &size)
	}
	// conn.mu is held
	inv.answered = true // until here user code may panic
	c.served.discount(inv)
	last := c.inflight.done(1)
	if c.err == nil && c.tells(inv) {
		c.queueLocked(&head, inv)
	}
	inv.full = c.out.worthWritingLocked()
	c.mu.Unlock()
	if last && c.inflight.isClosing() {
		c.farewellDrained()
	}
}

// tells reports whether the call gets an answer of its own.
func (c *serverConn) tells(inv *invocation) bool {
	return inv.refusal != nil || c.inflight.dismissed() == nil
}

// encodeInTurn encodes an answer when there is room for so many bytes. ok says
// that it may be queued, and then conn.mu is held; otherwise it was longer, or took
// long, and others have the room.
func (c *serverConn) encodeInTurn(inv *invocation, err error, size *uint64) (head wire.Frame, ok bool, _ error) {
	inv.waits.Store(true)
	if inv.passage != nil {
		inv.passage.leaveShared() // a peer that does not read holds up itself, and nobody of its group
	}
	k := c.awaitClaim(*size)
	if c.hasEnded() || !c.tells(inv) {
		c.giveBack(k)
		c.mu.Lock()
		return head, true, nil
	}
	defer func() {
		if !ok {
			c.giveBack(k) // user code may have panicked
		}
	}()
	if err != nil || inv.method.Sig.Results.UserCode() {
		defer time.AfterFunc(claimPatience, func() { c.giveBack(k) }).Stop()
	}
	head, err = c.encode(inv, err)
	*size = inv.Enc.Size()
	c.mu.Lock()
	c.out.settleLocked(k)
	if ok = c.err != nil || !c.out.fullLocked(*size); !ok {
		c.out.grantLocked()
		c.mu.Unlock()
	}
	return head, ok, err
}

// queueLocked queues an answer, whose body the call's encoder has.
func (c *serverConn) queueLocked(head *wire.Frame, inv *invocation) {
	if c.out.messageLocked(*head, &inv.Enc.Body, inv.Enc.Size()) {
		inv.Enc = codec.Encoder{}
	}
}

// encode puts the results, or err, into the call's encoder, and returns the head of
// their frame. Results that cannot be sent are an error, which it returns.
func (c *serverConn) encode(inv *invocation, err error) (wire.Frame, error) {
	if err == nil && inv.canceled.Load() {
		err = context.Canceled
	}
	if err == nil {
		if err = c.encodeResults(inv); err == nil {
			return wire.Frame{Type: wire.Response, ID: inv.id}, nil
		}
	}
	inv.ResetEncoder() // user code may have ended half-way
	if why := c.inflight.dismissed(); why != nil {
		err = why // of a call that is not run: the others are not told
	}
	code, failure := c.failureOf(inv, err)
	inv.Enc.Buf = failure.Append(inv.Enc.Buf)
	return wire.Frame{Type: wire.Error, Flags: inv.errorFlags(code), Arg: uint16(code), ID: inv.id}, err
}

// encodeResults puts the results into the call's encoder.
func (c *serverConn) encodeResults(inv *invocation) error {
	inv.Enc.Max = int(min(c.peer.maxMessage, 1<<30))
	inv.Enc.Cut, inv.Enc.Depth = cutSize, c.bounds.maxDepth
	if err := inv.AppendResults(); err != nil {
		code := CodeInternal
		if errors.Is(err, codec.ErrSize) {
			code, err = CodeResourceExhausted, fmt.Errorf("%w (the client's MaxMessage is %d)", err, c.peer.maxMessage)
		}
		c.served.report(reportResult, slog.LevelError, "bsrpc: result cannot be sent", "method", inv.method.Name, "err", err)
		return errorf(code, OutcomeAnswered, "%s, %v", inv.method.Name, err)
	}
	return nil
}

// failureOf returns what travels of the error that answers inv.
func (c *serverConn) failureOf(inv *invocation, err error) (Code, wire.Failure) {
	var p *panicError
	if errors.As(err, &p) {
		return CodeInternal, wire.Failure{Message: prefix + inv.method.Name + ": " + p.Error(), LogID: p.id}
	}
	return errorFrom(err, c.bounds.maxErrorText)
}

// errorFlags returns the flags of the ERROR frame that answers inv.
func (inv *invocation) errorFlags(code Code) (flags wire.Flags) {
	if inv.refusal != nil {
		flags = wire.NotRun
	}
	if code == CodeDeadlineExceeded && (inv.refusal != nil || inv.call.expired()) {
		flags |= wire.Expired // a call is refused so for want of time to wait
	}
	return flags
}

func errorFrame(id uint64, flags wire.Flags, code Code, failure wire.Failure) []byte {
	body := failure.Append(nil)
	frame := wire.AppendHeader(nil, &wire.Frame{Type: wire.Error, Flags: flags, Arg: uint16(code), ID: id, BodySize: len(body)})
	return append(frame, body...)
}

// panicked counts and logs a handler that did not return: what it panicked
// with, nil for runtime.Goexit.
func (d *dispatcher) panicked(m *servedMethod, what any) *panicError {
	d.panics.Add(1)
	return &panicError{d.reports.addPanic(reportPanic, "bsrpc: handler panicked", what, "method", m.Name)}
}

// newLogID returns an id by which a caller's error and a line in this end's log
// are found together.
func newLogID() string { return fmt.Sprintf("%016x", rand.Uint64()) }

// A panicError stands for a panic on its way to the caller. One that is not logged
// has no id.
type panicError struct{ id string }

func (e *panicError) Error() string { return "panic in the handler" }

// located is the error's text with the place of its stack.
func (e *panicError) located() string {
	if e.id == "" {
		return e.Error()
	}
	return e.Error() + " (id " + e.id + " in the server's log)"
}
