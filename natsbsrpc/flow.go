package natsbsrpc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
)

const (
	window    = 1 << 20   // bytes of pieces that an end may send ahead of its peer
	pieceSize = 128 << 10 // the most bytes of a piece
	overhead  = 256       // added to the bytes of each piece, so that small ones are limited too
)

var (
	errAnswered = errors.New("the other end has answered before it had the whole body")
	errGone     = errors.New("the other end is gone, or has forgotten the call")
	errSilent   = errors.New("no instance says that it has the call: its instance is gone, or a message has been dropped (slow consumer)")
)

// A flow is one end of a call: the messages that have arrived, and those to be sent. A body that
// is longer than a message goes on in pieces, and so do the items of a stream. An end sends pieces
// within the credit of its peer, and gives credit for what it has read.
//
// deliver and fail may be called at any time. All other methods are for one goroutine at a time.
type flow struct {
	nc     *nats.Conn
	self   string // the subject of this end; at an instance that of the peer stands behind it
	served bool   // this end is an instance
	sent   uint64 // the number of the last piece
	seen   uint64 // the same of the peer
	owed   int    // bytes read, and not yet given back as credit

	mu      sync.Mutex // guards the rest
	peer    string     // the subject of the other end; "" while unknown
	arrived []*nats.Msg
	room    [1]*nats.Msg // the memory of the first of arrived
	held    int          // bytes of arrived
	credit  int
	silent  int           // gaps between pings without a message of the peer
	err     error         // why nothing else will arrive
	changed chan struct{} // capacity 1; nil until the first await, and after release
}

// signals are values of flow.changed. One may have a signal that has come late: await looks again.
var signals = sync.Pool{New: func() any { return make(chan struct{}, 1) }}

// release ends the flow. Nothing may wait for its messages.
func (f *flow) release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.changed != nil {
		signals.Put(f.changed)
		f.changed = nil
	}
}

func costOf(m *nats.Msg) int { return len(m.Data) + overhead }

// deliver takes a message of the peer. It does not block.
func (f *flow) deliver(m *nats.Msg) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.silent = 0
	if f.peer == "" {
		f.peer = m.Reply
	}
	switch h := m.Header; {
	case f.err != nil || h.Get(headerHere) != "" || h.Get(headerPing) != "":
		return
	case h.Get(headerCredit) != "":
		in := fields{header: h}
		n := int(in.number(headerCredit, window))
		if f.credit += n; in.err != nil || f.credit > window {
			f.err = errors.New("the other end gives more credit than it may")
		}
	case h.Get(headerGone) != "":
		f.err = errGone
	default:
		if f.arrived == nil {
			f.arrived = f.room[:0]
		}
		f.arrived = append(f.arrived, m)
		if f.held += costOf(m); f.held > window+int(f.nc.MaxPayload())+overhead {
			f.arrived, f.err = nil, errors.New("the other end sends more than it has credit for")
		}
	}
	f.signal()
}

// pass notes that a gap between pings is over. It returns how many have passed without a message of
// the peer. They are counted, not measured, because this end may have been suspended itself.
func (f *flow) pass() (silent int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.silent++
	return f.silent
}

// fail ends the flow after the messages that have arrived.
func (f *flow) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
	f.signal()
}

// signal wakes the goroutine of this end. f.mu is held.
func (f *flow) signal() {
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// await calls ready, with f.mu held, until it reports true.
func (f *flow) await(ctx context.Context, ready func() bool) error {
	for {
		f.mu.Lock()
		if f.changed == nil {
			f.changed = signals.Get().(chan struct{})
		}
		ok, err := ready(), f.err
		f.mu.Unlock()
		if ok {
			return nil
		} else if err != nil {
			return err
		}
		select {
		case <-f.changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// next returns the next message of the peer.
func (f *flow) next(ctx context.Context) (m *nats.Msg, err error) {
	err = f.await(ctx, func() bool {
		if len(f.arrived) == 0 {
			return false
		}
		m, f.arrived[0] = f.arrived[0], nil
		f.arrived, f.held = f.arrived[1:], f.held-costOf(m)
		return true
	})
	return m, err
}

// nextPiece returns the next message, which must be the next piece, or the end of a stream.
func (f *flow) nextPiece(ctx context.Context) (*nats.Msg, error) {
	m, err := f.next(ctx)
	if err != nil {
		return nil, err
	}
	in := fields{header: m.Header}
	seq := uint64(in.number(headerSeq, 1<<62))
	if f.seen++; in.err != nil || seq != f.seen {
		return nil, fmt.Errorf("message %d of the call is missing, %d has arrived: the broker or an end has dropped messages (slow consumer)", f.seen, seq)
	}
	if f.owed += costOf(m); f.owed >= window/2 {
		back := &nats.Msg{Header: nats.Header{headerCredit: {strconv.Itoa(f.owed)}}}
		f.owed = 0
		return m, f.post(back)
	}
	return m, nil
}

// body returns the whole of the body that begins with m.
func (f *flow) body(ctx context.Context, m *nats.Msg, most int) ([]byte, error) {
	b := m.Data
	for m.Header.Get(headerMore) != "" {
		var err error
		if m, err = f.nextPiece(ctx); err != nil {
			return nil, err
		}
		if len(b)+len(m.Data) > most {
			return nil, &tooLong{most}
		}
		b = append(b, m.Data...) // the memory of a message is its receiver's
	}
	return b, nil
}

// A tooLong is the error for a body above the limit of its receiver.
type tooLong struct{ most int }

func (e *tooLong) Error() string { return fmt.Sprintf("message of more than %d bytes", e.most) }

// known returns the subject of the peer; "" while it is unknown.
func (f *flow) known() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.peer
}

// post sends a message of the call, to the peer unless it has a subject.
func (f *flow) post(m *nats.Msg) error {
	peer := f.known()
	if m.Subject, m.Reply = cmp.Or(m.Subject, peer), f.self; f.served {
		m.Reply += peer
	}
	return f.nc.PublishMsg(m)
}

// begin sends m, the first message of this end, with as much of its body as fits. The rest goes
// to send. whole says that nothing follows m if all of it fits: then the peer needs no subject of this end.
func (f *flow) begin(m *nats.Msg, whole bool) (rest []byte, err error) {
	if room := max(0, int(f.nc.MaxPayload())-headerSize(m.Header)-len(headerMore)-8); len(m.Data) > room {
		setHeader(m, headerMore, set)
		m.Data, rest = m.Data[:room], m.Data[room:]
	}
	if whole && rest == nil {
		m.Subject = f.known()
		return nil, f.nc.PublishMsg(m)
	}
	return rest, f.post(m)
}

// request sends m, a whole request.
func (f *flow) request(ctx context.Context, m *nats.Msg) error {
	defer freeMessage(m)
	rest, err := f.begin(m, false)
	if err != nil {
		return fmt.Errorf("%w: %w", errNotSent, err)
	}
	if rest != nil {
		if err = f.send(ctx, rest); err == errAnswered {
			return nil
		}
	}
	return err
}

// headerSize returns the bytes of a header in a message.
func headerSize(h nats.Header) int {
	n := len("NATS/1.0\r\n\r\n")
	for key, values := range h {
		for _, v := range values {
			n += len(key) + len(": ") + len(v) + len("\r\n")
		}
	}
	return n
}

// send sends data in pieces: an item, or the rest of a body.
func (f *flow) send(ctx context.Context, data []byte) error {
	for {
		n := min(len(data), pieceSize, int(f.nc.MaxPayload())/2)
		m := &nats.Msg{Header: nats.Header{}, Data: data[:n]}
		if data = data[n:]; len(data) > 0 {
			m.Header[headerMore] = []string{set}
		}
		if err := f.sendPiece(ctx, m); err != nil || len(data) == 0 {
			return err
		}
	}
}

// sendPiece sends one message as soon as there is credit for it.
func (f *flow) sendPiece(ctx context.Context, m *nats.Msg) error {
	answered := false
	err := f.await(ctx, func() bool {
		if answered = len(f.arrived) > 0; answered {
			return true
		}
		if f.credit < costOf(m) {
			return false
		}
		f.credit -= costOf(m)
		return true
	})
	if err != nil {
		return err
	} else if answered {
		return errAnswered
	}
	f.sent++
	m.Header[headerSeq] = []string{strconv.FormatUint(f.sent, 10)}
	return f.post(m)
}
