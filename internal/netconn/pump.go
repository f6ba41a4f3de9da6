package netconn

import (
	"net"
	"os"
	"sync"
	"time"
)

// A pumpedConn adds deadlines to a net.Conn without them, recognised by errors of its
// SetDeadline: for example channels of x/crypto/ssh, and some serial ports.
//
// Each Read and Write of the connection runs on a new goroutine, and may continue after
// a deadline. The bytes of such a Read are returned by a later one. After such a Write
// all further ones fail, as with TLS, because it is unknown how much of it will arrive
// at the peer.
type pumpedConn struct {
	*guardedConn
	closeOnce sync.Once
	done      chan struct{} // closed by Close

	readBy  deadline
	writeBy deadline

	// For Read only.
	reading bool        // a Read of the connection is running
	filled  chan pumped // receives its result; capacity 1
	buf     []byte      // its buffer, not to be used while it runs
	got     pumped      // the last result, as far as not yet returned

	// For Write only.
	copied []byte // buffer of the running Write of the connection
	failed error  // reason for which all further Writes fail
}

// A pumped is the result of a Read or Write of the connection.
type pumped struct {
	n   int    // of a Write
	b   []byte // of a Read
	err error
}

// pumpSize limits one Read or Write of the connection.
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

// pull starts a Read of the connection unless one is running.
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
		defer func() { p.filled <- got }() // deferred for runtime.Goexit in the connection's Read
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

// push writes b, at most pumpSize bytes. It writes a copy, because the Write may continue
// after push has returned.
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

// whyClosed returns the error of a Read or Write after Close.
func (p *pumpedConn) whyClosed() error {
	if why := p.whyBroken(); why != nil {
		return why
	}
	return net.ErrClosed
}

// Close makes Read and Write return at once. Their goroutines end when the Close of the
// connection interrupts them.
func (p *pumpedConn) Close() error {
	p.closeOnce.Do(func() { close(p.done) })
	return p.guardedConn.Close()
}

func (p *pumpedConn) SetDeadline(t time.Time) error {
	p.readBy.set(t)
	p.writeBy.set(t)
	return nil
}

func (p *pumpedConn) SetReadDeadline(t time.Time) error  { p.readBy.set(t); return nil }
func (p *pumpedConn) SetWriteDeadline(t time.Time) error { p.writeBy.set(t); return nil }

// A deadline can be changed while goroutines wait for it, as in net.Pipe.
type deadline struct {
	mu    sync.Mutex // guards the rest
	timer *time.Timer
	over  chan struct{} // closed when the deadline has passed; then replaced by set
}

// passed returns a channel closed when the deadline has passed. Later changes of the
// deadline apply to the channel too.
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

// set sets the deadline, zero for none.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	over := d.overLocked()
	if d.timer != nil && !d.timer.Stop() {
		<-over // the timer has fired; wait until its func has closed over
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
