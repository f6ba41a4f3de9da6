// Package netconn prepares any net.Conn for the library. The methods of a net.Conn may
// be the user's code: they may panic, hang, or ignore deadlines. Wrap returns a
// connection without these faults. Sockets of package net are used directly.
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

	"github.com/bsrpc/bsrpc/internal/errtree"
)

// Wrap returns nc itself if it is a socket, and a guarded connection otherwise. If the
// deadline methods of nc return errors, Wrap adds an implementation of deadlines.
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

// IsSocket reports whether nc is a socket of package net itself. A type embedding a
// socket is not one: it has the methods of the socket, but may override some, and all
// bytes must pass through these.
func IsSocket(nc net.Conn) bool {
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn, TestSocket:
		return true
	}
	return false
}

// A TestSocket is a connection treated as a socket, for tests only.
type TestSocket interface {
	net.Conn
	ActsAsSocket(Internal)
}

// Internal can only be named in this module, so that a user's type is never a
// TestSocket.
type Internal struct{}

// An Observer is a connection that passes everything on to another one, its Inner, as that of
// package trace does.
type Observer interface{ Inner(Internal) net.Conn }

// Unwrap returns the connection given to Wrap, within any Observer, to examine its type.
// Only nc may be used to read and write.
func Unwrap(nc net.Conn) net.Conn {
	if w, ok := nc.(interface{ unwrap() net.Conn }); ok {
		nc = w.unwrap()
	}
	if o, ok := nc.(Observer); ok {
		return Unwrap(o.Inner(Internal{}))
	}
	return nc
}

// A guardedConn is a net.Conn around one of the user's. It enforces the contract of a
// net.Conn:
//   - If a Read or Write does not return by DeadlineGrace after its deadline, the
//     connection is closed.
//   - A panic, runtime.Goexit or an invalid count becomes an error, and the connection
//     is closed.
//   - Close returns after at most closeWait.
//
// At most one goroutine may read at a time, and one write.
//
// Lock order: guardedOp.mu before guardedConn.mu. Methods of nc are called without a lock.
type guardedConn struct {
	nc     net.Conn
	reads  guardedOp
	writes guardedOp
	empty  int // consecutive Reads without bytes and error; for Read only

	closing sync.Once
	closed  chan struct{} // closed when nc's Close has returned

	isBroken atomic.Bool // broken is set; saves Read and Write the lock

	mu      sync.Mutex  // guards the rest
	broken  error       // reason for which the guard has closed nc
	onBreak func(error) // called then
}

const (
	DeadlineGrace = time.Second
	closeWait     = time.Second
	maxEmpty      = 100 // Reads without bytes and error, the same as in package bufio
)

var (
	errNoDeadlines = errors.New("the net.Conn ignored a deadline for " + DeadlineGrace.String() + " and was closed; its SetDeadline must end pending calls, or return an error")
	errBadCount    = errors.New("the net.Conn returned an impossible count of bytes")
)

func (g *guardedConn) unwrap() net.Conn { return g.nc }

func (g *guardedConn) Read(b []byte) (n int, err error) {
	what, returned := "Read", false
	defer func() {
		g.reads.end()
		if !returned {
			n, err = 0, g.abort(panicOf(what, recover()))
		}
	}()
	g.reads.begin()
	if g.isBroken.Load() {
		returned = true
		return 0, g.whyBroken()
	}
	n, err = g.nc.Read(b)
	what = "error of Read"
	if n != 0 || err != nil || len(b) == 0 {
		g.empty = 0
	} else if g.empty++; g.empty >= maxEmpty {
		err = io.ErrNoProgress
	}
	n, err = g.checked(&g.reads, n, len(b), err)
	returned = true
	return n, err
}

func (g *guardedConn) Write(b []byte) (n int, err error) {
	what, returned := "Write", false
	defer func() {
		g.writes.end()
		if !returned {
			n, err = 0, g.abort(panicOf(what, recover()))
		}
	}()
	g.writes.begin()
	if g.isBroken.Load() {
		returned = true
		return 0, g.whyBroken()
	}
	n, err = g.nc.Write(b)
	what = "error of Write"
	if n < len(b) && err == nil {
		err = io.ErrShortWrite
	}
	n, err = g.checked(&g.writes, n, len(b), err)
	returned = true
	return n, err
}

// checked returns the result of a Read or Write of up to most bytes, from the result n
// and err of nc: errors of deadlines become os.ErrDeadlineExceeded, and after the guard
// has closed nc its reason replaces the error. The methods of err are user code, and may panic.
func (g *guardedConn) checked(op *guardedOp, n, most int, err error) (int, error) {
	if n < 0 || n > most {
		return 0, g.abort(errBadCount)
	}
	if err = errtree.Bounded(err); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return n, err
	}
	_ = err.Error() // or others would find that it panics
	if why := g.whyBroken(); why != nil {
		return n, why
	}
	var timeout net.Error // nc may have its own error for a deadline
	if errors.As(err, &timeout) && timeout.Timeout() && op.isLate() {
		err = os.ErrDeadlineExceeded
	}
	return n, err
}

// abort closes the connection, and returns the reason for all operations from now on:
// why, or that of an earlier abort. It may be called with guardedOp.mu held, so it does
// not wait for Close.
func (g *guardedConn) abort(why error) error {
	g.mu.Lock()
	first := g.broken == nil
	if first {
		g.broken = why
		g.isBroken.Store(true)
	}
	why, onBreak := g.broken, g.onBreak
	g.mu.Unlock()
	if first {
		go g.Close()
		if onBreak != nil {
			go onBreak(why) // after runtime.Goexit this goroutine is about to end
		}
	}
	return why
}

func (g *guardedConn) whyBroken() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.broken
}

// WhenBroken sets a func called with the reason if the guard closes nc, also if it has
// done so before. It has no effect on sockets.
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

// Close closes nc on a new goroutine, and waits for it at most for closeWait. It always
// returns nil.
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

// CloseWrite calls the CloseWrite of nc. It does not if nc embeds a socket: the method
// may be that of the socket, ahead of bytes buffered in nc.
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

// EmbedsSocket reports whether nc is not a socket itself and probably embeds one: it has
// the method SyscallConn.
func EmbedsSocket(nc net.Conn) bool {
	_, ok := nc.(syscall.Conn)
	return ok && !IsSocket(nc)
}

// waitFor waits until done is closed, at most for a time. It reports whether done was
// closed.
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
	reads, writes := g.reads.set(t, g), g.writes.set(t, g)
	err = g.reads.settle(reads, g.nc.SetDeadline(t), g.nc.SetReadDeadline)
	return g.writes.settle(writes, err, g.nc.SetWriteDeadline)
}

func (g *guardedConn) SetReadDeadline(t time.Time) (err error) {
	defer recovered("SetReadDeadline", &err)
	n := g.reads.set(t, g)
	return g.reads.settle(n, g.nc.SetReadDeadline(t), g.nc.SetReadDeadline)
}

func (g *guardedConn) SetWriteDeadline(t time.Time) (err error) {
	defer recovered("SetWriteDeadline", &err)
	n := g.writes.set(t, g)
	return g.writes.settle(n, g.nc.SetWriteDeadline(t), g.nc.SetWriteDeadline)
}

func (g *guardedConn) LocalAddr() (a net.Addr)  { return addrOf(g.nc.LocalAddr) }
func (g *guardedConn) RemoteAddr() (a net.Addr) { return addrOf(g.nc.RemoteAddr) }

// addrOf returns the result of addr, or a noAddr if it panics or returns nil.
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

// recovered must be deferred. It turns a panic in a method of a net.Conn into an error.
func recovered(method string, err *error) {
	if what := recover(); what != nil {
		*err = panicOf(method, what)
	}
}

// panicOf returns the error for a panic with the value what, or runtime.Goexit for nil.
func panicOf(method string, what any) error {
	if what == nil {
		return fmt.Errorf("the net.Conn's %s called runtime.Goexit", method)
	}
	return fmt.Errorf("the net.Conn's %s panicked: %v", method, what)
}
