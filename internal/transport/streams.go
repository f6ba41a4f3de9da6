package transport

import (
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// streams are the open streams of a connection, of calls by either end. Conn.mu guards
// the maps and the counts.
//
// A stream is in its map from the moment its call has an id until its END is sent or
// received, until STOP, or until its call is over. A frame about any other stream of a known
// call is late, and ignored: the two ends learn of an end at different times. Counting in
// both directions this way, an end never sees more open streams of its peer than the peer
// itself does.
type streams struct {
	c         *Conn
	senders   map[streamKey]*Sender
	receivers map[streamKey]*Receiver
	ours      int // open streams of calls by this end
	unsent    int // streams of calls by this end without an id: their requests wait for the peer
	peers     int // open streams of calls by the peer, with the results to come

	dropped  atomic.Pointer[droppedStream]
	answered atomic.Int64 // requests of the peer in flight for their stream only
	lent     atomic.Int64 // credit above the first window of the receivers; at most Limits.ConnWindow
}

// A streamKey identifies one direction of a stream.
type streamKey struct {
	id     uint64 // of the call
	number uint16 // 0 for the result, 1 and above for the parameters
	ours   bool   // this end made the call
}

// streamOf returns the key of the stream that a frame of the peer is about.
func streamOf(f *wire.Frame) streamKey {
	return streamKey{f.ID, f.Arg, f.Flags&wire.FromCaller == 0}
}

// frame returns the header of a frame to the peer about the stream.
func (k streamKey) frame(t wire.Type) wire.Frame {
	f := wire.Frame{Type: t, ID: k.id, Arg: k.number}
	if k.ours {
		f.Flags = wire.FromCaller
	}
	return f
}

func (t *streams) init(c *Conn) {
	t.c = c
	t.senders, t.receivers = make(map[streamKey]*Sender), make(map[streamKey]*Receiver)
}

// Evolves reports whether the peer binds contracts by their texts, too.
func (c *Conn) Evolves() bool { return c.peer.Evolves }

// SupportsStreams reports whether the peer supports streams.
func (c *Conn) SupportsStreams() bool { return c.peer.Streams.Window > 0 }

// AcceptStreams opens the streams of a request of the peer: its parameters, each true for
// items and false for bytes, and its result, if it has one. The result opens with
// ReplyBefore. Only methods of the Handler may call it, before Request returns. It
// returns a refusal if the peer has too many streams.
func (c *Conn) AcceptStreams(id uint64, params []bool, result bool) (in []*Receiver, out *Sender, refusal *fault.Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, n := &c.streams, len(params)
	if result {
		n++
	}
	if most := c.limits.MaxStreams; t.peers+n > most {
		return nil, nil, fault.Refusal(fault.ResourceExhausted, "too many open streams on this connection (%s MaxStreams is %d)", c.limits.Owner, most)
	}
	for i, items := range params {
		r := newReceiver(c, streamKey{id: id, number: uint16(i + 1)}, items)
		if in = append(in, r); c.end.why == nil {
			t.addReceiverLocked(r)
		} else {
			r.finish(c.end.faultLocked(fault.OutcomeUnknown), false)
		}
	}
	if result {
		out = newSender(c, streamKey{id: id})
		if c.end.why == nil { // from now on: its CREDIT may come before it begins
			t.addSenderLocked(out)
		}
	}
	return in, out, nil
}

// beginLocked opens the result stream of a request of the peer behind its reply, if that
// is a RESPONSE. It reports whether the stream is open.
func (t *streams) beginLocked(s *Sender, response bool, reply *chunkedMessage) bool {
	if !response {
		t.removeSenderLocked(s)
		return false
	}
	t.answered.Add(1)
	s.beginLocked(reply)
	s.counted = true
	return true
}

// endLocked ends the request of a result stream, in the same step as its END is queued.
func (t *streams) endLocked() (last bool) {
	last = t.c.requests.inflight.Done(1)
	t.answered.Add(-1) // second: accept looks at them in the other order
	return last
}

func (t *streams) addSenderLocked(s *Sender) {
	t.senders[s.key] = s
	t.countLocked(s.key, 1)
}

func (t *streams) addReceiverLocked(r *Receiver) {
	t.receivers[r.key] = r
	t.countLocked(r.key, 1)
}

// removeSenderLocked removes a stream from the table, if it is there.
func (t *streams) removeSenderLocked(s *Sender) {
	if t.senders[s.key] == s {
		delete(t.senders, s.key)
		t.countLocked(s.key, -1)
	}
}

// removeReceiverLocked removes a stream from the table. It reports whether the stream was open.
func (t *streams) removeReceiverLocked(r *Receiver) bool {
	if t.receivers[r.key] != r {
		return false
	}
	delete(t.receivers, r.key)
	t.countLocked(r.key, -1)
	return true
}

func (t *streams) countLocked(k streamKey, n int) {
	if k.ours {
		t.ours += n
	} else {
		t.peers += n
	}
}

// clearLocked empties the table at the end of the connection.
func (t *streams) clearLocked() (receivers []*Receiver) {
	for _, s := range t.senders {
		s.closeLocked()
	}
	for _, r := range t.receivers {
		receivers = append(receivers, r)
	}
	clear(t.senders)
	clear(t.receivers)
	t.ours, t.unsent, t.peers = 0, 0, 0
	return receivers
}

// A droppedStream is a stream that the user has dropped without reading it, in a list of
// them.
type droppedStream struct {
	r    *Receiver
	next *droppedStream
}

// Drop closes a stream later, at the next read, write or keepalive of the connection. Unlike Close it
// touches nothing but an atomic list, so that a cleanup may call it.
func (r *Receiver) Drop() {
	d := &droppedStream{r: r}
	list := &r.c.streams.dropped
	for d.next = list.Load(); !list.CompareAndSwap(d.next, d); d.next = list.Load() {
	}
}

// anyDropped reports whether closeDropped has something to do.
func (t *streams) anyDropped() bool { return t.dropped.Load() != nil }

// closeDropped closes the dropped streams. It takes Conn.mu.
func (t *streams) closeDropped() {
	for d := t.dropped.Swap(nil); d != nil; d = d.next {
		d.r.Close()
	}
}

// handle acts on a frame of a stream. The lease holder calls it.
func (t *streams) handle(m *Message) error {
	key := streamOf(&m.Frame)
	t.c.mu.Lock()
	r, s := t.receivers[key], t.senders[key]
	early := r != nil && r.call != nil && !r.call.answered
	t.c.mu.Unlock()
	switch {
	case early && (m.Type == wire.Items || m.Type == wire.End):
		return fmt.Errorf("%v of call %d, which has not been answered", m.Type, m.ID)
	case m.Type == wire.Items && r != nil && m.Buffer != nil:
		taken, err := r.acceptBuffer(m.Buffer)
		if taken {
			m.Buffer = nil
		}
		return err
	case m.Type == wire.Items && r != nil:
		return r.accept(m.Body)
	case m.Type == wire.End && r != nil:
		return t.handleEnd(r, m)
	case m.Type == wire.Credit && s != nil:
		n, err := wire.ReadCredit(m.Body)
		if err != nil {
			return err
		}
		return s.addCredit(int64(n))
	case m.Type == wire.Stop && s != nil:
		s.stop()
		return nil
	}
	return t.checkLate(m, key)
}

// checkLate checks a frame about a stream that is not open. It may be late; a stream of a
// call never made is a violation.
func (t *streams) checkLate(m *Message, key streamKey) error {
	unused := false
	if key.ours {
		t.c.mu.Lock()
		_, unused = t.c.calls.findLocked(key.id)
		unused = unused && t.c.end.why == nil
		t.c.mu.Unlock()
	} else {
		unused = key.id == 0 || key.id > t.c.requests.lastID || t.c.reader.in.isRequestIncomplete(key.id)
	}
	if unused {
		return fmt.Errorf("%v for stream %d of call %d, which was never made", m.Type, key.number, key.id)
	}
	return nil
}

// handleEnd acts on the end of a stream by its sender.
func (t *streams) handleEnd(r *Receiver, m *Message) error {
	e, err := wire.ReadStreamEnd(m.Body)
	if err != nil {
		return fmt.Errorf("%v: %w", m.Type, err)
	}
	meta, err := wire.ReadReplyMetadata(wire.End, m.Meta)
	if err != nil {
		return fmt.Errorf("%v: metadata: %w", m.Type, err)
	}
	if e.Code == 0 && r.inItem() {
		return fmt.Errorf("%v of stream %d of call %d, in an item", m.Type, m.Arg, m.ID)
	}
	c := t.c
	var why *fault.Fault
	if e.Code != 0 {
		why = c.remoteFault(fault.Code(e.Code), &e.Failure)
		why.Identities = slices.Clone(meta.Identities)
	}
	if r.call != nil {
		c.endOfCall(r.call, m, why)
		return nil
	}
	c.mu.Lock()
	t.removeReceiverLocked(r)
	c.mu.Unlock()
	r.finish(why, false)
	return nil
}
