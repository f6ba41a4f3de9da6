package transport

import (
	"context"
	"fmt"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// What a connection takes of what is sent to it: which requests go on to the
// handler, and which chunked message find room. A request that is not taken has
// been refused: answered as not run.

const maxRefusals = 1000 // of calls above MaxInflight, until the connection is closed

// acceptChunked is asked by the receive buffer whether the message that f begins is wanted.
func (c *Conn) acceptChunked(f *wire.Frame) (bool, error) {
	if f.Type == wire.Response {
		return c.acceptChunkedReply(f)
	}
	if ok, err := c.accept(f); !ok {
		return false, err
	}
	if err := c.book(f.Total); err != nil {
		c.refuseInflight(f.ID, err)
		return false, nil
	}
	return true, nil
}

// accept judges a request by its header. An accepted one is in flight from here
// on; one that is not has been answered.
func (c *Conn) accept(f *wire.Frame) (bool, error) {
	refusal, err := c.handler.Admit(f)
	if err == nil {
		err = c.CheckID(f)
	}
	if err != nil {
		return false, err
	}
	// Counted before looking at closing, as shutdown does the reverse: either
	// this call is refused, or shutdown waits for it.
	n := c.inflight.Begin()
	if why := c.inflight.Closing(); why != nil {
		refusal = why
	} else if refusal == nil {
		refusal, err = c.checkLimits(f, n)
	}
	switch {
	case refusal == nil:
		return true, nil
	case err == nil:
		c.refuseInflight(f.ID, refusal)
	default:
		c.endRequest()
	}
	return false, err
}

// checkLimits refuses a request that is too long, or one too many. A peer that has
// sent too many of those breaks the protocol.
func (c *Conn) checkLimits(f *wire.Frame, inflight int64) (*fault.Fault, error) {
	b := c.limits
	switch {
	case f.Total > uint64(b.MaxMessage):
		return fault.Refusal(fault.ResourceExhausted, "message of %d bytes, the server's MaxMessage is %d", f.Total, b.MaxMessage), nil
	case inflight > int64(b.MaxInflight):
		refusal := fault.Refusal(fault.ResourceExhausted, "too many open calls on this connection (the server's MaxInflight is %d)", b.MaxInflight)
		if c.refusals++; c.refusals > maxRefusals {
			return refusal, fmt.Errorf("%d calls above MaxInflight (%d)", c.refusals, b.MaxInflight)
		}
		return refusal, nil
	}
	return nil, nil
}

// Rises holds a request's id against the last.
func (c *Conn) CheckID(f *wire.Frame) error {
	if f.ID <= c.lastID {
		return fmt.Errorf("%v %d after %d: ids must rise", f.Type, f.ID, c.lastID)
	}
	c.lastID = f.ID
	return nil
}

// refuseInflight answers a request that was in flight and is not run.
func (c *Conn) refuseInflight(id uint64, err *fault.Fault) {
	c.Refuse(id, err)
	c.endRequest()
}

// endRequest counts out a request that was in flight. The last one ends a connection
// that drains.
func (c *Conn) endRequest() {
	if c.inflight.Done(1) && c.inflight.Closing() != nil {
		c.closeDrained()
	}
}

// serveRequest runs a request whose body has arrived. ok is false when the leader
// has been replaced meanwhile.
func (c *Conn) serveRequest(m *Message, s *epoch) (ok bool, err error) {
	c.AwaitRoom()
	if m.Flags&wire.Chunked == 0 {
		if ok, err := c.accept(&m.Frame); !ok {
			return true, err
		}
	}
	if j := c.handler.Request(m); j != nil {
		return c.runInline(j, s), nil
	}
	return true, nil
}

// runInline runs a job on the leader. A job that has not returned by the second period of the watchdog
// costs this goroutine the leadership.
func (c *Conn) runInline(j Job, s *epoch) (ok bool) {
	c.inline = j
	*s = c.lease.mustPass(*s, handling)
	full := false
	defer func() { // also after runtime.Goexit: lead goes on elsewhere
		if ok = c.endInline(j, s); ok && full {
			c.flush(nil)
		}
	}()
	if c.hasEnded() { // fail may have looked at the lease before it was a handler's, and would not replaces this one
		j.Refuse(c.Ended(fault.NotRun))
		return
	}
	c.watchdog.arm()
	full = j.Run()
	return
}

// endInline makes the goroutine that has run j the leader again. It reports false if
// the watchdog has made another.
func (c *Conn) endInline(j Job, s *epoch) bool {
	next, ok := c.lease.pass(*s, leader)
	if ok {
		*s = next
		j.Free()
		return true
	}
	c.mu.Lock() // after replaces, which detaches j with the lock held
	*s = leaseLost
	c.mu.Unlock()
	j.Leave()
	return false
}

// replaceLeader ends the leader's epoch s while it runs a job, and makes another
// goroutine the leader. On a connection that has ended there is none: nobody
// waits for the job.
func (c *Conn) replaceLeader(s epoch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next, ok := c.lease.pass(s, leader)
	if !ok {
		return
	}
	c.inline.Detach()
	if c.err != nil {
		c.handler.Idle()
		c.running.Done()
		return
	}
	go c.lead(next)
}

// serveCancel ends a call whose caller has gone, wherever it is: still
// arriving, running, or answered with chunks that have not been sent.
func (c *Conn) serveCancel(m *Message) error {
	if err := c.handler.Cancel(m.ID); err != nil {
		return err
	}
	if begun, wanted := c.in.cancelRequest(m.ID); begun {
		if wanted {
			c.refuseInflight(m.ID, fault.OfContext(context.Canceled, fault.NotRun))
		}
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queue.dropReplyLocked(m.ID) {
		c.queue.addEncodedLocked(errorFrame(m.ID, 0, fault.Canceled, wire.Failure{Message: fault.Prefix + context.Canceled.Error()}))
	}
	return nil
}

// Drain lets the connection end when its last call has been answered.
func (c *Conn) Drain() {
	if c.inflight.Drain() {
		c.closeDrained()
	}
}

func (c *Conn) acceptChunkedReply(f *wire.Frame) (bool, error) {
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
	case f.Total > uint64(c.limits.MaxMessage):
		c.failCall(k, fault.New(fault.ResourceExhausted, fault.Answered, "answer of %d bytes, this end's MaxMessage is %d", f.Total, c.limits.MaxMessage))
		return false, nil
	}
	if err := c.book(f.Total); err != nil {
		err.Outcome = fault.OutcomeUnknown
		c.failCall(k, err)
		return false, nil
	}
	return true, nil
}

// maxRefused returns how many chunked message may be refused and unfinished: as
// many as a peer can have begun within ConnBytes and the calls that may be open,
// each of which may be followed by another as soon as it is refused.
func maxRefused(b *limits.Conn, open int) int {
	begun := min(b.ConnBytes/wire.MaxUnchunked, int64(2*min(open, 1<<slotBits)))
	return max(maxRefusals, int(begun))
}

// EndRequests gives back, on a connection that has ended, what it has booked. The
// channel has a value when no request is in flight.
func (c *Conn) EndRequests() <-chan struct{} {
	c.budget.Release(c.booked)
	return c.inflight.End(c.in.unfinished())
}

// book books what a chunked message may come to hold, or says why it
// cannot be booked.
func (c *Conn) book(size uint64) *fault.Fault {
	if b := c.limits; uint64(c.booked)+size > uint64(b.ConnBytes) {
		return fault.Refusal(fault.ResourceExhausted, "the messages under way on the connection are above Limits.ConnBytes (%d)", b.ConnBytes)
	}
	c.booked += int64(size)
	err := c.budget.Book(int64(size))
	if err != nil {
		c.booked -= int64(size)
	}
	return err
}

// unbook gives back what has been reserved.
func (c *Conn) unbook(size uint64) {
	c.booked -= int64(size)
	c.budget.Release(int64(size))
}

func noMetadata(wire.FieldType, []byte) (bool, error) { return false, nil }

// Refuse answers a call that is not run.
func (c *Conn) Refuse(id uint64, err *fault.Fault) {
	frame := errorFrame(id, wire.NotRun, err.Code, wire.Failure{Message: fault.Cut(err.Message, c.limits.MaxErrorText)})
	c.AwaitRoom()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue.addEncodedLocked(frame)
}

func errorFrame(id uint64, flags wire.Flags, code fault.Code, failure wire.Failure) []byte {
	body := failure.Append(nil)
	frame := wire.AppendHeader(nil, &wire.Frame{Type: wire.Error, Flags: flags, Arg: uint16(code), ID: id, BodySize: len(body)})
	return append(frame, body...)
}
