package transport

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// ErrStreamOver is returned by the methods of a Sender whose stream is over: the receiver
// has stopped it, its call is over, or the connection has ended. Nothing more is to be
// done for it.
var ErrStreamOver = errors.New("the stream is over")

// A Sender is the sending end of a stream. Its bytes wait in a buffer of the stream until
// the writer takes them, so small items are written together while the writer is busy,
// and at once while it is not. The buffer is one frame at most; the sender waits for the
// writer, and for credit from the receiver.
//
// A sender that is over drops what waits in its buffer, and returns ErrStreamOver from then
// on. Its END is sent nevertheless if the peer expects one: for a result, until the
// connection ends.
//
// One goroutine at a time may call Send, SendBuffer and End.
type Sender struct {
	c   *Conn
	key streamKey

	// guarded by Conn.mu
	open    bool // begun, and not over
	gone    bool // the methods return ErrStreamOver, and nothing but END follows: the call of a result is canceled, or its lease is over
	ended   bool // END is queued
	counted bool // in streams.answered, until End
	listed  bool // in sendQueue.streams
	waiting bool // a token in wake is wanted
	credit  int64
	out     []byte          // not in a batch yet
	own     *ByteBuffer     // the same, in place of out; nil for none
	end     *streamEnd      // behind out; nil once it is in a batch
	behind  *chunkedMessage // the message to be written first; nil once it is
	lease   *windowLease    // nil for most

	wake chan struct{} // capacity 1; made by the first wait
	pace pace          // of the sending goroutine
}

// A streamEnd is an END that waits to be written. Its stream may not have an id yet.
type streamEnd struct {
	flags wire.Flags
	meta  []byte
	body  []byte
}

func newSender(c *Conn, key streamKey) *Sender {
	return &Sender{c: c, key: key, credit: int64(c.peer.Streams.Window)}
}

// beginLocked makes the sender accept bytes, to be written behind a message unless that is
// nil.
func (s *Sender) beginLocked(behind *chunkedMessage) {
	s.open = s.c.end.closing == nil
	if behind != nil && behind.unfinishedLocked() {
		s.behind = behind
		behind.followers = append(behind.followers, s)
	}
}

// Send sends one item. It returns once the item is in the send queue, or partly in it
// and the rest of no interest any more.
func (s *Sender) Send(item []byte) error {
	c := s.c
	size := uint64(len(item))
	if size > c.peer.MaxMessage {
		return fault.New(fault.ResourceExhausted, fault.OutcomeUnknown, "item of %d bytes, the receiver's MaxMessage is %d", size, c.peer.MaxMessage)
	}
	c.mu.Lock()
	cost := wire.HeaderCost(size)
	if !s.awaitLocked(cost, wire.ItemHeader+1) {
		c.mu.Unlock()
		return ErrStreamOver
	}
	s.credit -= cost
	s.out = wire.AppendItemHeader(s.out, len(item))
	writes := s.pace.alternatesLocked(&c.writer) && s.fitsLocked(len(item))
	if writes {
		c.writer.queue.role.passLocked(noWriter, callerWriter)
	}
	err := s.appendLocked(item)
	c.mu.Unlock()
	if writes {
		c.writer.writeAsCaller(nil)
		s.pace.sent = limits.Monotonic()
	}
	return err
}

// fitsLocked reports whether n more bytes can be appended without waiting.
func (s *Sender) fitsLocked(n int) bool {
	return s.behind == nil && s.own == nil && s.credit >= int64(n) && wire.MaxUnchunked-len(s.out) >= n
}

// A pace tells senders that alternate with their peer from those with many items at once. One
// that alternates finds nothing waiting to be written, again and again, and pauses in between:
// it writes its item itself, as a caller writes its request. Otherwise a goroutine writes,
// while the sender makes more items. The sending goroutine alone uses it.
type pace struct {
	sent time.Duration // the end of the last Send that found the writer idle; 0 if the last one did not
}

// minPause is the shortest pause between two items that are written by their sender.
const minPause = 4 * time.Microsecond

// alternatesLocked reports whether the sender shall write its next item itself.
func (p *pace) alternatesLocked(w *writer) bool {
	if !w.direct || w.queue.role != noWriter || w.queue.anyLocked() || w.c.end.closing != nil || w.c.end.why != nil {
		p.sent = 0
		return false
	}
	last, now := p.sent, limits.Monotonic()
	p.sent = now
	return last != 0 && now-last >= minPause
}

// appendLocked appends bytes to the buffer, as far as credit and room allow at a time.
func (s *Sender) appendLocked(p []byte) error {
	for len(p) > 0 {
		if !s.awaitLocked(1, 1) {
			return ErrStreamOver
		}
		// A frame may end anywhere in an item. Its header has been appended as a whole.
		n := min(len(p), int(min(s.credit, wire.MaxUnchunked)), wire.MaxUnchunked-len(s.out))
		s.out = append(s.out, p[:n]...)
		s.credit -= int64(n)
		p = p[n:]
	}
	s.listLocked()
	return nil
}

// awaitLocked waits for credit, and for room in the buffer. It reports false if the
// stream is over. It releases Conn.mu while waiting.
func (s *Sender) awaitLocked(credit int64, room int) bool {
	for s.open && !s.gone && (s.credit < credit || s.own != nil || wire.MaxUnchunked-len(s.out) < room) {
		s.listLocked()
		if s.waiting = true; s.wake == nil {
			s.wake = make(chan struct{}, 1)
		}
		if s.lease != nil && s.credit < credit {
			s.beginLeaseLocked()
		}
		s.c.mu.Unlock()
		<-s.wake
		s.c.mu.Lock()
		if s.lease != nil {
			s.endLeaseLocked()
		}
	}
	return s.open && !s.gone
}

// Cancel ends a result stream whose call has been canceled: the methods return
// ErrStreamOver. End must follow.
func (s *Sender) Cancel() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.gone, s.out, s.own = true, nil, nil
	s.wakeLocked()
}

// listLocked makes the writer take the buffer.
func (s *Sender) listLocked() {
	if s.listed || s.behind != nil || len(s.out) == 0 && s.own == nil && s.end == nil {
		return
	}
	s.listed = true
	w := &s.c.writer
	w.queue.streams = append(w.queue.streams, s)
	w.startIfNeededLocked()
}

// wakeLocked wakes the goroutine in awaitLocked.
func (s *Sender) wakeLocked() {
	if s.waiting {
		s.waiting = false
		s.wake <- struct{}{}
	}
}

// End ends the stream, with why if it is incomplete. A stream that is over needs no end.
func (s *Sender) End(why *fault.Fault, flags wire.Flags) {
	c := s.c
	c.mu.Lock()
	last := false
	if s.open {
		var e wire.StreamEnd
		if why != nil {
			e = wire.StreamEnd{Code: uint16(why.Code), Failure: wire.Failure{Name: why.Name, Message: fault.Cut(why.Message, c.limits.MaxErrorText), LogID: why.LogID}}
		}
		s.end = &streamEnd{flags: flags, body: e.Append(nil)}
		if why != nil && len(why.Identities) > 0 {
			s.end.flags |= wire.Metadata
			s.end.meta = wire.AppendReplyMetadata(nil, &wire.ReplyMetadata{Identities: why.Identities})
		}
		c.streams.removeSenderLocked(s)
		s.open, s.ended = false, true
		s.listLocked()
	}
	if s.counted {
		s.counted = false
		last = c.streams.endLocked()
	}
	c.mu.Unlock()
	if last && c.requests.inflight.Closing() != nil {
		c.closeDrained()
	}
}

// closeLocked ends the stream without an END: its call is over. Bytes waiting are
// dropped.
func (s *Sender) closeLocked() {
	if s.ended {
		return // what is left is written
	}
	s.open, s.out, s.own = false, nil, nil
	s.wakeLocked()
}

// removeLocked ends a stream as closeLocked does, and removes it from the table.
func (s *Sender) removeLocked() {
	s.c.streams.removeSenderLocked(s)
	s.closeLocked()
}

// dropLocked ends a stream whose message is not completely sent: nothing more of either is.
func (s *Sender) dropLocked() {
	s.behind, s.end, s.ended = nil, nil, false
	s.removeLocked()
}

// stop acts on a STOP of the receiver.
func (s *Sender) stop() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.removeLocked()
}

// addCredit acts on a CREDIT of the receiver.
func (s *Sender) addCredit(n int64) error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.credit += n; s.credit > math.MaxInt32 {
		return fmt.Errorf("credit of %d bytes for stream %d of call %d, want at most %d", s.credit, s.key.number, s.key.id, math.MaxInt32)
	}
	s.wakeLocked()
	return nil
}

// takeLocked appends the waiting bytes to frames, as one frame, and the END behind them.
func (s *Sender) takeLocked(frames []byte) []byte {
	s.listed = false
	if len(s.out) > 0 {
		f := s.key.frame(wire.Items)
		f.BodySize = len(s.out)
		frames = append(wire.AppendHeader(frames, &f), s.out...)
		if s.out = s.out[:0]; cap(s.out) > keepOut {
			s.out = nil
		}
	}
	if s.end != nil {
		f := s.key.frame(wire.End)
		f.Flags |= s.end.flags
		f.Meta = s.end.meta
		f.BodySize = len(s.end.body)
		frames = append(wire.AppendHeader(frames, &f), s.end.body...)
		s.end = nil
	}
	s.wakeLocked()
	return frames
}

// maxStreamBytes is how many bytes of streams go into one batch before a frame of
// another stream. keepOut is the largest buffer a stream keeps.
const (
	maxStreamBytes = 128 << 10
	keepOut        = 128 << 10 // append makes some more than a frame
)

// joinsLocked reports whether other streams may soon add to the waiting bytes of one.
func (q *sendQueue) joinsLocked(t *streams) bool {
	return len(q.streams) > 0 && len(t.senders) > len(q.streams)
}

// takeStreamsLocked moves the buffers of streams to frames, or to the batch, in rotation. A
// stream listed again meanwhile waits for the next batch.
func (q *sendQueue) takeStreamsLocked() {
	before, i := len(q.frames), 0
	for n := len(q.streams); i < n && len(q.frames)-before < maxStreamBytes; i++ {
		if s := q.streams[i]; s.own != nil {
			before -= q.takeOwnLocked(s)
		} else {
			q.frames = s.takeLocked(q.frames)
		}
	}
	q.streams = slices.Delete(q.streams, 0, i)
}

// releaseFollowersLocked lets the streams behind a message begin.
func (q *sendQueue) releaseFollowersLocked(m *chunkedMessage) {
	for _, s := range m.followers {
		s.behind = nil
		s.listLocked()
	}
	m.followers = nil
}

// dropFollowersLocked ends the streams behind a message that is dropped. The peer does not
// know of them, or their call is over.
func (q *sendQueue) dropFollowersLocked(m *chunkedMessage) {
	for _, s := range m.followers {
		s.dropLocked()
	}
	m.followers = nil
}
