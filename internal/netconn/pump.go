package netconn

import (
	"net"
	"os"
	"sync"
	"time"
)

// A pumpedConn gives deadlines to a net.Conn without: one whose SetDeadline
// returns an error, as x/crypto/ssh's channels and some serial ports do. Each
// Read and Write of it goes on a goroutine of its own, which outlasts a deadline.
// What such a Read brings is the next one's. A Write whose time is over is the
// last, as with TLS: nothing tells how much of it the other end will get.
type pumpedConn struct {
	*guardedConn
	shut sync.Once
	done chan struct{} // closed by Close

	readBy  deadline
	writeBy deadline

	// the reader's
	reading bool        // a Read is under way
	filled  chan pumped // what it brings; capacity 1
	buf     []byte      // its memory
	got     pumped      // what it brought and nobody has taken yet

	// the writer's
	copied []byte // the memory of the Write that is under way
	failed error  // why there is no further Write
}

// A pumped is what a Read or Write came to.
type pumped struct {
	n   int
	b   []byte
	err error
}

// pumpSize is the most that one Read or Write of the connection within moves.
const pumpSize = 64 << 10

func newPumpedConn(g *guardedConn) *pumpedConn {
	return &pumpedConn{guardedConn: g, done: make(chan struct{}), filled: make(chan pumped, 1)}
}

func (p *pumpedConn) Read(b []byte) (int, error) {
	late := p.readBy.passed()
	select {
	case <-late:
		return 0, os.ErrDeadlineExceeded
	default:
	}
	if len(p.got.b) == 0 && p.got.err == nil {
		p.pull()
		select {
		case p.got = <-p.filled:
			p.reading = false
		case <-late:
			return 0, os.ErrDeadlineExceeded
		case <-p.done:
			return 0, p.whyClosed()
		}
	}
	n := copy(b, p.got.b)
	if p.got.b = p.got.b[n:]; len(p.got.b) > 0 {
		return n, nil
	}
	return n, p.got.err
}

// pull makes sure that a Read is under way.
func (p *pumpedConn) pull() {
	if p.reading {
		return
	}
	p.reading = true
	if p.buf == nil {
		p.buf = make([]byte, pumpSize)
	}
	go func() {
		got := pumped{err: net.ErrClosed}
		defer func() { p.filled <- got }() // also when the connection's Read calls runtime.Goexit
		n, err := p.guardedConn.Read(p.buf)
		got = pumped{b: p.buf[:n], err: err}
	}()
}

func (p *pumpedConn) Write(b []byte) (n int, err error) {
	for n < len(b) && p.failed == nil {
		k, err := p.push(b[n:min(len(b), n+pumpSize)])
		n += k
		p.failed = err
	}
	return n, p.failed
}

// push writes b, which may be used again as soon as push returns.
func (p *pumpedConn) push(b []byte) (int, error) {
	late := p.writeBy.passed()
	p.copied = append(p.copied[:0], b...)
	written := make(chan pumped, 1)
	go func() {
		put := pumped{err: net.ErrClosed}
		defer func() { written <- put }()
		n, err := p.guardedConn.Write(p.copied)
		put = pumped{n: n, err: err}
	}()
	select {
	case put := <-written:
		return put.n, put.err
	case <-late:
		return 0, os.ErrDeadlineExceeded
	case <-p.done:
		return 0, p.whyClosed()
	}
}

func (p *pumpedConn) whyClosed() error {
	if why := p.whyBroken(); why != nil {
		return why
	}
	return net.ErrClosed
}

// Close ends a Read and a Write at once. What the connection within has under
// way ends with its own Close.
func (p *pumpedConn) Close() error {
	p.shut.Do(func() { close(p.done) })
	return p.guardedConn.Close()
}

func (p *pumpedConn) SetDeadline(t time.Time) error {
	p.readBy.set(t)
	p.writeBy.set(t)
	return nil
}

func (p *pumpedConn) SetReadDeadline(t time.Time) error  { p.readBy.set(t); return nil }
func (p *pumpedConn) SetWriteDeadline(t time.Time) error { p.writeBy.set(t); return nil }

// A deadline can be set while others wait for it.
type deadline struct {
	mu    sync.Mutex
	timer *time.Timer
	over  chan struct{} // closed when it has passed
}

// passed returns a channel that is closed when the deadline has passed, whatever
// it is set to until then.
func (d *deadline) passed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.overLocked()
}

func (d *deadline) overLocked() chan struct{} {
	if d.over == nil {
		d.over = make(chan struct{})
	}
	return d.over
}

// set sets the deadline. The zero time is none.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	over := d.overLocked()
	if d.timer != nil && !d.timer.Stop() {
		<-over // its func is running
	}
	d.timer = nil
	select {
	case <-over:
		over = make(chan struct{})
		d.over = over
	default:
	}
	if t.IsZero() {
		return
	}
	if left := time.Until(t); left > 0 {
		d.timer = time.AfterFunc(left, func() { close(over) })
	} else {
		close(over)
	}
}
