package bsrpc

import (
	"context"
	"math"
	"net"
	"reflect"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// Calls from a server to its clients. A connection carries calls in both directions; a
// client serves them with the methods of ClientOptions.Handlers.

// bind implements Caller.
func (s *Session) bind(ctx context.Context, service string, proxy reflect.Value) error {
	var l link = noLink{}
	if s != nil && s.caller != nil {
		l = s.caller.(link)
	}
	return bindContract(ctx, l, service, proxy)
}

// A sessionLink carries the calls of a server to the client of a session.
type sessionLink struct {
	*nativeLink
	session *Session
	accepts bool // the client accepts calls
}

// newSessionLink returns the link of a session on a native connection.
func newSessionLink(c *nativeConn, peer *wire.Hello) *sessionLink {
	v := c.served
	link := &nativeLink{Conn: c.Conn, settings: v.settings, log: v.log, onewayErrors: &v.onewayErrors}
	link.remote = remoteEnd{addr: v.session.remote, metadata: true}
	return &sessionLink{link, v.session, peer.AcceptsCalls}
}

func (l *sessionLink) callOptions() callOptions {
	return callOptions{l.settings.defaultCallTimeout, l.settings.outgoing, l.log, &l.remote}
}

// bindMethods implements link.
func (l *sessionLink) bindMethods(ctx context.Context, service string, methods []*boundMethod) error {
	if !l.accepts {
		return fault.Refusal(fault.Unimplemented, "bind %s: the client does not accept calls; it is of an older version", service)
	}
	err := l.nativeLink.bindMethods(ctx, service, methods)
	for _, m := range methods {
		if b := m.binding.Load(); b != nil && b.err == nil {
			m.bind(l, b.number)
		}
	}
	return err
}

// call implements link. OnConnect may bind, but the client is called only once it is
// admitted.
func (l *sessionLink) call(ctx context.Context, m *boundMethod, number uint16, v *method.Values) error {
	if !l.session.admitted.Load() && l.Err() == nil {
		return fault.Refusal(fault.FailedPrecondition, "%s: the session is not admitted yet; call after OnConnect has returned", m.Name)
	}
	return l.nativeLink.call(ctx, m, number, v)
}

// A basicSession is the link of a session on the basic wire.
type basicSession struct{ noLink }

func (basicSession) bindMethods(_ context.Context, service string, _ []*boundMethod) error {
	return fault.Refusal(fault.Unimplemented, "bind %s: the client speaks the basic wire, which has no calls to clients", service)
}

// A clientHandler is the transport.Handler of a client. It serves the calls of the server.
type clientHandler struct {
	nativeConn
	control func(*transport.Message) error // accepts WAITING and ADMITTED
}

// newClientHandler returns the handler of a client. handlers has the methods; nil for
// none.
func newClientHandler(nc net.Conn, control func(*transport.Message) error, handlers *Server, s *settings, log *report.Log) *clientHandler {
	var d *dispatcher
	v := &Session{remote: nc.RemoteAddr(), since: time.Now()}
	if handlers != nil {
		handlers.registry.close()
		d, v.draining = &handlers.dispatcher, handlers.sessions.draining
	} else {
		d = &dispatcher{registry: new(registry), settings: s, log: log}
		d.budget.Init(s.serverBytes)
	}
	v.admitted.Store(true) // the server decides
	c := newServerConn(d, v)
	h := &clientHandler{nativeConn{served: c}, control}
	c.conn, c.limits, c.atClient = h, &s.Conn, true
	v.end = h.Dismiss
	return h
}

// Control implements transport.Handler.
func (h *clientHandler) Control(m *transport.Message) error { return h.control(m) }

// requestAtClient serves a request of the server. The reader of a client may be a caller,
// and never waits, so the request runs on a goroutine of its own.
func (c *nativeConn) requestAtClient(inv *invocation, m *transport.Message, refusal *fault.Fault) {
	// The request is registered before its goroutine starts, so that a CANCEL finds it.
	c.served.enterRunning(inv)
	kept := m.Keep()
	inv.undecoded = &kept
	go func() {
		defer inv.Leave()
		if refusal == nil && !c.served.beginHandler() {
			refusal = c.served.busy()
		}
		if refusal != nil {
			inv.Refuse(refusal)
			return
		}
		inv.counted = true
		inv.serve()
	}()
}

// checkHandlers returns an error if a Server cannot be ClientOptions.Handlers.
func checkHandlers(h *Server) error {
	if h == nil {
		return nil
	}
	if !h.isInitialized() {
		return fault.Refusal(fault.InvalidArgument, "ClientOptions.Handlers: zero Server; use NewServer")
	}
	if h.err != nil {
		return h.err
	}
	s, unused := h.settings, ""
	switch {
	case h.sessions.hooks.onConnect != nil:
		unused = "OnConnect"
	case h.sessions.hooks.onDisconnect != nil:
		unused = "OnDisconnect"
	case s.basic:
		unused = "Basic"
	case s.maxSessions != math.MaxInt:
		unused = "MaxSessions"
	case s.sessionMaxHold != math.MaxInt64:
		unused = "SessionMaxHold"
	case s.maxConcurrentCalls != math.MaxInt:
		unused = "MaxConcurrentCalls"
	}
	if unused != "" {
		return fault.Refusal(fault.InvalidArgument, "ClientOptions.Handlers: %s is an option for connections and sessions, which the client has not; leave it out", unused)
	}
	if n := len(h.registry.factories); n > 0 {
		return fault.Refusal(fault.InvalidArgument, "ClientOptions.Handlers: PerSession makes receivers for the sessions of a server; register a receiver")
	}
	return nil
}
