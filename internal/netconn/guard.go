// Package netconn prepares any net.Conn for the library. The methods of a net.Conn
// may be the user's code: they may panic, hang, or ignore deadlines. Wrap returns a
// connection that does not. The sockets of package net are used directly.
package netconn

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Wrap returns nc itself if it is a socket. Any other connection it returns guarded,
// and with deadlines if nc has none.
func Wrap(nc net.Conn) net.Conn {
	if IsSocket(nc) {
		return nc
	}
	g := &guardedConn{nc: nc, closed: make(chan struct{})}
	for _, set := range [...]func(time.Time) error{g.SetDeadline, g.SetReadDeadline, g.SetWriteDeadline} {
		if set(time.Time{}) != nil {
			return newPumpedConn(g)
		}
	}
	return g
}

// IsSocket reports whether nc is a socket of package net itself. A type that embeds
// one has the socket's methods too, but all bytes must pass through its own.
func IsSocket(nc net.Conn) bool {
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn, TestSocket:
		return true
	}
	return false
}

// A TestSocket is a connection treated as a socket, for tests.
type TestSocket interface {
	net.Conn
	ActsAsSocket(Internal)
}

// Internal is a type that only packages of this module can name, so that a user's
// type is never a TestSocket.
type Internal struct{}

// Unwrap returns the connection given to Wrap, for questions about its type. Reads
// and writes must go through nc.
func Unwrap(nc net.Conn) net.Conn {
	if w, ok := nc.(interface{ unwrap() net.Conn }); ok {
		return w.unwrap()
	}
	return nc
}

// A guardedConn is a net.Conn of any make. Its methods may be the user's code,
// and hold only what they promise if the guard sees to it:
//   - A Read or Write ends at its deadline, or DeadlineGrace later: then the
//     guard closes the connection.
//   - A panic, runtime.Goexit or an impossible count is an error and ends the
//     connection.
//   - Close returns after closeWait at the latest.
//
// One goroutine reads and one writes at a time.
type guardedConn struct {
	nc     net.Conn
	reads  guardedOp
	writes guardedOp
	empty  int // Reads in a row without bytes and error; the reader's

	closing sync.Once
	closed  chan struct{} // closed when nc's Close has returned

	isBroken atomic.Bool // broken is set

	mu      sync.Mutex  // guards the rest
	broken  error       // why the guard has closed nc
	onBreak func(error) // called then
}

const (
	DeadlineGrace = time.Second
	closeWait     = time.Second
	maxEmpty      = 100 // Reads without bytes and error, as package bufio has it
)

var (
	errNoDeadlines = errors.New("the net.Conn ignored a deadline for " + DeadlineGrace.String() + " and was closed; its SetDeadline must end pending calls, or return an error")
	errBadCount    = errors.New("the net.Conn returned an impossible count of bytes")
)

func (g *guardedConn) unwrap() net.Conn { return g.nc }

func (g *guardedConn) Read(b []byte) (n int, err error) {
	returned := false
	defer func() {
		g.reads.end()
		if !returned {
			n, err = 0, g.abort(panicOf("Read", recover()))
		}
	}()
	g.reads.begin()
	if g.isBroken.Load() {
		returned = true
		return 0, g.whyBroken()
	}
	n, err = g.nc.Read(b)
	returned = true
	if n != 0 || err != nil || len(b) == 0 {
		g.empty = 0
	} else if g.empty++; g.empty >= maxEmpty {
		err = io.ErrNoProgress
	}
	return g.checked(&g.reads, n, len(b), err)
}

func (g *guardedConn) Write(b []byte) (n int, err error) {
	returned := false
	defer func() {
		g.writes.end()
		if !returned {
			n, err = 0, g.abort(panicOf("Write", recover()))
		}
	}()
	g.writes.begin()
	if g.isBroken.Load() {
		returned = true
		return 0, g.whyBroken()
	}
	n, err = g.nc.Write(b)
	returned = true
	if n < len(b) && err == nil {
		err = io.ErrShortWrite
	}
	return g.checked(&g.writes, n, len(b), err)
}

// checked returns what a Read or Write of most bytes comes to.
func (g *guardedConn) checked(op *guardedOp, n, most int, err error) (int, error) {
	if n < 0 || n > most {
		return 0, g.abort(errBadCount)
	}
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return n, err
	}
	if why := g.whyBroken(); why != nil {
		return n, why
	}
	var timeout net.Error // by an error of the connection's own
	if errors.As(err, &timeout) && timeout.Timeout() && op.isLate() {
		err = os.ErrDeadlineExceeded
	}
	return n, err
}

// abort closes the connection for a reason, which the other operation gets too.
func (g *guardedConn) abort(why error) error {
	g.mu.Lock()
	first := g.broken == nil
	if first {
		g.broken = why
		g.isBroken.Store(true)
	}
	why, tell := g.broken, g.onBreak
	g.mu.Unlock()
	if first {
		go g.Close()
		if tell != nil {
			go tell(why) // its goroutine may be about to end
		}
	}
	return why
}

func (g *guardedConn) whyBroken() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.broken
}

// WhenBroken has f called if the guard closes nc.
func WhenBroken(nc net.Conn, f func(error)) {
	if w, ok := nc.(interface{ whenBroken(func(error)) }); ok {
		w.whenBroken(f)
	}
}

func (g *guardedConn) whenBroken(f func(error)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.onBreak = f; g.broken != nil {
		go f(g.broken)
	}
}

// Close closes the connection within, and waits for that a while.
func (g *guardedConn) Close() error {
	g.closing.Do(func() {
		g.reads.stop()
		g.writes.stop()
		go func() {
			defer close(g.closed)
			defer func() { recover() }()
			g.nc.Close()
		}()
	})
	waitFor(g.closed, closeWait)
	return nil
}

// CloseWrite closes the writing half, if the connection within has a CloseWrite
// of its own: that of a socket which the connection embeds would pass it by.
func (g *guardedConn) CloseWrite() error {
	half, ok := g.nc.(interface{ CloseWrite() error })
	if !ok || EmbedsSocket(g.nc) {
		return errors.ErrUnsupported
	}
	done, err := make(chan struct{}), errors.ErrUnsupported
	go func() {
		defer close(done)
		defer func() { recover() }()
		err = half.CloseWrite()
	}()
	if !waitFor(done, closeWait) {
		return os.ErrDeadlineExceeded
	}
	return err
}

// EmbedsSocket reports whether nc is not a socket, and embeds one.
func EmbedsSocket(nc net.Conn) bool {
	_, ok := nc.(syscall.Conn)
	return ok && !IsSocket(nc)
}

// waitFor waits for done, for a time. It reports whether done was closed.
func waitFor(done <-chan struct{}, most time.Duration) bool {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

func (g *guardedConn) SetDeadline(t time.Time) (err error) {
	defer recovered("SetDeadline", &err)
	g.reads.set(t, g)
	g.writes.set(t, g)
	return g.nc.SetDeadline(t)
}

func (g *guardedConn) SetReadDeadline(t time.Time) (err error) {
	defer recovered("SetReadDeadline", &err)
	g.reads.set(t, g)
	return g.nc.SetReadDeadline(t)
}

func (g *guardedConn) SetWriteDeadline(t time.Time) (err error) {
	defer recovered("SetWriteDeadline", &err)
	g.writes.set(t, g)
	return g.nc.SetWriteDeadline(t)
}

func (g *guardedConn) LocalAddr() (a net.Addr)  { return addrOf(g.nc.LocalAddr) }
func (g *guardedConn) RemoteAddr() (a net.Addr) { return addrOf(g.nc.RemoteAddr) }

// addrOf returns an address of a connection that may have none.
func addrOf(addr func() net.Addr) (a net.Addr) {
	defer func() {
		recover()
		if a == nil {
			a = noAddr{}
		}
	}()
	return addr()
}

// A noAddr is the address of a connection without one.
type noAddr struct{}

func (noAddr) Network() string { return "unknown" }
func (noAddr) String() string  { return "unknown" }

// recovered, deferred, makes a panic in a method of a net.Conn its error.
func recovered(method string, err *error) {
	if what := recover(); what != nil {
		*err = panicOf(method, what)
	}
}

func panicOf(method string, what any) error {
	if what == nil {
		return fmt.Errorf("the net.Conn's %s called runtime.Goexit", method)
	}
	return fmt.Errorf("the net.Conn's %s panicked: %v", method, what)
}

// A guardedOp is the reading or the writing of a guardedConn, with its deadline.
// A timer looks whether calls keep that: it is armed for no later than what is
// next to be seen, and not stopped where a deadline is taken back.
type guardedOp struct {
	calls atomic.Uint64 // odd while a call is under way

	mu       sync.Mutex // guards the rest
	deadline time.Time  // zero: none
	timer    *time.Timer
	due      time.Time // of the timer; zero: it is not armed
	stopped  bool

	seen   uint64    // calls, when they were looked at behind a deadline
	seenAt time.Time // and when that was
}

func (o *guardedOp) begin() { o.calls.Add(1) }
func (o *guardedOp) end()   { o.calls.Add(1) }

// set sets the deadline.
func (o *guardedOp) set(t time.Time, g *guardedConn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	old := o.deadline
	o.deadline = t
	if t.IsZero() || o.stopped {
		return
	}
	now := time.Now()
	if t.Before(now) {
		if calls := o.calls.Load(); calls != o.seen || old.IsZero() || old.After(now) {
			o.seen, o.seenAt = calls, now
		}
		t = o.seenAt.Add(DeadlineGrace)
	}
	if !o.due.IsZero() && !t.Before(o.due) {
		return
	}
	o.due = t
	if o.timer == nil {
		o.timer = time.AfterFunc(t.Sub(now), func() { o.look(g) })
	} else {
		o.timer.Reset(t.Sub(now))
	}
}

// look closes the connection under a call that has not ended for DeadlineGrace
// behind the deadline.
func (o *guardedOp) look(g *guardedConn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.due = time.Time{}
	if o.deadline.IsZero() || o.stopped {
		return
	}
	now, calls := time.Now(), o.calls.Load()
	next := o.deadline
	if !now.Before(next) {
		if calls != o.seen || o.seenAt.Before(o.deadline) {
			o.seen, o.seenAt = calls, now
		}
		if next = o.seenAt.Add(DeadlineGrace); !now.Before(next) {
			if calls%2 == 1 {
				g.abort(errNoDeadlines)
				return
			}
			o.seenAt, next = now, now.Add(DeadlineGrace)
		}
	}
	o.due = next
	o.timer.Reset(next.Sub(now))
}

// isLate says whether the deadline has passed.
func (o *guardedOp) isLate() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.deadline.IsZero() && !time.Now().Before(o.deadline)
}

func (o *guardedOp) stop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stopped = true
	if o.timer != nil {
		o.timer.Stop()
	}
}
