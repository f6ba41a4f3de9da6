package transport

import (
	"context"
	"fmt"
	"strings"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// One call of this end, from its request to its answer. Reading and waiting is
// in reader.go.

// Do makes a call on c: it sends k's head with the body, and waits for the answer,
// which stands in k until k is reset. When Do returns, the memory that body's cuts
// refer to is the caller's again.
//
// Do is not a method of Conn: in a program with reflection, as every server is, the
// linker keeps the exported methods of all types.
func Do(ctx context.Context, c *Conn, k *Call, body *wire.Body) error {
	if err := ctx.Err(); err != nil {
		return fault.OfContext(err, fault.NotRun)
	}
	if k.Timeout.Set() {
		k.Timeout.Start(c.batch.now())
	}
	if err := c.send(ctx, k, body); err != nil {
		return err
	}
	err := c.awaitReply(ctx, k)
	if k.chunked != nil {
		c.takeBack(k)
	}
	if err != nil {
		return err
	}
	return k.result(ctx)
}

// send registers the call and then writes it, so that no answer finds it
// missing. A body above wire.MaxUnchunked travels as a chunked message.
func (c *Conn) send(ctx context.Context, k *Call, body *wire.Body) error {
	size := body.Size()
	if size > c.peer.MaxMessage && k.Head.Type == wire.Request {
		return fault.New(fault.ResourceExhausted, fault.NotRun, "message of %d bytes, the server's MaxMessage is %d", size, c.peer.MaxMessage)
	}
	if err := c.acquire(ctx, k, size); err != nil {
		return err
	}
	// conn.mu is held
	left, expired := k.Timeout.Left()
	if expired {
		c.releaseOpenLocked()
		c.mu.Unlock()
		return k.Timeout.Fault(fault.NotRun)
	}
	k.Head.Timeout = left
	k.long = left != 0 && left <= shortTimeout
	c.calls.addLocked(k)
	if size > wire.MaxUnchunked {
		k.chunked = newChunked(k.Head, body, size, func() uint64 { return c.calls.nextIDLocked(k) })
		c.queue.addChunkedLocked(k.chunked)
	} else {
		k.Head.ID, k.Head.BodySize = c.calls.nextIDLocked(k), int(size)
		c.queue.addFrameLocked(&k.Head, body)
	}
	// One that joins is written by the lease holder: wakebatch.go.
	joins := k.chunked == nil && c.batch.anyPending() && !c.queue.worthWritingLocked()
	c.mu.Unlock()
	if !joins {
		c.flush(k.chunked)
	}
	return nil
}

// acquire waits until one more call may be open and the send queue takes its
// message of so many bytes, and returns with conn.mu held.
func (c *Conn) acquire(ctx context.Context, k *Call, size uint64) error {
	c.mu.Lock()
	if c.err == nil && !c.calls.openLocked(k) {
		c.mu.Unlock()
		err := c.awaitOpen(ctx, k)
		c.mu.Lock()
		if err != nil && c.err == nil {
			what := fmt.Sprintf("the server's MaxInflight (%d)", c.calls.limit)
			c.mu.Unlock()
			return unsentError(err, what)
		}
	}
	for c.err == nil && c.queue.fullLocked(size) {
		taken := c.queue.roomFreedLocked()
		c.mu.Unlock()
		err := c.await(ctx, &k.Timeout, taken)
		c.mu.Lock()
		if err != nil && c.err == nil {
			c.releaseOpenLocked()
			c.mu.Unlock()
			return unsentError(err, fmt.Sprintf("room in Limits.OutQueue (%d)", c.limits.OutQueue))
		}
	}
	if c.err != nil {
		defer c.mu.Unlock()
		return c.endedLocked(fault.NotRun)
	}
	return nil
}

// unsentError returns the error of a call whose time was over before its request was
// sent, with what it waited for.
func unsentError(err error, what string) error {
	e, ok := err.(*fault.Fault)
	if !ok {
		return err
	}
	named := *e
	named.Message = fault.Prefix + "waited for " + what + ": " + strings.TrimPrefix(e.Message, fault.Prefix)
	return &named
}

// awaitOpen waits until k, which is one of those that wait, may be open, or the
// connection ends.
func (c *Conn) awaitOpen(ctx context.Context, k *Call) error {
	k.Timeout.Wait()
	expired := k.Timeout.Expired()
	defer k.Timeout.Stop()
	var err error
	select {
	case counted := <-k.wake:
		if counted {
			c.batch.resumed()
		}
		return nil
	case <-ctx.Done():
		err = fault.OfContext(ctx.Err(), fault.NotRun)
	case <-expired:
		err = k.Timeout.Fault(fault.NotRun)
	}
	c.mu.Lock()
	waits := c.calls.stopWaitingLocked(k)
	c.mu.Unlock()
	if waits {
		return err
	}
	if counted := <-k.wake; counted { // its turn has just come
		c.batch.resumed()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.releaseOpenLocked()
	}
	return err
}

// releaseOpenLocked gives up what a call had been granted, to the next that waits.
func (c *Conn) releaseOpenLocked() {
	if next := c.calls.releaseLocked(); next != nil {
		next.wake <- false
	}
}

// await waits for ch, within a call's context and time, or for the connection's
// end.
func (c *Conn) await(ctx context.Context, t *limits.Timeout, ch <-chan struct{}) error {
	t.Wait()
	expired := t.Expired()
	defer t.Stop()
	select {
	case <-ch:
	case <-c.done:
	case <-ctx.Done():
		return fault.OfContext(ctx.Err(), fault.NotRun)
	case <-expired:
		return t.Fault(fault.NotRun)
	}
	return nil
}

// abandon leaves a call without its answer. It reports false if the answer is
// being delivered at this moment.
func (c *Conn) abandon(k *Call) (fault.Outcome, bool) {
	p := k.chunked
	c.mu.Lock()
	if c.err != nil || c.calls.slots[k.slot] != k {
		c.mu.Unlock()
		return 0, false
	}
	if p != nil && !p.begunLocked() {
		c.queue.dropLocked(p)
		if next := c.calls.removeLocked(k); next != nil {
			next.wake <- false
		}
		c.mu.Unlock()
		return fault.NotRun, true
	}
	k.abandoned = true
	if p != nil {
		c.queue.dropLocked(p) // no chunk follows the CANCEL
	}
	c.cancelLocked(k.id)
	c.mu.Unlock()
	c.flushAsync()
	return fault.OutcomeUnknown, true
}

// cancelLocked tells the peer that nobody waits for a call.
func (c *Conn) cancelLocked(id uint64) {
	c.queue.addHeaderLocked(&wire.Frame{Type: wire.Cancel, ID: id})
}

// deliver hands an answer to its call.
func (c *Conn) deliver(m *Message) error {
	if m.Type == wire.Error {
		c.in.forgetResponse(m.ID)
	}
	c.mu.Lock()
	k, unused := c.calls.findLocked(m.ID)
	var next *Call
	if k != nil {
		next = c.calls.removeLocked(k)
	}
	gone := k == nil || k.abandoned
	unused = unused && c.err == nil // at the end the table is emptied
	c.mu.Unlock()
	if next != nil {
		c.batch.granted = append(c.batch.granted, next)
	}
	if unused {
		return fmt.Errorf("%v for call %d, which was never made", m.Type, m.ID)
	}
	if gone {
		return nil
	}
	k.setReply(m)
	c.batch.answered = append(c.batch.answered, k)
	return nil
}

// setReply sets the answer, from a message that is valid only now. The call is
// still to be finished.
func (k *Call) setReply(m *Message) {
	k.reply = reply{m.Type, m.Flags, m.Arg, m.Own, m.Body}
	if len(m.Meta) > 0 {
		if err := wire.ReadFields(m.Meta, noMetadata); err != nil {
			k.err = fault.New(fault.Internal, fault.OutcomeUnknown, "metadata of the answer: %w", err)
		}
	}
	if !m.Own {
		k.body = append(k.body[:0], m.Body...)
		k.reply.body = k.body
	}
}

// result returns the error that a call was answered with.
func (k *Call) result(ctx context.Context) error {
	if k.err != nil {
		return k.err
	}
	if k.reply.typ != wire.Error {
		return nil
	}
	f, err := wire.ReadFailure(k.reply.body)
	if err != nil {
		return fault.New(fault.Internal, fault.OutcomeUnknown, "answer: %w", err)
	}
	outcome := fault.Answered
	if k.reply.flags&wire.NotRun != 0 {
		outcome = fault.NotRun
	}
	e := remoteError(fault.Code(k.reply.arg), &f)
	e.Outcome = outcome
	if own := k.ownError(ctx, e); own != nil {
		return own
	}
	return e
}

// ownError returns the error of a call whose answer says that its time was over,
// or that it was cancelled, and whose caller would have found the same: the two
// ends' clocks race, and either may be first. Of another call it is nil.
func (k *Call) ownError(ctx context.Context, e *fault.Fault) *fault.Fault {
	switch e.Code {
	case fault.Canceled:
		if err := ctx.Err(); err != nil {
			return fault.OfContext(err, e.Outcome)
		}
	case fault.DeadlineExceeded:
		left, limited := k.Timeout.Remaining()
		if !limited || left > 0 && k.reply.flags&wire.Expired == 0 {
			return nil
		}
		own := k.Timeout.Fault(e.Outcome) // says what set the time
		if e.Outcome == fault.NotRun {
			own.Message = e.Message // says what it waited for
		}
		return own
	}
	return nil
}

// remoteError is the error that the peer sent in an ERROR or CLOSE frame.
func remoteError(code fault.Code, f *wire.Failure) *fault.Fault {
	return &fault.Fault{Code: code, Name: f.Name, Message: f.Message, LogID: f.LogID, Remote: true}
}

// failCall ends a call of this end before its answer is there. The holder of the
// turn calls it.
func (c *Conn) failCall(k *Call, err *fault.Fault) {
	c.mu.Lock()
	open := c.err == nil && c.calls.slots[k.slot] == k && !k.abandoned
	if open {
		// The caller's goroutine is done with k now; a stand-in keeps the slot.
		c.calls.slots[k.slot] = &Call{id: k.id, slot: k.slot, abandoned: true}
		c.cancelLocked(k.id)
	}
	c.mu.Unlock()
	if open {
		c.flushAsync()
		k.err = err
		c.batch.answered = append(c.batch.answered, k)
	}
}
