package bsrpc

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"time"

	"github.com/bsrpc/bsrpc/internal/callback"
	"github.com/bsrpc/bsrpc/internal/callctx"
	"github.com/bsrpc/bsrpc/internal/caller"
	"github.com/bsrpc/bsrpc/internal/errtree"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// Calls in the other direction: a client serves its server with the methods of
// ClientOptions.Handlers, and a caller serves its handler with the funcs among the arguments.

// A clientHandler is the transport.Handler of a client. It serves the calls of the server.
type clientHandler struct {
	nativeConn
	control func(*transport.Message) error // accepts WAITING and ADMITTED
}

// newClientHandler returns the handler of a client. handlers has the methods; nil for
// none.
func newClientHandler(nc net.Conn, control func(*transport.Message) error, handlers *Server, s *settings, log *report.Log) *clientHandler {
	var d *dispatcher
	v := newSession()
	v.since = time.Now()
	v.peer, v.tls = peerOf(nc, log)
	if handlers != nil {
		handlers.registry.close(&handlers.settings.access) // checkHandlers has excluded roles
		d, v.draining = &handlers.dispatcher, handlers.sessions.draining
	} else {
		d = &dispatcher{registry: newRegistry(), settings: s, log: log}
		d.budget.Init(s.ServerBytes)
	}
	v.admitted.Store(true) // the server decides
	c := newServerConn(d, v)
	h := &clientHandler{nativeConn{served: c}, control}
	c.conn, c.limits, c.atClient = h, &s.Conn, true
	v.conn = h
	if handlers != nil {
		c.tally.Lane = d.registry.tallies.NewLane()
	}
	return h
}

// Control implements transport.Handler.
func (h *clientHandler) Control(m *transport.Message) error { return h.control(m) }

// requestAtClient serves a request of the server. The reader of a client may be a caller,
// and never waits, so the request runs on a goroutine of its own.
func (c *nativeConn) requestAtClient(inv *invocation, m *transport.Message, refusal *fault.Fault) {
	// The request is registered before its goroutine starts, so that a CANCEL finds it.
	c.served.enterRunning(inv)
	if refusal == nil {
		inv.undecoded, refusal = c.Keep(m)
	}
	go func() {
		defer inv.Leave()
		if refusal == nil {
			refusal = c.served.beginCall()
		}
		if refusal != nil {
			inv.Refuse(refusal)
			return
		}
		inv.counted = true
		inv.serve()
	}()
}

// beginCall counts a handler, or returns why it must not run. Handlers take no calls after their
// Shutdown. A call is among the running ones before: so either its handler finds that Shutdown has
// begun, or Shutdown waits for it.
func (c *serverConn) beginCall() *fault.Fault {
	if !c.beginHandler() {
		return c.busy()
	}
	if !c.atClient {
		return nil
	}
	select {
	case <-c.session.draining:
		c.endHandler()
		return fault.Refusal(fault.Unavailable, "the client takes no more calls: Shutdown of its Handlers")
	default:
		return nil
	}
}

// runningAtClients returns the name of the method of each call of a server to these methods, streams
// included.
func (d *dispatcher) runningAtClients() (names []string) {
	d.atClients.Range(func(c, _ any) bool {
		names = append(names, c.(*serverConn).runningNames(false)...)
		return true
	})
	return names
}

// awaitAtClients waits until no call of a server runs. It reports false if ctx ends first.
func (d *dispatcher) awaitAtClients(ctx context.Context) bool {
	for len(d.runningAtClients()) > 0 {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return false
		}
	}
	return true
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
	case s.Basic:
		unused = "Basic"
	case s.access.tls != nil || s.access.authenticate != nil || h.registry.restricted() || len(s.access.roles) > 0 || s.access.operatorRole != "":
		unused = "TLS, Authenticate, Authorize, OperatorRole, Roles or the tag roles="
	case s.MaxSessions != math.MaxInt:
		unused = "MaxSessions"
	case s.SessionMaxHold != math.MaxInt64:
		unused = "SessionMaxHold"
	case s.MaxConcurrentCalls != math.MaxInt:
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

// admitCallback is Admit for a call of a func among the arguments of a call by this end.
func (c *nativeConn) admitCallback(f *wire.Frame) (*fault.Fault, error) {
	funcs, err := c.funcsOf(f)
	switch {
	case err != nil:
		return nil, err
	case funcs == nil:
		return errCallOver, nil
	}
	if _, fn := funcs.Find(f.Arg); fn == nil {
		return nil, fmt.Errorf("callback of func %d of call %d, which has none", f.Arg, f.Call)
	}
	return nil, nil
}

// funcsOf returns the funcs of the call of a callback; nil if it is over. An error is a
// violation.
func (c *nativeConn) funcsOf(f *wire.Frame) (*callback.Funcs, error) {
	of, err := transport.FuncsOf(c.Conn, f.Call)
	funcs, _ := of.(*callback.Funcs)
	return funcs, err
}

// serveCallback serves a request that admitCallback has admitted. It never waits: at a client
// the reader may be the caller itself.
func (c *nativeConn) serveCallback(m *transport.Message) {
	funcs, _ := c.funcsOf(&m.Frame)
	if funcs == nil { // over since then
		c.RefuseAdmitted(&m.Frame, errCallOver)
		return
	}
	p, fn := funcs.Find(m.Arg)
	kept, refusal := c.Keep(m)
	if refusal != nil {
		c.RefuseAdmitted(&m.Frame, refusal)
		return
	}
	v := c.served
	inv := v.newInvocation(&servedMethod{Func: fn, factoryIndex: -1, chain: v.registry.chain, kind: KindCallback}, m.ID, c, c.LastRead())
	inv.setContext(funcs.Context(), c.deadline(m.Timeout), m.Meta)
	v.enterRunning(inv)
	inv.undecoded = kept
	run := func(drop bool) {
		defer inv.Leave()
		inv.runCallback(drop)
	}
	if !funcs.Start(p.Oneway(), run) {
		go run(true) // its answer may wait for room
	}
}

// runCallback runs a callback, or refuses it: if its call is over, or it has been canceled or
// expired while it waited for others.
func (inv *invocation) runCallback(drop bool) {
	switch {
	case drop:
		inv.Refuse(errCallOver)
	case inv.call.Err() != nil:
		inv.Refuse(fault.FromContext(inv.call.Err(), fault.NotRun))
	case !inv.served.beginHandler():
		inv.Refuse(inv.served.busy())
	default:
		inv.counted = true
		inv.serve()
	}
}

// A calledBack is a func among the arguments of a call, at its handler. It implements
// method.Caller, and may be used after the call.
type calledBack struct {
	boundMethod
	through method.Caller // the boundMethod in its interceptors
	call    *callctx.Context
	link    *nativeLink
}

// storeFuncs sets the funcs among the arguments, before these are decoded.
func (inv *invocation) storeFuncs() {
	l := inv.served.session.caller.(link)
	for i, p := range inv.method.Sig.ParamFuncs() {
		f := &calledBack{call: inv.call, link: nativeOf(l)}
		f.Description, f.Sig, f.ID, f.kind, f.callOf = p.Description, p.Sig, -1, KindCallback, inv.id
		f.Of = &inv.served.settings.Settings
		f.Oneway, f.Eager = p.Oneway(), p.Oneway()
		f.bind(l, uint16(i+1))
		f.through = f.caller(l.state())
		method.SetCaller(p, inv.Values, f)
	}
}

// nativeOf returns the connection of a link on the native wire.
func nativeOf(l link) *nativeLink {
	if s, ok := l.(*sessionLink); ok {
		return s.nativeLink
	}
	return l.(*nativeLink)
}

// Call implements method.Caller. The callback ends with the call.
func (f *calledBack) Call(ctx context.Context, v *method.Values) error {
	if ctx == nil {
		return f.boundMethod.Call(ctx, v)
	}
	ctx, stop := f.within(ctx)
	defer stop()
	err := error(errCallOver)
	if !f.call.IsOver() {
		if err = f.through.Call(ctx, v); err == nil {
			return nil
		}
		var e *Error
		switch {
		case !errors.As(errtree.Bounded(err), &e): // an interceptor's
		case f.call.IsOver(), e.Remote && e.Code == CodeCanceled && e.Outcome == OutcomeNotRun:
			err = errCallOver.WithOutcome(fault.Outcome(e.Outcome))
		}
	}
	if f.Oneway {
		caller.OnewayFailed(&f.link.End, &f.Method, err)
	}
	return f.failed(err)
}

// within returns a context that also ends with the call. A func without a context has that of
// the call.
func (f *calledBack) within(ctx context.Context) (context.Context, func()) {
	if !f.Sig.TakesContext() {
		return f.call, func() {}
	}
	if callctx.Of(ctx) == f.call {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(f.call, func() { cancel(context.Cause(f.call)) }) // perhaps the end of the session
	return ctx, func() {
		stop()
		cancel(nil)
	}
}
