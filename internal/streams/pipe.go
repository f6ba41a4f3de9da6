package streams

import (
	"io"
	"sync"
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A Pipe is a stream of a call without a connection: both ends of it, for two goroutines of one
// program. The sending one appends items to a buffer, the receiving one takes them from
// another; the two change places. Send waits while its buffer is full, so the receiver is the
// flow control.
//
// The first end counts. From then on Send returns transport.ErrStreamOver. Next returns the
// items in the buffers before the end, except after Close, after a Fail without them, and once
// the receiver has left.
//
// One goroutine at a time may call Send, SendBuffer and End, and one Next and Read. The
// other methods are safe for concurrent use.
type Pipe struct {
	// OnOver is called once, with the reason of the first end: nil for a complete stream, and
	// for Close. It must be set before all other uses, and must not wait.
	OnOver func(why *fault.Fault)

	// Left, if not nil, returns why the receiver does not want what has come; nil if it does. It
	// must be set before all other uses.
	Left func() *fault.Fault

	mu       sync.Mutex   // guards all up to receives
	in       []byte       // items sent and not taken
	sizes    []int        // of these
	over     bool         // nothing more is accepted
	why      *fault.Fault // nil for a complete stream
	flags    wire.Flags   // of End
	sends    bool         // a token in sender is wanted
	receives bool         // a token in receiver is wanted

	drops    atomic.Bool // what has not been taken is not wanted; changed under mu
	dropped  atomic.Bool
	sender   chan struct{} // capacity 1
	receiver chan struct{} // capacity 1

	// of the receiving goroutine
	cur      []byte // items; cur[:pos] have been taken
	pos      int
	curSizes []int // of all items in cur; at is the next one
	at       int
	rest     []byte // of the item in Read
}

// pipeBuffer is how many bytes wait in a Pipe, unless one item has more. keepPipe is the largest
// buffer that it keeps.
const (
	pipeBuffer = 64 << 10
	keepPipe   = 128 << 10
)

// errPipeClosed is the error of a stream after Close. It must not be changed.
var errPipeClosed = fault.New(fault.Canceled, fault.OutcomeUnknown, "the stream is closed")

// NewPipe returns a stream that accepts items.
func NewPipe() *Pipe {
	return &Pipe{sender: make(chan struct{}, 1), receiver: make(chan struct{}, 1)}
}

// Send implements Sender.
func (p *Pipe) Send(item []byte) error {
	p.mu.Lock()
	for !p.over && !p.dropped.Load() && len(p.sizes) > 0 && len(p.in)+len(item) > pipeBuffer {
		p.sends = true
		p.mu.Unlock()
		<-p.sender
		p.mu.Lock()
	}
	if p.over || p.dropped.Load() {
		p.mu.Unlock()
		return transport.ErrStreamOver
	}
	p.in, p.sizes = append(p.in, item...), append(p.sizes, len(item))
	p.wakeReceiverLocked()
	p.mu.Unlock()
	return nil
}

// SendBuffer implements Sender.
func (p *Pipe) SendBuffer(b *transport.ByteBuffer, n int) (*transport.ByteBuffer, error) {
	return b, p.Send(b.Space()[:n])
}

// End implements Sender, at a handler: what it says is answered. Only the flag Expired is kept.
func (p *Pipe) End(why *fault.Fault, flags wire.Flags) {
	if why != nil {
		why = why.WithOutcome(fault.Answered)
	}
	p.finish(why, flags, false)
}

// Cancel implements Sender: Send returns transport.ErrStreamOver, and End must follow.
func (p *Pipe) Cancel() {
	p.dropped.Store(true)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wakeSenderLocked()
}

// LeaseOver implements Sender. A Pipe has no lease.
func (p *Pipe) LeaseOver() *fault.Fault { return nil }

// Fail ends the stream with why, nil for a complete one, and at once if the items in the buffers
// are not wanted.
func (p *Pipe) Fail(why *fault.Fault, drop bool) { p.finish(why, 0, drop) }

// Close implements Receiver.
func (p *Pipe) Close() { p.finish(errPipeClosed, 0, true) }

// finish ends the stream. Only the first call has an effect, but a later one may drop items.
func (p *Pipe) finish(why *fault.Fault, flags wire.Flags, drop bool) {
	p.mu.Lock()
	first := !p.over
	if first {
		p.over, p.why, p.flags = true, why, flags
	}
	if drop {
		if p.drops.Store(true); p.why == nil || why != errPipeClosed {
			p.why = why // what is dropped makes a complete stream incomplete
		}
	}
	p.wakeSenderLocked()
	p.wakeReceiverLocked()
	p.mu.Unlock()
	if first && p.OnOver != nil {
		if why == errPipeClosed {
			why = nil
		}
		p.OnOver(why)
	}
}

// Drop implements Receiver. It only sets a flag: a cleanup must not touch channels, which may
// belong to the bubble of a test. Dropped reports it.
func (p *Pipe) Drop() { p.dropped.Store(true) }

// Dropped reports whether Send is of no use: the stream has been dropped or canceled.
func (p *Pipe) Dropped() bool { return p.dropped.Load() }

// Expired reports whether the time of the call was over at its end.
func (p *Pipe) Expired() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.flags&wire.Expired != 0
}

// wakeSenderLocked wakes the goroutine in Send.
func (p *Pipe) wakeSenderLocked() {
	if p.sends {
		p.sends = false
		p.sender <- struct{}{}
	}
}

// wakeReceiverLocked wakes the goroutine in take.
func (p *Pipe) wakeReceiverLocked() {
	if p.receives {
		p.receives = false
		p.receiver <- struct{}{}
	}
}

// Next implements Receiver. The error of an incomplete stream is a *fault.Fault.
func (p *Pipe) Next() ([]byte, error) {
	if p.at == len(p.curSizes) {
		if err := p.take(); err != nil {
			return nil, err
		}
	}
	if p.isUnwanted() {
		return nil, p.take()
	}
	begin := p.pos
	p.pos += p.curSizes[p.at]
	p.at++
	return p.cur[begin:p.pos:p.pos], nil
}

// isUnwanted reports whether what has come is not wanted.
func (p *Pipe) isUnwanted() bool {
	if p.drops.Load() {
		return true
	}
	if p.Left == nil {
		return false
	}
	why := p.Left()
	if why != nil {
		p.Fail(why, true)
	}
	return why != nil
}

// Read implements Receiver.
func (p *Pipe) Read(b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	if len(p.rest) > 0 && p.isUnwanted() {
		p.rest = nil
	}
	for len(p.rest) == 0 {
		if p.rest, err = p.Next(); err != nil {
			return 0, err
		}
	}
	n = copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// take waits for items, and exchanges the buffers.
func (p *Pipe) take() error {
	p.mu.Lock()
	for len(p.sizes) == 0 && !p.over {
		p.receives = true
		p.mu.Unlock()
		<-p.receiver
		p.mu.Lock()
	}
	defer p.mu.Unlock()
	if p.drops.Load() || len(p.sizes) == 0 {
		p.in, p.sizes, p.cur, p.curSizes, p.pos, p.at = nil, nil, nil, nil, 0, 0
		if p.why != nil {
			return p.why
		}
		return io.EOF
	}
	spare := p.cur[:0]
	if cap(spare) > keepPipe { // of a long item
		spare = nil
	}
	p.cur, p.in, p.pos = p.in, spare, 0
	p.curSizes, p.sizes, p.at = p.sizes, p.curSizes[:0], 0
	p.wakeSenderLocked()
	return nil
}
