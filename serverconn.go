package bsrpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc/internal/admission"
	"github.com/bsrpc/bsrpc/internal/basic"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/hello"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/numbering"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/secure"
	"github.com/bsrpc/bsrpc/internal/streams"
	"github.com/bsrpc/bsrpc/internal/tally"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// The life of a connection at a server: handshake, session, end.

// A serverConn is the part of a server's connection that both wires share. The holder of
// the read lease guards the fields without a lock or atomic.
//
// Lock order: transport.Conn's lock, then mu, then that of a callctx.Context.
type serverConn struct {
	*dispatcher
	conn          connection
	session       *Session
	limits        *limits.Conn // of this end; at a client not those of dispatcher.settings
	numbers       numbering.Table[*servedMethod]
	semaphore     *admission.Semaphore // of MaxConcurrentCalls; nil for none
	tally         tally.Batch          // calls answered by the leader since its last wait
	leaderCounted bool                 // the leader is counted as a handler
	atClient      bool                 // the connection is a client's, which serves its server
	logged        report.Once          // kinds of lines about this connection
	binds         int                  // BIND frames logged

	ctx    context.Context // parent of the handlers' contexts
	cancel context.CancelCauseFunc
	why    atomic.Pointer[fault.Fault] // why the connection ends, or has ended

	mu      sync.Mutex                  // guards running
	running transport.ByID[*invocation] // calls that do not run on the leader
	apart   atomic.Int64                // its length
}

// newServerConn returns the connection of a session. At a client, d has the methods of
// ClientOptions.Handlers, and v stands for the server.
func newServerConn(d *dispatcher, v *Session) *serverConn {
	c := &serverConn{dispatcher: d, session: v, limits: &d.settings.Conn}
	c.ctx, c.cancel = context.WithCancelCause(context.WithValue(context.Background(), sessionKey{}, v))
	v.ctx = c.ctx
	v.owner.Init(v, d.registry.groups)
	if n := d.settings.MaxConcurrentCalls; n < math.MaxInt {
		c.semaphore = admission.NewSemaphore(n)
	}
	return c
}

// A connection is the part of a server's connection that differs between the wires. Its
// methods are safe for concurrent use.
type connection interface {
	Run()                 // reads until the connection ends
	Drain()               // ends it after the answers to all requests read
	Dismiss(*fault.Fault) // ends it soon; its calls fail with the fault
	Fail(*fault.Fault)    // ends it at once
	Wait()                // waits for its end and its goroutines, handlers excepted
	awaitHandlers()       // after Wait: waits for its handlers
}

// serve serves one connection of Serve, as its leader.
func (s *Server) serve(nc net.Conn) {
	c, err := s.handshake(nc)
	if err == nil {
		defer s.awaitConn(nc, c) // also after runtime.Goexit in a handler
		c.conn.Run()
	}
}

// serveConn serves one connection of ServeConn. Handlers do not run on this goroutine: it
// is the user's, and runtime.Goexit in a handler would end it.
func (s *Server) serveConn(nc net.Conn) error {
	c, err := s.handshake(nc)
	if err != nil {
		return err
	}
	go c.conn.Run()
	return s.awaitConn(nc, c)
}

// handshake returns the connection of a client after the handshake. On failure it closes
// nc.
func (s *Server) handshake(nc net.Conn) (*serverConn, error) {
	nc, err := secure.Server(nc, s.settings.access.tls, &s.verifying)
	s.log.Debug("bsrpc: accepted", "remote", nc.RemoteAddr())
	var c *serverConn
	if err == nil {
		c, err = s.runHandshake(nc)
	}
	if err == nil {
		return c, nil
	}
	nc.Close()
	if s.isStopping() {
		return nil, ErrServerClosed
	}
	s.sessions.turnedAway.Add(1)
	s.logRefused(nc, err)
	return nil, fmt.Errorf("bsrpc: handshake: %w", fault.WithoutEOF(err))
}

// logRefused logs why a client was refused: at Debug, or higher where an operator can do
// something about it.
func (s *Server) logRefused(nc net.Conn, err error) {
	args := []any{"remote", nc.RemoteAddr(), "err", fault.Cut(err.Error(), 256)}
	var f *hello.Foreign
	var r *hello.Refusal
	switch {
	case errors.As(err, &f):
		s.log.Add(f.Kind, slog.LevelInfo, "bsrpc: client refused", args...)
	case errors.As(err, &r) && r.Full:
		s.log.Add(report.Full, slog.LevelWarn, "bsrpc: client refused", args...)
	default:
		s.log.Debug("bsrpc: client refused", args...)
	}
}

// awaitConn waits for the end of a connection. It returns the reason, nil if the client
// has left.
func (s *Server) awaitConn(nc net.Conn, c *serverConn) error {
	c.conn.Wait()
	why := c.why.Load()
	reason := any(why)
	if why != nil && why.Remote {
		reason = report.Text(why.Error(), 64) // the client's own
	}
	s.log.Debug("bsrpc: connection ended", "remote", nc.RemoteAddr(), "why", reason)
	switch {
	case s.isStopping():
		return ErrServerClosed
	case errors.Is(why, fault.ErrPeerClosed):
		return nil
	}
	return errorOf(why)
}

// enter registers a connection before its handshake. It drops another one if too many are
// unfinished.
func (s *Server) enter(nc net.Conn) (*admission.Handshake[net.Conn], error) {
	peer := secure.PeerKey(nc) // user code, perhaps
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isStopping() {
		return nil, ErrServerClosed
	}
	s.handshakes.Add(1)
	h, dropped := s.handshaking.Enter(peer, nc)
	if dropped != nil {
		s.interrupt(dropped)
	}
	return h, nil
}

// interrupt ends a handshake that was dropped. An interrupted write would spoil a TLS
// connection, and the client could not read why.
func (s *Server) interrupt(h *admission.Handshake[net.Conn]) {
	s.log.Start("SetDeadline of a connection", func() error {
		defer h.Interrupted()
		h.Conn.SetWriteDeadline(time.Now().Add(dropTime))
		return h.Conn.SetReadDeadline(netconn.LongAgo)
	})
}

// open returns the connection of a native client after the answer to its INIT, and begins
// the session: at once, or after its admission if the answer says to wait.
func (s *Server) open(h *handshake) *serverConn {
	nc, v, peer := h.nc, h.session, h.peer
	logViolation, peerKey := s.log.Violations(nc.RemoteAddr()), h.entered.Peer
	settled := make(chan struct{}) // closed after admission or refusal
	c := &nativeConn{served: newServerConn(&s.dispatcher, v)}
	c.served.conn = c
	lane := s.registry.tallies.NewLane()
	c.served.tally.Lane = lane
	c.Conn = transport.New(transport.Config{
		NetConn: nc, Limits: &s.settings.Conn, Peer: peer, Handler: c, Serves: true, Budget: &s.budget, Turns: &s.turns, Lane: lane,
		OnViolation: func(err error) {
			s.handshaking.Failed(peerKey)
			logViolation(err)
		},
		OnEnd: c.served.end, EndOf: c.served.endOf, OnClosed: func() { s.remove(c.served, settled) },
		OnRefused: c.refused, Leased: v.owner.Busy,
	})
	v.owner.OnBusy = c.Lease
	calls := newCallerState(s.settings, s.settings.outgoing, s.log, &s.onewayErrors, &s.registry.made, remoteEnd{addr: v.peer.Addr, metadata: true})
	calls.EndOf = c.served.endOf
	v.conn, v.caller = c, &sessionLink{&nativeLink{Conn: c.Conn, callerState: calls}, v, peer}
	s.enroll(c.served)
	if !h.answer.Waiting {
		s.sessions.begin(v) // cannot fail without hooks
		close(settled)
		return c.served
	}
	go func() {
		defer close(settled)
		s.admitWaiting(c, v)
	}()
	return c.served
}

// openBasic returns the connection of a basic client, which answers the INIT.
func (s *Server) openBasic(nc net.Conn, v *Session, init basic.Frame) *serverConn {
	settled := make(chan struct{})
	close(settled) // its admission is part of a call
	c := &basicConn{sessions: &s.sessions, served: newServerConn(&s.dispatcher, v)}
	c.served.conn, c.served.tally.Lane = c, s.registry.tallies.NewLane()
	v.caller = basicSession{}
	c.Conn = basic.NewConn(basic.Config{
		NetConn: nc, Limits: &s.settings.Conn, Budget: &s.budget, Handler: c, Lane: c.served.tally.Lane,
		OnEnd: c.served.end, OnClosed: func() { s.remove(c.served, settled) }, OnRefused: c.refused,
	}, init)
	v.conn = c
	v.owner.OnBusy = sync.OnceFunc(func() { netconn.KeepAlive(nc, s.settings.Lease/2, s.settings.Lease/2) })
	s.enroll(c.served)
	return c.served
}

// enroll adds c to the server's connections. If the server is stopping, c ends as they do, with a
// second for its peer to read why: it has no calls, and Close does not know it.
func (s *Server) enroll(c *serverConn) {
	s.mu.Lock()
	s.conns[c] = true
	stopping := s.isStopping()
	s.mu.Unlock()
	if stopping {
		c.conn.Drain()
		time.AfterFunc(netconn.CloseTime, func() { c.conn.Fail(serverClosed()) })
	}
}

// serverClosed is why connections end when their server does.
func serverClosed() *fault.Fault {
	return &fault.Fault{Code: fault.Unavailable, Message: ErrServerClosed.Error(), Err: ErrServerClosed}
}

// admitWaiting waits for the admission of a session, and tells the client of its progress.
func (s *Server) admitWaiting(c *nativeConn, v *Session) {
	moved := func(position int) {
		c.WaitForRoom() // a client that reads nothing must not pile up WAITING frames
		c.Conn.Control(&wire.Frame{Type: wire.Waiting, ID: uint64(position)})
	}
	if err := s.sessions.awaitAdmission(v, moved, c.Done()); err != nil {
		if !v.connected {
			v.ticket.Leave() // OnDisconnect does not run, so the next client need not wait
		}
		s.sessions.turnedAway.Add(1)
		why := s.sessions.refused(v, err)
		s.sessions.logRefusal(v, why)
		c.Conn.Close(why)
		return
	}
	c.Conn.Control(&wire.Frame{Type: wire.Admitted})
}

// remove removes a connection that has ended, and ends its session after the last handler.
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

// end notes why the connection has ended, and ends the contexts of its handlers.
func (c *serverConn) end(why *fault.Fault) {
	c.why.Store(why)
	c.cancel(errorOf(why))
}

// endOf is transport.Config.EndOf: calls to the peer often have the context of the session.
func (c *serverConn) endOf(ctx context.Context) *fault.Fault {
	if why := c.why.Load(); why != nil && c.ctx.Err() != nil && context.Cause(ctx) == context.Cause(c.ctx) {
		return why
	}
	return nil
}

// countLeader counts the leader as a handler, unless it is one already, and reports false if
// too many handlers run. The leader stays a handler until it waits for bytes: counting
// each call would make all processors write one word.
func (c *serverConn) countLeader() bool {
	c.leaderCounted = c.leaderCounted || c.beginHandler()
	return c.leaderCounted
}

// uncountLeader ends what countLeader began.
func (c *serverConn) uncountLeader() {
	if c.leaderCounted {
		c.leaderCounted = false
		c.endHandler()
	}
}

// countCalls counts the calls that the leader has answered. It may be called by the lease holder
// alone.
func (c *serverConn) countCalls() {
	if !c.tally.Empty() {
		c.tally.Count(limits.Monotonic())
	}
}

// uncountCall uncounts an invocation that counts for itself: when its answer is queued,
// before its caller can call again.
func (c *serverConn) uncountCall(inv *invocation) {
	if inv.counted {
		inv.counted = false
		c.endHandler()
	}
}

// enterRunning makes a call known to CANCEL and to the end of the connection.
func (c *serverConn) enterRunning(inv *invocation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running.Add(inv.id, inv)
	c.apart.Store(int64(c.running.Len()))
}

// leaveRunning undoes enterRunning.
func (c *serverConn) leaveRunning(inv *invocation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running.Remove(inv.id)
	c.apart.Store(int64(c.running.Len()))
}

// cancelRunning cancels a call. It returns the streams of the call, to be canceled with why
// and without c.mu, or nil.
func (c *serverConn) cancelRunning(id uint64) (parts *streams.Served, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	inv := c.running.Find(id)
	if inv == nil {
		return nil, nil
	}
	inv.canceled.Store(true)
	return inv.streams, inv.call.CancelByPeer(transport.WatchdogPeriod)
}

// awaitIdle waits until no handler runs: then idle receives.
func (c *serverConn) awaitIdle(idle <-chan struct{}) {
	for {
		select {
		case <-idle:
			return
		case <-time.After(stuckLog):
			c.logRunning("bsrpc: a handler runs on after its connection has ended")
		}
	}
}

// runningNames returns the name of the method of each running handler; those of callbacks only if
// callbacks is true.
func (c *serverConn) runningNames(callbacks bool) (names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for inv := range c.running.All() {
		if callbacks || inv.method.kind != KindCallback {
			names = append(names, inv.method.Name)
		}
	}
	return names
}

// logRunning names the running handlers in the log.
func (c *serverConn) logRunning(text string) {
	for _, name := range c.runningNames(true) {
		c.log.Add(report.Running, slog.LevelWarn, text, "session", c.session.id, "method", name)
	}
}

// report logs the first of the lines that the connection's peer can cause repeatedly.
func (c *serverConn) report(k report.Kind, level slog.Level, text string, args ...any) {
	c.logged.Add(c.log, k, level, text, args...)
}
