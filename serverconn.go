package bsrpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// How a connection comes to a server: its handshake, which tells the wire that
// it speaks, then its session, and how the server parts from it.

// A connection is one that a server has, on either wire.
type connection interface {
	start()                 // reads until the connection ends
	drain()                 // lets it end when what has been asked is answered
	dismiss(*Error)         // ends it soon, under its calls, which are told why
	fail(*Error)            // ends it at once
	join()                  // waits until it has ended and its goroutines have, handlers apart
	awaitHandlers()         // waits then until its handlers have returned
	logRunning(text string) // logs the handlers that run
	Err() error             // why it has ended
}

// serve is the life of one connection of Serve. It leads the connection itself.
func (s *Server) serve(nc net.Conn) {
	c, err := s.handshake(nc)
	if err == nil {
		defer s.awaitConn(nc, c) // also after runtime.Goexit in a handler
		c.start()
	}
}

// serveConn is the life of one connection of ServeConn, whose goroutine no handler
// may end by runtime.Goexit.
func (s *Server) serveConn(nc net.Conn) error {
	c, err := s.handshake(nc)
	if err != nil {
		return err
	}
	go c.start()
	return s.awaitConn(nc, c)
}

// handshake does the handshake with a client. If it fails, nc is closed.
func (s *Server) handshake(nc net.Conn) (connection, error) {
	nc = adapt(nc)
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
	return nil, fmt.Errorf("bsrpc: handshake: %w", withoutEOF(err))
}

// logRefused logs why a client was not let in. What an operator can mend is more
// than a line for debugging.
func (s *Server) logRefused(nc net.Conn, err error) {
	args := []any{"remote", nc.RemoteAddr(), "err", cut(err.Error(), 256)}
	var f *foreignPeer
	var r *refusal
	switch {
	case errors.As(err, &f):
		s.reports.add(f.kind, slog.LevelInfo, "bsrpc: client refused", args...)
	case errors.As(err, &r) && r.full:
		s.reports.add(reportFull, slog.LevelWarn, "bsrpc: client refused", args...)
	default:
		s.log.Debug("bsrpc: client refused", args...)
	}
}

// shake does the handshake and makes a connection of it.
func (s *Server) shake(nc net.Conn) (connection, error) {
	if err := s.enter(&nc); err != nil {
		return nil, err
	}
	defer s.handshakes.Done()
	nc.SetDeadline(deadlineIn(s.bounds.handshakeTimeout))
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
		s.dismiss(v)
		return nil, err
	}
	return s.open(nc, v, peer, answer.Waiting), nil
}

// meet makes the session of a client that has said hello. A nil hello is that of
// the basic wire.
func (s *Server) meet(nc net.Conn, hello *wire.Hello) (*Session, error) {
	v, refuse := s.newSession(nc)
	if refuse != nil {
		return nil, &refusal{err: refuse, basic: hello == nil, full: true}
	}
	return v, nil
}

// shaken ends a handshake. A refusal is told.
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

// receive gives a session a place or a position in the queue, and fills in what
// its client is told of that.
func (s *Server) receive(v *Session, answer *wire.Hello) error {
	position, refuse := s.seek(v)
	if refuse != nil {
		return &refusal{err: refuse}
	}
	answer.Waiting, answer.Place = position > 0 || s.welcomes(), uint32(position)
	return nil
}

// awaitConn waits until a connection has ended. It returns why, nil if the client has
// left.
func (s *Server) awaitConn(nc net.Conn, c connection) error {
	c.join()
	s.log.Debug("bsrpc: connection ended", "remote", nc.RemoteAddr(), "why", c.Err())
	switch {
	case s.isStopping():
		return ErrServerClosed
	case errors.Is(c.Err(), errLeft):
		return nil
	}
	return c.Err()
}

// enter counts a connection whose handshake begins. Where too many are
// unfinished, the oldest goes.
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

// open makes a connection of a native client whose INIT has been answered, and
// lets its session in: at once, or if the client has been told to wait, as soon
// as there is a place.
func (s *Server) open(nc net.Conn, v *Session, peer *wire.Hello, waits bool) *serverConn {
	settled := make(chan struct{}) // closed when nothing more is done to admit it
	c := &serverConn{served: s.newServing(v)}
	c.conn = newConn(connConfig{
		nc: nc, limits: &s.bounds.connLimits, log: &s.reports, peer: peer, parent: context.WithValue(context.Background(), sessionKey{}, v),
		handler: c, serves: true, budget: &s.budget, onEnd: func() { s.remove(c, v, settled) },
	})
	v.ctx, v.end = c.ctx, c.dismiss
	s.enroll(c)
	if !waits {
		s.welcome(v) // runs no code of the user's: nothing refuses it
		close(settled)
		return c
	}
	go func() {
		defer close(settled)
		s.letIn(c, v)
	}()
	return c
}

// openBasic makes a connection of a basic client, whose INIT it answers.
func (s *Server) openBasic(nc net.Conn, v *Session, init basicFrame) *basicConn {
	c := s.newBasicConn(nc, v)
	settled := make(chan struct{})
	close(settled) // what admits it counts as a call
	c.onEnd = func() { s.remove(c, v, settled) }
	c.in.put(init)
	s.enroll(c)
	return c
}

// enroll makes c one of the server's connections. It ends at once if the server
// is stopping.
func (s *Server) enroll(c connection) {
	s.mu.Lock()
	s.conns[c] = true
	stopping := s.stopping
	s.mu.Unlock()
	if stopping {
		c.fail(serverClosed())
	}
}

func serverClosed() *Error {
	return &Error{Code: CodeUnavailable, Message: ErrServerClosed.Error(), Err: ErrServerClosed}
}

// letIn admits a session that has been told to wait.
func (s *Server) letIn(c *serverConn, v *Session) {
	moved := func(position int) {
		c.waitForRoom() // others may move a client that reads nothing as often as they like
		c.conn.control(&wire.Frame{Type: wire.Waiting, ID: uint64(position)})
	}
	if err := s.admit(v, moved, c.done); err != nil {
		if !v.connected {
			v.ticket.Leave() // nothing of it is left that others must wait for
		}
		why := s.refused(v, err)
		s.turnAway(v, why)
		c.farewell(why, farewellTime, c.awaitPeer)
		return
	}
	c.conn.control(&wire.Frame{Type: wire.Admitted})
}

// remove ends what the server has of a connection that has ended, and lets its
// session leave when its last handler has returned.
func (s *Server) remove(c connection, v *Session, settled <-chan struct{}) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	go func() {
		c.join()
		close(v.parted)
		<-settled
		c.awaitHandlers()
		s.dismiss(v)
	}()
}
