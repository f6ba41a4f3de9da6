package bsrpctest

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// A Fault is a fault of a connection, for Faulty.
type Fault func(*faultyConn)

// Delay makes each Read, and each piece of a Write, wait for d before it begins.
func Delay(d time.Duration) Fault { return func(c *faultyConn) { c.delay = d } }

// CutReads closes the connection after n bytes have been read: the next Read fails, and the
// peer finds the connection closed.
func CutReads(n int64) Fault { return func(c *faultyConn) { c.reads.end, c.reads.cut = n, true } }

// CutWrites closes the connection after n bytes have been written. A longer Write writes
// the bytes up to n, and then fails.
func CutWrites(n int64) Fault { return func(c *faultyConn) { c.writes.end, c.writes.cut = n, true } }

// StallReads makes Read hang after n bytes have been read, until its deadline or Close, as if
// the peer or the network were dead.
func StallReads(n int64) Fault { return func(c *faultyConn) { c.reads.end = n } }

// StallWrites makes Write hang after n bytes have been written, until its deadline or Close,
// as if the peer read nothing.
func StallWrites(n int64) Fault { return func(c *faultyConn) { c.writes.end = n } }

// SplitReads makes each Read return at most n bytes. n is at least 1.
func SplitReads(n int) Fault { return func(c *faultyConn) { c.reads.piece = max(n, 1) } }

// SplitWrites writes at most n bytes at a time to the connection. n is at least 1.
func SplitWrites(n int) Fault { return func(c *faultyConn) { c.writes.piece = max(n, 1) } }

// NoDeadlines makes the three methods that set deadlines return an error, as those of some
// tunnels do.
func NoDeadlines() Fault { return func(c *faultyConn) { c.noDeadlines = true } }

// Faulty returns a connection over nc with faults. Bytes are counted from the call of Faulty.
// It owns nc. It is no socket to the library, even if nc is one.
//
// With it a test shows what a program does when a network fails: cut a session at every byte,
// or stall one direction of it.
//
// Times are those of package time, so a testing/synctest bubble controls them.
func Faulty(nc net.Conn, faults ...Fault) net.Conn {
	c := &faultyConn{Conn: nc, closed: make(chan struct{})}
	for _, w := range []*direction{&c.reads, &c.writes} {
		w.end, w.piece, w.changed = -1, int(^uint(0)>>1), make(chan struct{})
	}
	for _, f := range faults {
		f(c)
	}
	return c
}

// A faultyConn is the connection of Faulty.
type faultyConn struct {
	net.Conn
	delay         time.Duration
	noDeadlines   bool
	reads, writes direction

	once   sync.Once
	closed chan struct{} // by Close, or by a cut
}

// A direction is one direction of a faultyConn.
type direction struct {
	end   int64 // the bytes before the fault; -1 for none
	cut   bool  // the fault closes the connection
	piece int   // the most bytes at a time

	using sync.Mutex // held by a Read or Write: they have an order

	mu       sync.Mutex // guards the rest
	done     int64
	deadline time.Time
	changed  chan struct{} // closed when deadline changes
}

// room returns how many of n bytes may pass at once.
func (d *direction) room(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n = min(n, d.piece)
	if d.end >= 0 {
		n = int(min(int64(n), d.end-d.done))
	}
	return n
}

// passed counts n bytes.
func (d *direction) passed(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.done += int64(n)
}

// setDeadline sets the deadline of a direction, also that of a running wait.
func (d *direction) setDeadline(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.deadline = t
	close(d.changed)
	d.changed = make(chan struct{})
}

// errCut is the error of a Read or Write after a cut.
var errCut = errors.New("bsrpctest: the connection was cut")

// wait waits for the end of the time until, or for ever if it is nil, or for the deadline.
func (c *faultyConn) wait(d *direction, until <-chan time.Time) error {
	for {
		d.mu.Lock()
		deadline, changed := d.deadline, d.changed
		d.mu.Unlock()
		var expired <-chan time.Time
		if !deadline.IsZero() {
			left := time.Until(deadline)
			if left <= 0 {
				return os.ErrDeadlineExceeded
			}
			timer := time.NewTimer(left)
			defer timer.Stop()
			expired = timer.C
		}
		select {
		case <-until:
			return nil
		case <-expired:
			return os.ErrDeadlineExceeded
		case <-c.closed:
			return net.ErrClosed
		case <-changed:
		}
	}
}

// begin waits for the delay, and for ever after the bytes before a stall. It returns how many
// of n bytes may pass.
func (c *faultyConn) begin(d *direction, n int) (int, error) {
	if c.delay > 0 {
		timer := time.NewTimer(c.delay)
		defer timer.Stop()
		if err := c.wait(d, timer.C); err != nil {
			return 0, err
		}
	}
	room := d.room(n)
	switch {
	case room > 0 || n == 0:
		return room, nil
	case d.cut:
		c.Close()
		return 0, errCut
	}
	return 0, c.wait(d, nil)
}

// Read implements net.Conn.
func (c *faultyConn) Read(b []byte) (int, error) {
	d := &c.reads
	d.using.Lock()
	defer d.using.Unlock()
	room, err := c.begin(d, len(b))
	if err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(b[:room])
	d.passed(n)
	return n, err
}

// Write implements net.Conn.
func (c *faultyConn) Write(b []byte) (n int, err error) {
	d := &c.writes
	d.using.Lock()
	defer d.using.Unlock()
	for {
		room, err := c.begin(d, len(b)-n)
		if err != nil {
			return n, err
		}
		m, err := c.Conn.Write(b[n : n+room])
		d.passed(m)
		if n += m; err != nil || n == len(b) {
			return n, err
		}
	}
}

// Close implements net.Conn.
func (c *faultyConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// SetDeadline implements net.Conn.
func (c *faultyConn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *faultyConn) SetReadDeadline(t time.Time) error {
	if c.noDeadlines {
		return errors.ErrUnsupported
	}
	c.reads.setDeadline(t)
	return c.Conn.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (c *faultyConn) SetWriteDeadline(t time.Time) error {
	if c.noDeadlines {
		return errors.ErrUnsupported
	}
	c.writes.setDeadline(t)
	return c.Conn.SetWriteDeadline(t)
}
