package transport

import (
	"cmp"
	"context"
	"fmt"
	"sync"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A StreamCall is a call of this end with streams. With a result stream it is over at
// the END of that stream, otherwise at its answer, as any call is.
type StreamCall struct {
	Params []*Sender
	Result *Receiver // nil without a result stream
	Whole  limits.Timeout

	// OnAnswer, if not nil, gets Call.Entries of the answer to an eager call. The holder of
	// the read lease calls it before it reads an item.
	OnAnswer func(entries []byte)

	c        *Conn
	call     *Call
	ctx      context.Context
	Produced bool // OpenStreams has called produce: parameters may have been read
	answered bool // RESPONSE has come, and the result stream has not ended; guarded by Conn.mu

	watch watch
	once  sync.Once
	why   *fault.Fault // nil for a complete call; set before the end of watch
}

// Streams returns the streams of the call; nil without any.
func (call *Call) Streams() *StreamCall { return call.streams }

// WhenOver calls f on a goroutine of its own once the call is over, with the reason if its
// result stream is not complete.
func (s *StreamCall) WhenOver(f func(why *fault.Fault)) {
	s.watch.atEnd(func() { go f(s.why) })
}

// HasResult reports whether the call has a result stream, CloseResult ends it, and ParamsRead
// reports whether streams among the arguments may have been read.
func (s *StreamCall) HasResult() bool  { return s.Result != nil }
func (s *StreamCall) CloseResult()     { s.Result.Close() }
func (s *StreamCall) ParamsRead() bool { return s.Produced && len(s.Params) > 0 }

// NewStreamCall returns a call with a number of stream parameters. result is true for a
// stream of items, false for bytes, and nil without a result stream. call is set up as for
// Do; its Timeout limits the wait for the answer, and Whole limits the call.
//
// If eager is true, OpenStreams does not wait for the answer.
func NewStreamCall(c *Conn, call *Call, params int, result *bool, eager bool) *StreamCall {
	s := &StreamCall{c: c, call: call}
	if call.eager, call.over = eager, s.delivered; eager {
		call.wake = nil // for as long as the stream is open; openLocked makes another if the call waits
	}
	for i := range params {
		s.Params = append(s.Params, newSender(c, streamKey{number: uint16(i + 1), ours: true}))
	}
	if result != nil {
		s.Result = newReceiver(c, streamKey{ours: true}, *result)
		s.Result.call = s
	}
	call.streams = s
	return s
}

// OpenStreams sends the request of a call with streams. If it is not eager it waits for
// the answer, while produce runs the parameters. body is not used after it has returned.
//
// An error means that the call is over. Otherwise a call with a result stream is over at
// the end of that stream, and any other one is over now.
func OpenStreams(ctx context.Context, c *Conn, s *StreamCall, body *wire.Body, produce func()) error {
	if ctx.Err() != nil {
		return c.contextFault(ctx, &s.call.Timeout, fault.NotRun)
	}
	now := limits.Monotonic()
	s.ctx = ctx
	s.call.Timeout.Start(now)
	s.Whole.Start(now)
	s.call.Began = cmp.Or(s.call.Began, now)
	s.Whole.MarkWaited()
	if s.call.eager {
		body = ownBody(body)
	}
	if err := c.calls.send(ctx, s.call, body); err != nil {
		return err
	}
	c.countEager()
	s.Produced = true
	if s.call.eager {
		s.watch.begin(ctx, c, &s.Whole, s.expired)
		produce()
		return nil
	}
	produce()
	err := c.reader.await(ctx, s.call)
	if s.call.chunked != nil {
		c.writer.takeBack(s.call)
	}
	if err == nil {
		err = s.call.result(ctx, c)
	}
	s.call.wake = nil // the call stays for as long as its stream, and does not wait again
	s.call.Timeout.Forget()
	if err != nil {
		s.cancel(fault.Of(err), true)
		return err
	}
	if s.Result == nil {
		s.end(nil, false)
	} else {
		s.watch.begin(ctx, c, &s.Whole, s.expired)
	}
	return nil
}

// expired ends the call because its context or its time has ended. What has come stays, if the
// context has ended with the connection.
func (s *StreamCall) expired(why *fault.Fault) {
	s.cancel(why, s.ctx.Err() == nil || s.c.endOf(s.ctx) == nil)
}

// beginLocked makes the parameters of the request accept bytes.
func (s *StreamCall) beginLocked() {
	for _, p := range s.Params {
		p.beginLocked(s.call.chunked)
	}
}

// countLocked adds n times the streams of the call to those whose request has no id.
func (s *StreamCall) countLocked(n int) { s.c.streams.unsent += n * s.streams() }

// streams returns the number of streams of the call.
func (s *StreamCall) streams() int {
	if s.Result != nil {
		return len(s.Params) + 1
	}
	return len(s.Params)
}

// openLocked opens the streams of the request under its id.
func (s *StreamCall) openLocked() {
	t := &s.c.streams
	s.countLocked(-1)
	for _, p := range s.Params {
		if p.key.id = s.call.id; p.ended {
			continue // behind the request, which waited for the peer
		}
		t.addSenderLocked(p)
	}
	if s.Result != nil {
		s.Result.key.id = s.call.id
		t.addReceiverLocked(s.Result)
	}
}

// refusedLocked returns why a call with these streams cannot be made now, nil if it
// can.
func (s *StreamCall) refusedLocked() *fault.Fault {
	if s.c.peer.Streams.Window == 0 {
		return fault.New(fault.Unimplemented, fault.NotRun, "the peer does not support streams")
	}
	t := &s.c.streams
	if most := int(min(s.c.peer.Streams.Most, mostStreams)); t.ours+t.unsent+s.streams() > most {
		return fault.New(fault.ResourceExhausted, fault.NotRun, "too many open streams on this connection (%s MaxStreams is %d)", s.c.limits.PeerName(), most)
	}
	return nil
}

// count counts the call, which is over.
func (s *StreamCall) count(why *fault.Fault) {
	lane, code := s.c.cfg.Lane, fault.OK
	if why != nil {
		code = why.Code
	}
	if why != nil && why.Outcome == fault.NotRun {
		s.call.Tally.Refuse(lane, code)
	} else {
		s.call.Tally.Add(lane, 1, code, limits.Monotonic()-s.call.Began)
	}
}

// cancel ends a call for its caller, and tells the peer unless that has ended it. If drop
// is true, the items not read yet are dropped.
func (s *StreamCall) cancel(why *fault.Fault, drop bool) {
	if outcome, ok := s.c.calls.abandon(s.call); ok && outcome == fault.NotRun {
		why = why.WithOutcome(outcome)
	}
	s.end(why, drop)
}

// end ends the streams at this end. Only the first call has an effect.
func (s *StreamCall) end(why *fault.Fault, drop bool) {
	s.once.Do(func() {
		c := s.c
		c.calls.long.Add(-1)
		c.mu.Lock()
		for _, p := range s.Params {
			p.removeLocked()
		}
		c.mu.Unlock()
		s.why = why
		s.count(why)
		s.watch.end()
	})
	if s.Result != nil {
		s.Result.finish(why, drop)
	}
}

// deliverLocked takes an answer to a call with streams. It reports whether the call stays
// open, for its result stream.
func (s *StreamCall) deliverLocked(m *Message) (stays bool, err error) {
	if s.answered {
		return true, s.answeredAgain(&m.Frame)
	}
	s.answered = m.Type == wire.Response && s.Result != nil
	if !s.answered && s.Result != nil {
		s.c.streams.removeReceiverLocked(s.Result)
	}
	return s.answered, nil
}

// answeredAgain returns the violation of a second answer.
func (s *StreamCall) answeredAgain(f *wire.Frame) error {
	return fmt.Errorf("%v for call %d, which has been answered", f.Type, f.ID)
}

// delivered acts on the answer to an eager call.
func (s *StreamCall) delivered() {
	err := s.call.result(s.ctx, s.c)
	if s.OnAnswer != nil {
		s.OnAnswer(s.call.Entries())
	}
	if n := len(s.call.reply.body); err == nil && n > 0 {
		err = fault.New(fault.Internal, fault.Answered, "cannot decode the answer: %d trailing bytes", n)
	}
	if err != nil {
		s.cancel(fault.Of(err), false)
	}
}

// endOfCall acts on the END of the result stream. why is nil for a complete one.
func (c *Conn) endOfCall(s *StreamCall, m *Message, why *fault.Fault) {
	c.mu.Lock()
	c.streams.removeReceiverLocked(s.Result)
	c.calls.freeSlotLocked(s.call)
	c.calls.loadedLocked(-1)
	c.mu.Unlock()
	if why != nil {
		why.Outcome = fault.Answered
		if own := s.Whole.OwnFault(s.ctx, m.Flags&wire.Expired != 0, why); own != nil {
			why = own
		}
	}
	s.end(why, false)
}
