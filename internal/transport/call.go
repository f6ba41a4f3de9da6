package transport

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// calls are the calls of this end, from request to answer. Waiting for the answer is the
// reader's part.
type calls struct {
	c *Conn
	callTable
}

func (k *calls) init(c *Conn) {
	k.c, k.limit, k.load = c, c.peer.MaxInflight, c.cfg.Load
	for _, call := range c.cfg.Sent {
		// They count beyond MaxInflight, which does not apply to BIND. No other call is made
		// before their answers.
		k.loadedLocked(1)
		k.open++
		k.addLocked(call)
		k.assignIDLocked(call)
	}
	k.markWrittenLocked()
}

// SentID is the id of the n-th call of Config.Sent.
func SentID(n int) uint64 { return uint64(n+1)<<slotBits | uint64(n) }

// Await waits for the answer to a call of Config.Sent.
func Await(ctx context.Context, c *Conn, call *Call) error {
	if err := c.reader.await(ctx, call); err != nil {
		return err
	}
	return call.result(ctx, c)
}

// OpenCalls returns the number of open calls and streams of this end.
func OpenCalls(c *Conn) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls.open + len(c.calls.waiting) + c.streams.ours + c.streams.unsent
}

// Requests returns the number of requests of this end so far.
func Requests(c *Conn) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int(c.calls.ids)
}

// Do makes a call on c: it sends call.Head with body, and waits for the answer. The
// answer stays in call until Reset. When Do returns, the memory of the body, its cuts
// included, belongs to the caller again. Do is safe for concurrent use with different
// calls.
//
// Do is not a method of Conn. A server uses reflection, and then the linker keeps the
// exported methods of all types, here the whole calling side.
func Do(ctx context.Context, c *Conn, call *Call, body *wire.Body) error {
	if ctx.Err() != nil {
		return c.contextFault(ctx, &call.Timeout, fault.NotRun)
	}
	now := c.reader.woken.now()
	if call.Timeout.Set() {
		call.Timeout.Start(now)
	}
	call.Began = cmp.Or(call.Began, now)
	if err := c.calls.send(ctx, call, body); err != nil {
		return err
	}
	err := c.reader.await(ctx, call)
	if call.chunked != nil {
		c.writer.takeBack(call)
	}
	if err != nil {
		return err
	}
	return call.result(ctx, c)
}

// send adds the call to the table and then writes its request, so the answer always
// finds it. A body above wire.MaxUnchunked becomes a chunked message.
func (k *calls) send(ctx context.Context, call *Call, body *wire.Body) error {
	c := k.c
	size := body.Size()
	if size > c.peer.MaxMessage && call.Head.Type == wire.Request {
		return fault.New(fault.ResourceExhausted, fault.NotRun, "message of %d bytes, %s MaxMessage is %d", size, c.limits.PeerName(), c.peer.MaxMessage)
	}
	if err := k.acquire(ctx, call, size); err != nil {
		return err
	}
	// c.mu is held. The time left is taken after the wait in acquire.
	timeout := &call.Timeout
	if call.streams != nil {
		timeout = &call.streams.Whole
		if err := call.streams.refusedLocked(); err != nil {
			k.releaseLocked()
			c.mu.Unlock()
			return err
		}
	}
	left, expired := timeout.Left()
	if expired {
		k.releaseLocked()
		c.mu.Unlock()
		return timeout.Fault(fault.NotRun)
	}
	call.Head.Timeout = left
	// A call over after a few watchdog periods needs its own timer from the start, and one
	// with streams another goroutine to read.
	call.long = k.startsLongLocked() || left != 0 && left <= shortTimeout || call.streams != nil
	k.addLocked(call)
	if call.streams != nil {
		call.streams.countLocked(1)
	}
	q := &c.writer.queue
	if size > wire.MaxUnchunked {
		// Ids rise in the order of writing, so the id is assigned at the first chunk.
		call.chunked = newChunkedMessage(call.Head, body, size, func() uint64 { return k.assignIDLocked(call) })
		q.addChunkedLocked(call.chunked)
	} else {
		call.Head.ID, call.Head.BodySize = k.assignIDLocked(call), int(size)
		q.addFrameLocked(&call.Head, body)
	}
	if call.streams != nil {
		call.streams.beginLocked()
	}
	// During a wake batch the lease holder writes the frame.
	joins := call.chunked == nil && c.reader.woken.anyPending() && !q.worthWritingLocked()
	c.mu.Unlock()
	if !joins {
		c.writer.flush(call.chunked)
	}
	return nil
}

// FuncsOf returns Call.Funcs of the open call of this end with an id; nil if it is over. An
// error is a protocol violation: this end never made the call, or it has no funcs.
func FuncsOf(c *Conn, id uint64) (any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	call, unused := c.calls.findLocked(id)
	switch {
	case unused && c.end.why == nil:
		return nil, fmt.Errorf("callback of call %d, which was never made", id)
	case call == nil || call.abandoned:
		return nil, nil
	case call.Funcs == nil:
		return nil, fmt.Errorf("callback of call %d, which has no funcs", id)
	}
	return call.Funcs, nil
}

// moved passes a position to its call, if that is still open.
func (k *calls) moved(m *Message) error {
	group, position, err := wire.ReadPosition(m.Body)
	if err != nil {
		return err
	}
	k.c.mu.Lock()
	call, unused := k.findLocked(m.ID)
	unused = unused && k.c.end.why == nil // after the end the table is empty
	open := call != nil && !call.abandoned
	var accepts func(string, int)
	if open {
		accepts = call.Moved
	}
	k.c.mu.Unlock()
	switch {
	case unused:
		return fmt.Errorf("%v of call %d, which was never made", m.Type, m.ID)
	case open && accepts == nil:
		return fmt.Errorf("%v of call %d, which has not asked for it", m.Type, m.ID)
	case open:
		accepts(group, position)
	}
	return nil
}

// shortTimeout is the longest time, in microseconds, of a call waiting with its own timer
// from the start.
const shortTimeout = 4 * uint64(WatchdogPeriod/time.Microsecond)

// abandon ends a call without its answer, for its caller. It reports false if the answer
// is being delivered.
func (k *calls) abandon(call *Call) (fault.Outcome, bool) {
	c, m := k.c, call.chunked
	c.mu.Lock()
	if c.end.why != nil || k.slots[call.slot] != call || call.abandoned {
		c.mu.Unlock()
		return 0, false
	}
	if m != nil && !m.begunLocked() { // the peer knows nothing of the call
		c.writer.queue.dropLocked(m)
		if call.streams != nil {
			call.streams.countLocked(-1)
		}
		if next := k.removeLocked(call); next != nil {
			next.wake <- false
		}
		c.mu.Unlock()
		return fault.NotRun, true
	}
	// The peer counts the call until it has answered, so the slot stays taken.
	call.abandoned = true
	if m != nil {
		c.writer.queue.dropLocked(m) // a chunk must not follow the CANCEL
	}
	k.cancelLocked(call.id)
	c.mu.Unlock()
	c.writer.flushAsync()
	return fault.OutcomeUnknown, true
}

// fail ends a call of this end before its answer is complete. Only the lease holder
// calls it.
func (k *calls) fail(call *Call, err *fault.Fault) {
	c := k.c
	c.mu.Lock()
	open := c.end.why == nil && k.slots[call.slot] == call && !call.abandoned
	if open {
		if call.streams != nil {
			call.abandoned = true
		} else { // the caller may reuse call at once, so another one keeps the slot
			k.slots[call.slot] = &Call{id: call.id, slot: call.slot, abandoned: true}
		}
		k.cancelLocked(call.id)
	}
	c.mu.Unlock()
	if open {
		c.writer.flushAsync()
		if call.err = err; call.streams != nil {
			call.streams.end(err, true)
		}
		if call.eager {
			call.over()
			return
		}
		c.reader.woken.answered = append(c.reader.woken.answered, call)
	}
}

// cancelLocked sends a CANCEL to the peer.
func (k *calls) cancelLocked(id uint64) {
	k.c.writer.queue.addHeaderLocked(&wire.Frame{Type: wire.Cancel, ID: id})
}

// acceptReply decides on a chunked answer at its first chunk, and books its size.
func (k *calls) acceptReply(p *reassembly) (bool, error) {
	c, f := k.c, &p.head
	c.mu.Lock()
	call, unused := k.findLocked(f.ID)
	wanted := call != nil && !call.abandoned
	answered := call != nil && call.streams != nil && call.streams.answered
	unused = unused && c.end.why == nil // after the end the table is empty
	c.mu.Unlock()
	switch {
	case answered:
		return false, call.streams.answeredAgain(f)
	case unused:
		return false, fmt.Errorf("%v for call %d, which was never made", f.Type, f.ID)
	case !wanted:
		return false, nil
	case f.Total > uint64(c.limits.MaxMessage):
		k.fail(call, fault.New(fault.ResourceExhausted, fault.Answered, "answer of %d bytes, this end's MaxMessage is %d", f.Total, c.limits.MaxMessage))
		return false, nil
	}
	if err := c.reader.book(p); err != nil {
		err.Outcome = fault.Answered
		k.fail(call, err)
		return false, nil
	}
	return true, nil
}

// deliver delivers an answer to its call.
func (k *calls) deliver(m *Message) error {
	r := &k.c.reader
	if m.Type == wire.Error {
		r.in.removeReply(m.ID)
	}
	k.c.mu.Lock()
	call, unused := k.findLocked(m.ID)
	var next *Call
	switch {
	case call == nil:
	case call.streams == nil:
		next = k.removeLocked(call)
	default:
		var err error
		if next, err = k.deliverLocked(call, m); err != nil {
			k.c.mu.Unlock()
			return err
		}
	}
	gone := call == nil || call.abandoned
	unused = unused && k.c.end.why == nil // after the end the table is empty
	k.c.mu.Unlock()
	// All calls answered by one read are woken together, in wakeAll.
	if next != nil {
		r.woken.opened = append(r.woken.opened, next)
	}
	if unused {
		return fmt.Errorf("%v for call %d, which was never made", m.Type, m.ID)
	}
	if gone {
		return nil
	}
	call.setReply(m)
	if m.Type == wire.Response && call.streams == nil {
		r.woken.counted.Add(call.Tally, fault.OK, call.Began)
	}
	if call.eager {
		call.over()
		return nil
	}
	r.woken.answered = append(r.woken.answered, call)
	return nil
}

// deliverLocked takes the answer to a call with streams. The call gives its place to the
// next one, but keeps its slot until its result stream ends.
func (k *calls) deliverLocked(call *Call, m *Message) (next *Call, err error) {
	stays, err := call.streams.deliverLocked(m)
	switch {
	case err != nil:
		return nil, err
	case stays:
		k.loadedLocked(1) // until its result stream ends
		return k.closeLocked(), nil
	}
	return k.removeLocked(call), nil
}
