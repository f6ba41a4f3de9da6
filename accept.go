package bsrpc

import (
	"fmt"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// What a connection takes of what is sent to it: which requests run, and which
// messages in pieces find room. A request that is not accepted has been
// refused: answered as not run.

// admit is asked by the inbox whether the message that f begins is wanted.
func (c *conn) admit(f *wire.Frame) (bool, error) {
	if f.Type == wire.Response {
		return c.admitResponse(f)
	}
	if c.served == nil {
		return false, fmt.Errorf("unexpected %v", f.Type)
	}
	if ok, err := c.accept(f); !ok {
		return false, err
	}
	if err := c.reserve(f.Total); err != nil {
		c.refuse(f.ID, err)
		c.landed()
		return false, nil
	}
	return true, nil
}

func (c *conn) admitResponse(f *wire.Frame) (bool, error) {
	c.mu.Lock()
	k, unused := c.calls.findLocked(f.ID)
	wanted := k != nil && !k.abandoned
	unused = unused && c.err == nil // at the end the table is emptied
	c.mu.Unlock()
	switch {
	case unused:
		return false, fmt.Errorf("%v for call %d, which was never made", f.Type, f.ID)
	case !wanted:
		return false, nil
	case f.Total > uint64(c.bounds.maxMessage):
		c.giveUp(k, errorf(CodeResourceExhausted, OutcomeAnswered, "answer of %d bytes, this end's MaxMessage is %d", f.Total, c.bounds.maxMessage))
		return false, nil
	}
	if err := c.reserve(f.Total); err != nil {
		err.Outcome = OutcomeUnknown
		c.giveUp(k, err)
		return false, nil
	}
	return true, nil
}

// mostRefused returns how many messages in pieces may be refused and unfinished: as
// many as a peer can have begun within ConnBytes and the calls that may be open,
// each of which may be followed by another as soon as it is refused.
func mostRefused(b *bounds, open int) int {
	begun := min(b.connBytes/wire.MaxUnchunked, int64(2*min(open, 1<<slotBits)))
	return max(maxRefusals, int(begun))
}

// reserve books what a message in pieces may come to hold, or says why it
// cannot be booked.
func (c *conn) reserve(size uint64) *Error {
	if b := c.bounds; uint64(c.booked)+size > uint64(b.connBytes) {
		return refusalf(CodeResourceExhausted, "the messages under way on the connection are above Limits.ConnBytes (%d)", b.connBytes)
	}
	c.booked += int64(size)
	if c.served == nil {
		return nil
	}
	err := c.served.book(int64(size))
	if err != nil {
		c.booked -= int64(size)
	}
	return err
}

// release gives back what has been reserved.
func (c *conn) release(size uint64) {
	c.booked -= int64(size)
	if c.served != nil {
		c.served.unbook(int64(size))
	}
}

// book books what a long message may come to hold among all of a server's, or
// says why it cannot be booked.
func (d *dispatcher) book(size int64) *Error {
	// Booked before looking, as other connections do the same.
	if d.booked.Add(size) > d.bounds.serverBytes {
		d.unbook(size)
		return refusalf(CodeResourceExhausted, "the messages under way at the server are above Limits.ServerBytes (%d)", d.bounds.serverBytes)
	}
	return nil
}

func (d *dispatcher) unbook(size int64) { d.booked.Add(-size) }

// accept judges a request by its head. An accepted one is in flight from here
// on; one that is not has been answered.
func (c *conn) accept(f *wire.Frame) (bool, error) {
	v := c.served
	if err := v.rises(f); err != nil {
		return false, err
	}
	if _, err := wire.ReadMetadata(f.Meta); err != nil {
		c.refuse(f.ID, refusalf(CodeUnimplemented, "metadata: %v", err))
		return false, nil
	}
	// Counted before looking at closing, as shutdown does the reverse: either
	// this call is refused, or shutdown waits for it.
	refusal, err := c.judge(f, v.inflight.Add(1))
	if refusal == nil {
		v.session.calls.Add(1)
		return true, nil
	}
	if err == nil {
		c.refuse(f.ID, refusal)
	}
	c.landed()
	return false, err
}

// landed counts out a request that was in flight and is not run. The last one
// ends a connection that drains.
func (c *conn) landed() {
	if c.served.landed(1) && c.served.isClosing() {
		c.farewellDrained()
	}
}

func (c *conn) judge(f *wire.Frame, inflight int64) (*Error, error) {
	v := c.served
	if why := v.closing.Load(); why != nil {
		return why, nil
	}
	switch {
	case !v.session.admitted.Load():
		return notAdmitted(), nil
	case int(f.Arg) >= len(v.bound):
		return refusalf(CodeUnimplemented, "no method is bound to the number %d on this connection", f.Arg), nil
	case f.Total > uint64(v.bounds.maxMessage):
		return refusalf(CodeResourceExhausted, "message of %d bytes, the server's MaxMessage is %d", f.Total, v.bounds.maxMessage), nil
	case inflight > int64(v.bounds.maxInflight):
		refusal := refusalf(CodeResourceExhausted, "too many open calls on this connection (the server's MaxInflight is %d)", v.bounds.maxInflight)
		if v.refusals++; v.refusals > maxRefusals {
			return refusal, fmt.Errorf("%d calls above MaxInflight (%d)", v.refusals, v.bounds.maxInflight)
		}
		return refusal, nil
	}
	return nil, nil
}

func notAdmitted() *Error {
	return refusalf(CodeFailedPrecondition, "the session is not admitted yet; wait for ADMITTED")
}

// rises holds a request's id against the last.
func (v *serving) rises(f *wire.Frame) error {
	if f.ID <= v.lastID {
		return fmt.Errorf("%v %d after %d: ids must rise", f.Type, f.ID, v.lastID)
	}
	v.lastID = f.ID
	return nil
}

func noMetadata(wire.FieldType, []byte) (bool, error) { return false, nil }

// refuse answers a call that is not run.
func (c *conn) refuse(id uint64, err *Error) {
	frame := errorFrame(id, wire.NotRun, err.Code, wire.Failure{Message: cut(err.Message, c.bounds.maxErrorText)})
	c.awaitRoom()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.controlLocked(frame)
}

func refusalf(code Code, format string, args ...any) *Error {
	return errorf(code, OutcomeNotRun, format, args...)
}
