package bsrpc

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// The life of a connection at a server: handshake, session, end. The handshake
// finds out the wire.

// A connection is the wire's part of a connection of a server.
type connection interface {
	Run()                 // reads until the connection ends
	Drain()               // ends it after the answers to all requests read
	Dismiss(*fault.Fault) // ends it soon; its calls fail with the fault
	Fail(*fault.Fault)    // ends it at once
	Wait()                // waits for its end and its goroutines, handlers excepted
	awaitHandlers()       // after Wait: waits for its handlers
}

// serve serves one connection of Serve. It is the leader of the connection.
func (s *Server) serve(nc net.Conn) {
	c, err := s.handshake(nc)
	if err == nil {
		defer s.awaitConn(nc, c) // also after runtime.Goexit in a handler
		c.conn.Run()
	}
}

// serveConn serves one connection of ServeConn. Handlers do not run on its
// goroutine: it is the caller's, and runtime.Goexit would end it.
func (s *Server) serveConn(nc net.Conn) error {
	c, err := s.handshake(nc)
	if err != nil {
		return err
	}
	go c.conn.Run()
	return s.awaitConn(nc, c)
}

// handshake does the handshake with a client. If it fails, nc is closed.
func (s *Server) handshake(nc net.Conn) (*serverConn, error) {
	nc = netconn.Wrap(nc)
	s.log.Debug("bsrpc: accepted", "remote", nc.RemoteAddr())
	c, err := s.shake(nc)
	if err == nil {
		return c, nil
	}
	nc.Close()
	if s.isStopping() {
		return nil, ErrServerClosed
	}
	s.logRefused(nc, err)
	return nil, fmt.Errorf("bsrpc: handshake: %w", fault.WithoutEOF(err))
}

// logRefused logs why a client was not let in. What an operator can mend is more
// than a line for debugging.
func (s *Server) logRefused(nc net.Conn, err error) {
	args := []any{"remote", nc.RemoteAddr(), "err", fault.Cut(err.Error(), 256)}
	var f *foreignPeer
	var r *refusal
	switch {
	case errors.As(err, &f):
		s.log.Add(f.kind, slog.LevelInfo, "bsrpc: client refused", args...)
	case errors.As(err, &r) && r.full:
		s.log.Add(report.Full, slog.LevelWarn, "bsrpc: client refused", args...)
	default:
		s.log.Debug("bsrpc: client refused", args...)
	}
}

// shake does the handshake and makes a connection of it.
func (s *Server) shake(nc net.Conn) (*serverConn, error) {
	if err := s.enter(&nc); err != nil {
		return nil, err
	}
	defer s.handshakes.Done()
	nc.SetDeadline(netconn.DeadlineIn(s.bounds.handshakeTimeout))
	peer, init, err := greet(nc, s.bounds.basic)
	var v *Session
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = &explained{fmt.Sprintf("no INIT in %v (HandshakeTimeout)", s.bounds.handshakeTimeout), err}
	}
	if err == nil {
		v, err = s.meet(nc, peer)
	}
	if err != nil {
		s.shaken(&nc, err)
		return nil, err
	}
	if peer == nil {
		s.shaken(&nc, nil)
		return s.openBasic(nc, v, init), nil
	}
	answer := s.bounds.hello()
	if err = s.receive(v, answer); err == nil {
		_, err = nc.Write(wire.AppendServerInit(nil, answer))
	}
	s.shaken(&nc, err)
	if err != nil {
		close(v.parted)
		s.endSession(v)
		return nil, err
	}
	return s.open(nc, v, peer, answer.Waiting), nil
}

// meet makes the session of a client after its hello, nil on the basic wire.
func (s *Server) meet(nc net.Conn, hello *wire.Hello) (*Session, error) {
	v, refuse := s.newSession(nc)
	if refuse != nil {
		return nil, &refusal{err: refuse, basic: hello == nil, full: true}
	}
	return v, nil
}

// shaken ends a handshake. It sends a refusal to the client.
func (s *Server) shaken(nc *net.Conn, err error) {
	var r *refusal
	if errors.As(err, &r) {
		refuseInit(*nc, s.bounds, r)
	}
	(*nc).SetDeadline(time.Time{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shaking = slices.DeleteFunc(s.shaking, func(o *net.Conn) bool { return o == nc })
}

// receive enters a session into the queue, and tells its client in the answer
// whether to wait, and the position.
func (s *Server) receive(v *Session, answer *wire.Hello) error {
	position, refuse := s.seek(v)
	if refuse != nil {
		return &refusal{err: refuse}
	}
	answer.Waiting, answer.Position = position > 0 || s.welcomes(), uint32(position)
	return nil
}

// awaitConn waits until a connection has ended. It returns why, nil if the client has
// left.
func (s *Server) awaitConn(nc net.Conn, c *serverConn) error {
	c.conn.Wait()
	why := c.why.Load()
	s.log.Debug("bsrpc: connection ended", "remote", nc.RemoteAddr(), "why", why)
	switch {
	case s.isStopping():
		return ErrServerClosed
	case errors.Is(why, fault.ErrLeft):
		return nil
	}
	return errorOf(why)
}

// enter counts a connection at the beginning of its handshake. With too many
// unfinished handshakes it closes the oldest.
func (s *Server) enter(nc *net.Conn) error {
	s.mu.Lock()
	if s.stopping {
		s.mu.Unlock()
		return ErrServerClosed
	}
	s.handshakes.Add(1)
	s.shaking = append(s.shaking, nc)
	var oldest *net.Conn
	if len(s.shaking) > s.bounds.maxHandshakes {
		oldest = popFirst(&s.shaking)
	}
	s.mu.Unlock()
	if oldest != nil {
		s.closeConn(oldest)
	}
	return nil
}

// open makes the connection of a native client after the answer to its INIT, and
// begins the session: at once, or after admission if the answer says to wait.
func (s *Server) open(nc net.Conn, v *Session, peer *wire.Hello, waits bool) *serverConn {
	settled := make(chan struct{}) // closed when its admission, or refusal, is complete
	c := &nativeConn{served: s.newServerConn(v)}
	c.served.conn = c
	c.Conn = transport.New(transport.Config{
		NetConn: nc, Limits: &s.bounds.Conn, Peer: peer, Handler: c, Serves: true, Budget: &s.budget,
		OnViolation: s.log.Violations(nc.RemoteAddr()), OnEnd: c.served.end, OnClosed: func() { s.remove(c.served, settled) },
	})
	v.end = c.Dismiss
	s.enroll(c.served)
	if !waits {
		s.welcome(v) // without hooks it cannot fail
		close(settled)
		return c.served
	}
	go func() {
		defer close(settled)
		s.letIn(c, v)
	}()
	return c.served
}

// openBasic makes the connection of a basic client. It answers the INIT.
func (s *Server) openBasic(nc net.Conn, v *Session, init basicFrame) *serverConn {
	c := s.newBasicConn(nc, v)
	settled := make(chan struct{})
	close(settled) // admission counts as a call
	c.onClosed = func() { s.remove(c.served, settled) }
	c.in.put(init)
	s.enroll(c.served)
	return c.served
}

// enroll adds c to the server's connections. While the server stops, it ends c.
func (s *Server) enroll(c *serverConn) {
	s.mu.Lock()
	s.conns[c] = true
	stopping := s.stopping
	s.mu.Unlock()
	if stopping {
		c.conn.Fail(serverClosed())
	}
}

func serverClosed() *fault.Fault {
	return &fault.Fault{Code: fault.Unavailable, Message: ErrServerClosed.Error(), Err: ErrServerClosed}
}

// letIn admits the session of a client told to wait.
func (s *Server) letIn(c *nativeConn, v *Session) {
	moved := func(position int) {
		c.WaitForRoom() // positions of a client that does not read must not pile up
		c.Conn.Control(&wire.Frame{Type: wire.Waiting, ID: uint64(position)})
	}
	if err := s.awaitAdmission(v, moved, c.Done()); err != nil {
		if !v.connected {
			v.ticket.Leave() // OnDisconnect will not run: others need not wait
		}
		why := s.refused(v, err)
		s.turnAway(v, why)
		c.Conn.Close(why)
		return
	}
	c.Conn.Control(&wire.Frame{Type: wire.Admitted})
}

// remove drops a connection after its end, and ends its session after the last
// handler.
func (s *Server) remove(c *serverConn, settled <-chan struct{}) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	go func() {
		c.conn.Wait()
		close(c.session.parted)
		<-settled
		c.conn.awaitHandlers()
		s.endSession(c.session)
	}()
}
