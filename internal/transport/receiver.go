package transport

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A Receiver is the receiving end of a stream. The lease holder appends bytes to one
// buffer, within the credit of the peer, and the reading goroutine takes them from
// another; the two change places. Bytes are paid back as they are read, also those of an
// item that is not complete.
//
// Invariants:
//   - credit is what the peer may still send: the window, less the bytes in the two
//     buffers, less unpaid. accept takes from it, payBack adds to it.
//   - Before the reading goroutine waits, it has paid back all but half a window. The peer
//     can then send half a window at least, so the two never wait for each other.
//   - Once the stream is over, nothing is appended and nothing paid back; the peer needs no
//     credit for a stream that is over.
//   - What the stream has of the limits of the connection, lent and booked, is released
//     once: when the stream is dropped, or when its end is read.
//
// One goroutine at a time may call Next or Read. Close may be called at any time.
type Receiver struct {
	c    *Conn
	key  streamKey
	call *StreamCall // the call of this end with the result; nil for a parameter
	owed int64       // credit of the next CREDIT, in sendQueue.credits; guarded by Conn.mu

	state atomic.Uint32 // one of the constants below; changed under mu

	mu         sync.Mutex
	frames     *longFrames    // before in; nil for a stream without any
	in         []byte         // received, and not taken by the reading goroutine
	backlog    limits.Backlog // received, and not read when the goroutine last asked for more
	credit     int64          // of the peer
	err        *fault.Fault
	waiting    bool               // a token in wake is wanted
	lent       int64              // the part of the window that is lent
	left       uint32             // bytes to come of the item arriving
	booked     uint32             // of an incomplete long item
	unfinished *limits.Unfinished // this item; nil for none

	wake chan struct{} // capacity 1; made by the first wait

	// of the reading goroutine
	cur    []byte
	pos    int   // cur[:pos] has been read
	past   int   // cur[:past] is not in backlog
	prepay int64 // credit already paid back for the incomplete item at cur[pos:]
	unpaid int64 // credit for bytes that have been read
	window int64 // credit of the peer when everything is read
	books  bool  // the incomplete item is booked
	hungry bool  // the goroutine has waited since the last CREDIT

	items bool // a stream of items; never changes
}

// The states of a Receiver, in this order.
const (
	receiverOpen    uint32 = iota
	receiverOver           // nothing more is accepted
	receiverDropped        // what has not been read is not wanted
)

func (r *Receiver) isOver() bool    { return r.state.Load() != receiverOpen }
func (r *Receiver) isDropped() bool { return r.state.Load() == receiverDropped }

func newReceiver(c *Conn, key streamKey, items bool) *Receiver {
	window := int64(c.limits.StreamWindow)
	return &Receiver{c: c, key: key, items: items, credit: window, window: window}
}

// accept appends the bytes of an ITEMS frame. The lease holder calls it.
func (r *Receiver) accept(body []byte) error {
	tooLong, excess, err := r.append(body)
	switch {
	case excess != nil:
		r.leave(excess, true)
	case tooLong > 0:
		r.leave(fault.New(fault.ResourceExhausted, fault.OutcomeUnknown, "item of %d bytes, this end's MaxMessage is %d", tooLong, r.c.limits.MaxMessage), false)
	}
	return err
}

// append appends the bytes of an ITEMS frame, up to an item above MaxMessage. It returns the
// size of that item, if there is one, and why there is no room for the bytes.
func (r *Receiver) append(body []byte) (tooLong uint64, excess *fault.Fault, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isOver() {
		return 0, nil, nil
	}
	cost, fits, tooLong, err := r.costLocked(body)
	if err == nil {
		excess, err = r.admitLocked(cost, fits)
	}
	if err != nil || excess != nil {
		return 0, excess, err
	}
	r.in = append(r.in, body[:fits]...)
	r.wakeLocked()
	return tooLong, nil, nil
}

// admitLocked takes cost from the credit of the peer, and adds n bytes to the backlog. Without room
// for them it returns why the stream has to end.
func (r *Receiver) admitLocked(cost int64, n int) (excess *fault.Fault, err error) {
	if err = r.spendLocked(cost); err == nil {
		excess = r.backlog.Add(&r.c.requests.waiting, n)
	}
	return excess, err
}

// passLocked takes the first n bytes of cur from the backlog.
func (r *Receiver) passLocked(n int) {
	if n > r.past {
		r.backlog.Add(&r.c.requests.waiting, r.past-n)
		r.past = n
	}
}

// costLocked returns the credit for the bytes of a frame, the size of the first item above
// MaxMessage in it, if there is one, and how many bytes stand before that.
func (r *Receiver) costLocked(body []byte) (cost int64, fits int, tooLong uint64, err error) {
	cost, fits = int64(len(body)), len(body)
	if !r.items {
		return cost, fits, 0, nil
	}
	for rest := body; ; {
		if n := min(uint64(r.left), uint64(len(rest))); n > 0 {
			rest, r.left = rest[n:], r.left-uint32(n)
		}
		if len(rest) == 0 {
			return cost, fits, tooLong, nil
		}
		size, ok := wire.ReadItemHeader(rest)
		if !ok {
			return 0, 0, 0, fmt.Errorf("ITEMS of stream %d of call %d ends in the length of an item", r.key.number, r.key.id)
		}
		if size > uint64(r.c.limits.MaxMessage) && tooLong == 0 {
			tooLong, fits = size, len(body)-len(rest)
		}
		cost += wire.HeaderCost(size) - wire.ItemHeader
		rest, r.left = rest[wire.ItemHeader:], uint32(size)
	}
}

// inItem reports whether an item has arrived only partly. The items of a stream that is
// over are not counted.
func (r *Receiver) inItem() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.isOver() && r.left > 0
}

// finish ends the stream with why, nil for the end of a complete stream. If drop is true,
// the bytes not read yet are dropped. Only the first reason counts.
func (r *Receiver) finish(why *fault.Fault, drop bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.finishLocked(why, drop)
}

func (r *Receiver) finishLocked(why *fault.Fault, drop bool) {
	if !r.isOver() {
		r.state.Store(receiverOver)
		if r.err = why; r.call != nil {
			// A result counts while it is open: a user may keep it for ever. A parameter has the
			// end of its call.
			r.backlog.Release(&r.c.requests.waiting)
		}
	} else if drop && !r.isDropped() && why != nil {
		r.err = why
	}
	if drop {
		r.state.Store(receiverDropped)
	}
	if r.isDropped() {
		r.releaseLocked()
	}
	r.wakeLocked()
}

// waitLocked announces that the reading goroutine waits for a token in wake.
func (r *Receiver) waitLocked() {
	r.waiting = true
	if r.wake == nil {
		r.wake = make(chan struct{}, 1)
	}
}

func (r *Receiver) wakeLocked() {
	if r.waiting {
		r.waiting = false
		r.wake <- struct{}{}
	}
}

// isUnwanted reports whether what has come is not wanted: the stream is dropped, or the context
// of its caller has ended. That drops it too, but on a goroutine which may have to wait for its turn.
func (r *Receiver) isUnwanted() bool {
	if r.isDropped() {
		return true
	}
	if r.call == nil {
		return false
	}
	err := r.call.ctx.Err()
	if err == nil || r.c.endOf(r.call.ctx) != nil { // what has come before the end of the connection stays
		return false
	}
	r.leave(r.call.Whole.ContextFault(err, fault.OutcomeUnknown), true)
	return true
}

// Next returns the next item, valid until the next call of Next. It returns io.EOF at the
// end of a complete stream.
func (r *Receiver) Next() ([]byte, error) {
	for {
		if size, ok := wire.ReadItemHeader(r.cur[r.pos:]); ok {
			if r.isUnwanted() {
				return nil, r.finished()
			}
			begin := r.pos + wire.ItemHeader
			if size <= uint64(len(r.cur)-begin) {
				end := begin + int(size)
				r.pos = end
				r.read(wire.HeaderCost(size) + int64(size) - r.prepay)
				if r.prepay = 0; r.books {
					r.unbook()
				}
				return r.cur[begin:end:end], nil
			}
			if err := r.bookItem(size); err != nil {
				return nil, err
			}
		}
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
}

// Read implements io.Reader for a stream of bytes.
func (r *Receiver) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for r.pos == len(r.cur) {
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	if r.isUnwanted() {
		return 0, r.finished()
	}
	n := copy(p, r.cur[r.pos:])
	r.pos += n
	r.read(int64(n))
	return n, nil
}

// releaseLocked returns what the stream has of the limits of the connection.
func (r *Receiver) releaseLocked() {
	r.endItemLocked()
	r.c.streams.lent.Add(-r.lent)
	r.backlog.Release(&r.c.requests.waiting)
	r.frames.releaseLocked()
	r.in, r.lent = nil, 0
}

// fill waits for bytes and takes them into cur.
func (r *Receiver) fill() error {
	r.mu.Lock()
	r.passLocked(r.pos)
	// The order of the cases matters: bytes received before the end are read first, but a
	// caller that has canceled its call gets no more of them.
	for {
		switch {
		case r.isDropped():
			r.mu.Unlock()
			return r.finished()
		case r.hasBytesLocked():
			r.takeLocked()
			r.mu.Unlock()
			return nil
		case r.isOver():
			r.mu.Unlock()
			return r.finished()
		}
		r.mu.Unlock()
		r.payPartial()
		r.mu.Lock()
		if r.hasBytesLocked() || r.isOver() {
			continue
		}
		r.waitLocked()
		r.mu.Unlock()
		if r.books {
			r.awaitLong()
		} else {
			<-r.wake
		}
		r.mu.Lock()
	}
}

// takeLocked moves the received bytes to cur, behind the rest of an incomplete item.
func (r *Receiver) takeLocked() {
	if r.takeBufferLocked() {
		return
	}
	n := len(r.in)
	if r.past -= r.pos; r.pos == len(r.cur) {
		spare := r.cur[:0]
		if int64(cap(spare)) > 2*r.window { // append makes some more than the window
			spare = nil // of a long item
		}
		r.cur, r.in, r.pos = r.in, spare, 0
	} else {
		if r.pos > 0 {
			r.cur = r.cur[:copy(r.cur, r.cur[r.pos:])]
			r.pos = 0
		}
		r.cur = append(r.cur, r.in...)
		r.in = r.in[:0]
	}
	if r.unfinished != nil { // they count there from now on
		r.unfinished.Add(n, limits.Monotonic())
		r.passLocked(len(r.cur))
	}
}

// finished releases the memory of a stream that is over, and returns its end.
func (r *Receiver) finished() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.takeBufferLocked()
	r.cur, r.pos, r.past = nil, 0, 0
	if r.releaseLocked(); r.err == nil {
		return io.EOF
	}
	return r.err
}

// errClosedStream is the error of a stream after Close. It must not be changed.
var errClosedStream = fault.New(fault.Canceled, fault.OutcomeUnknown, "the stream is closed")

// Close ends the stream before its end. Close of a stream that is over has no effect.
func (r *Receiver) Close() { r.leave(errClosedStream, true) }

// leave ends the stream before its end, with why: a parameter is stopped, and the call of a
// result is canceled. If drop is true, the bytes not read yet are dropped.
func (r *Receiver) leave(why *fault.Fault, drop bool) {
	c := r.c
	if r.call != nil {
		r.call.cancel(why, drop)
	} else {
		c.mu.Lock()
		if c.streams.removeReceiverLocked(r) {
			f := r.key.frame(wire.Stop)
			c.writer.queue.addHeaderLocked(&f)
			c.writer.startIfNeededLocked()
		}
		c.mu.Unlock()
	}
	r.finish(why, drop)
}

// EndOfCall ends a parameter of a request that has been answered, or canceled by its caller.
func (r *Receiver) EndOfCall(why *fault.Fault) {
	c := r.c
	c.mu.Lock()
	c.streams.removeReceiverLocked(r)
	c.mu.Unlock()
	r.finish(why, true)
}
