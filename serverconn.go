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

// A handshake is the beginning of one connection of a server. Its steps, in this order:
//
//	hello         the client's INIT is read, and decides the wire
//	authenticate  the client proves its identity; this version has no authentication
//	seek          the session is opened and, on the native wire, enters the admission queue
//	welcome       INIT is answered, with the position in the queue
//
// A step that fails ends the connection, with a refusal where the client can read one.
type handshake struct {
	server  *Server
	nc      net.Conn
	peer    *wire.Hello // of the client; nil on the basic wire
	init    basicFrame  // of a basic client
	answer  *wire.Hello // to a native client
	session *Session
}

// shake does the handshake, and makes a connection of it.
func (s *Server) shake(nc net.Conn) (*serverConn, error) {
	h := &handshake{server: s, nc: nc}
	if err := s.enter(&h.nc); err != nil {
		return nil, err
	}
	defer s.handshakes.Done()
	nc.SetDeadline(netconn.DeadlineIn(s.settings.handshakeTimeout))
	var err error
	for _, step := range [...]func() error{h.hello, h.authenticate, h.seek, h.welcome} {
		if err = step(); err != nil {
			break
		}
	}
	if err != nil {
		h.refuse(err)
	}
	nc.SetDeadline(time.Time{})
	s.leave(&h.nc)
	if err != nil {
		return nil, err
	}
	if h.peer == nil {
		return s.openBasic(nc, h.session, h.init), nil
	}
	return s.open(nc, h.session, h.peer, h.answer.Waiting), nil
}

func (h *handshake) hello() (err error) {
	h.peer, h.init, err = greet(h.nc, h.server.settings.basic)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = &explained{fmt.Sprintf("no INIT in %v (HandshakeTimeout)", h.server.settings.handshakeTimeout), err}
	}
	return err
}

func (h *handshake) authenticate() error { return nil }

// seek enters the session of a native client into the admission queue. A basic client
// polls for admission after the handshake.
func (h *handshake) seek() error {
	sessions := &h.server.sessions
	session, refuse := sessions.open(h.nc)
	if refuse != nil {
		return &refusal{err: refuse, basic: h.peer == nil, full: true}
	}
	h.session = session
	if h.peer == nil {
		return nil
	}
	position, refuse := sessions.enter(session)
	if refuse != nil {
		return &refusal{err: refuse}
	}
	h.answer = h.server.settings.hello()
	h.answer.Waiting, h.answer.Position = position > 0 || sessions.runsHooksFirst(), uint32(position)
	return nil
}

// welcome answers the INIT of a native client. That of a basic client is answered by its
// connection.
func (h *handshake) welcome() error {
	if h.peer == nil {
		return nil
	}
	_, err := h.nc.Write(wire.AppendServerInit(nil, h.answer))
	return err
}

// refuse sends the client the reason of a refusal, and ends the session, if it was
// opened.
func (h *handshake) refuse(err error) {
	var r *refusal
	if errors.As(err, &r) {
		refuseInit(h.nc, h.server.settings, r)
	}
	if h.session != nil {
		close(h.session.disconnected)
		h.server.sessions.end(h.session)
	}
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
	if len(s.shaking) > s.settings.maxHandshakes {
		oldest = popFirst(&s.shaking)
	}
	s.mu.Unlock()
	if oldest != nil {
		s.closeConn(oldest)
	}
	return nil
}

// leave ends what enter began.
func (s *Server) leave(nc *net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shaking = slices.DeleteFunc(s.shaking, func(o *net.Conn) bool { return o == nc })
}

// open makes the connection of a native client after the answer to its INIT, and
// begins the session: at once, or after admission if the answer says to wait.
func (s *Server) open(nc net.Conn, v *Session, peer *wire.Hello, waits bool) *serverConn {
	settled := make(chan struct{}) // closed when its admission, or refusal, is complete
	c := &nativeConn{served: s.newServerConn(v)}
	c.served.conn = c
	c.Conn = transport.New(transport.Config{
		NetConn: nc, Limits: &s.settings.Conn, Peer: peer, Handler: c, Serves: true, Budget: &s.budget,
		OnViolation: s.log.Violations(nc.RemoteAddr()), OnEnd: c.served.end, OnClosed: func() { s.remove(c.served, settled) },
	})
	v.end = c.Dismiss
	s.enroll(c.served)
	if !waits {
		s.sessions.begin(v) // without hooks it cannot fail
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
	if err := s.sessions.awaitAdmission(v, moved, c.Done()); err != nil {
		if !v.connected {
			v.ticket.Leave() // OnDisconnect will not run: others need not wait
		}
		why := s.sessions.refused(v, err)
		s.sessions.turnAway(v, why)
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
		close(c.session.disconnected)
		<-settled
		c.conn.awaitHandlers()
		s.sessions.end(c.session)
	}()
}
