package bsrpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"

	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// How a call that runs is answered, exactly once: by its results, its error,
// or for a handler that did not return.

// answer sends the one answer to f's call: the encoded results, or err. The
// call ends being in flight as its answer is queued, neither before nor after.
// On a connection whose session has been closed, the CLOSE frame with the reason
// answers every call that has run.
func (c *conn) answer(f *frame, err error) {
	if f.call != nil {
		f.call.end(context.Canceled)
	}
	if err == nil && f.canceled.Load() {
		err = context.Canceled
	}
	why := c.served.dismissed()
	if why != nil && f.refusal != nil {
		err = why
	}
	told := why == nil || f.refusal != nil
	var failure []byte
	if told && err != nil {
		failure = c.failureOf(f, err)
	}
	f.answered = true // until here an error's own methods may panic
	c.mu.Lock()
	c.waitForRoomLocked(bodySize(&f.enc))
	last := c.served.landed(1)
	switch {
	case !told:
	case err != nil:
		c.out.frames = append(c.out.frames, failure...)
	default:
		c.queueResultsLocked(f)
	}
	f.full = len(c.out.frames) >= fullBatch
	c.mu.Unlock()
	if last && c.served.isClosing() {
		c.farewellDrained()
	}
}

func (c *conn) queueResultsLocked(f *frame) {
	head := wire.Frame{Type: wire.Response, ID: f.id}
	size := bodySize(&f.enc)
	if size > wire.MaxWhole {
		c.out.enqueueLocked(newParcel(head, segments(&f.enc), size))
		f.enc = codec.Encoder{} // its memory is the parcel's
		return
	}
	head.Body = int(size)
	c.out.frames = appendBody(wire.AppendHead(c.out.frames, &head), &f.enc)
}

// encodeResults puts the results into the frame's encoder.
func (c *conn) encodeResults(f *frame) error {
	f.enc.Max = int(min(c.peer.maxMessage, 1<<30))
	f.enc.Cut, f.enc.Depth = cutSize, c.bounds.maxDepth
	if err := f.sig.rets.Append(&f.enc, f.retsRef); err != nil {
		c.served.report(reportResult, slog.LevelError, "bsrpc: result cannot be sent", "method", f.method.Name, "err", err)
		return errorf(CodeInternal, OutcomeAnswered, "%s, %v", f.method.Name, err)
	}
	return nil
}

// failureOf returns the ERROR frame that answers f.
func (c *conn) failureOf(f *frame, err error) []byte {
	var p *panicError
	if errors.As(err, &p) {
		return errorFrame(f.id, 0, CodeInternal, wire.Failure{Message: prefix + f.method.Name + ": " + p.Error(), LogID: p.id})
	}
	code, failure := errorFrom(err, c.bounds.maxErrorText)
	var flags wire.Flags
	if f.refusal != nil {
		flags = wire.NotRun
	}
	if code == CodeDeadlineExceeded && f.call.expired() {
		flags |= wire.Expired
	}
	return errorFrame(f.id, flags, code, failure)
}

func errorFrame(id uint64, flags wire.Flags, code Code, failure wire.Failure) []byte {
	body := failure.Append(nil)
	frame := wire.AppendHead(nil, &wire.Frame{Type: wire.Error, Flags: flags, Arg: uint16(code), ID: id, Body: len(body)})
	return append(frame, body...)
}

// recoverPanic, deferred around a handler, answers for one that did not
// return.
func (c *conn) recoverPanic(f *frame) {
	if f.answered {
		return
	}
	c.answer(f, c.served.panicked(f.method, recover()))
}

// panicked counts and logs a handler that did not return: what it panicked
// with, nil for runtime.Goexit.
func (d *dispatcher) panicked(m *method, what any) *panicError {
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
