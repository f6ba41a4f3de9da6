package bsrpc

import (
	"bytes"
	"cmp"
	"context"
	"iter"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc/internal/apart"
	"github.com/bsrpc/bsrpc/internal/callctx"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/hello"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/secure"
	"github.com/bsrpc/bsrpc/internal/streams"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// Calls apart from connections, at a server.

// Handle handles a call that has come apart from connections, and returns its answer. The
// transport fills r, and ctx ends when the caller has lost interest. ctx is the parent of the
// handler's context, without what it adds to calls. The memory of r and of the reply belong to the
// other side from then on.
//
// A call is handled as one over a connection: with Authenticate, Roles, Authorize, interceptors,
// limits, the log. Its Session has no connection: the ID is 0, the Peer is that of r, Set lasts for
// the call, and Acquire and Bind fail with ErrNoSession. Authenticate gets a copy of the Peer, for
// each call. So a server with PerSession, OnConnect or MaxSessions refuses all calls, and every
// server those of methods with exclusive=, or with funcs or streams among their parameters.
//
// Handle returns when the handler has, or the first of them: when ctx ends, when the server closes. With
// Items the call is over at their end, and the transport must range over them, or end ctx.
// Shutdown waits for calls, streams included. A refused call is a Reply with StatusError, whose Err
// has OutcomeNotRun. Handle never returns nil, and is safe for concurrent use.
func (s *Server) Handle(ctx context.Context, r *Request) *Reply {
	replied := make(chan *Reply, 1) // so the goroutine of the handler never waits for Handle
	h, why := newHandling(s, ctx, r, func(reply *Reply) { replied <- reply })
	if why != nil {
		return failedReply(why, 0)
	}
	go h.run()
	select {
	case reply := <-replied:
		return reply
	case <-h.served.ctx.Done(): // perhaps after the reply
		select {
		case reply := <-replied:
			return reply
		default:
			return failedReply(h.why(), h.until)
		}
	}
}

// ServeRequest is Handle for transports with a goroutine for each call. It spares the call another
// one: the handler runs on that of ServeRequest, unless it has a stream. The reply goes to answer,
// which is called once: after the handler, also if that has ended the goroutine by
// runtime.Goexit, or on another goroutine if the server closes before. ServeRequest returns after
// the handler and answer, even if ctx has ended long before. The transport may reuse r then, without
// the memory of its fields.
func (s *Server) ServeRequest(ctx context.Context, r *Request, answer func(*Reply)) {
	if s.mustBeInitialized(); r != nil && s.begin() == nil && s.registry.streams(r.Method) { // the methods do not change after begin
		own := *r // Handle may return before the handler
		answer(s.Handle(ctx, &own))
	} else if h, why := newHandling(s, ctx, r, answer); why != nil {
		answer(failedReply(why, 0))
	} else {
		h.run()
	}
}

// A handling is one call of Handle: in place of a connection, and as the replier of its
// invocation. It has all that such a call needs, in one piece of memory.
type handling struct {
	server  *Server
	request *Request
	until   time.Duration // the end of the time of the call, by limits.Monotonic; 0 for none
	served  serverConn
	session Session
	values  callctx.Inward // the parent of the context of the call
	pipe    *streams.Pipe  // nil without a stream
	running sync.WaitGroup // of run

	answered *Reply       // by run; nil before
	sending  sync.Mutex   // guards answer, and is held while it is called: run waits for that
	answer   func(*Reply) // nil once it has been called
}

// newHandling opens the session of a call, and registers it for Shutdown. The check of stopping and
// the registration are one step under Server.mu: Shutdown knows a call, or the call is refused.
func newHandling(s *Server, ctx context.Context, r *Request, answer func(*Reply)) (*handling, *fault.Fault) {
	s.mustBeInitialized()
	if ctx == nil || r == nil {
		return nil, fault.Refusal(fault.InvalidArgument, "Server.Handle: nil context or request")
	}
	if err := s.begin(); err == ErrServerClosed {
		return nil, fault.Refusal(fault.Unavailable, "the server is shutting down")
	} else if err != nil {
		s.log.Add(report.Auth, slog.LevelError, "bsrpc: Handle refuses all calls", "err", err)
		return nil, fault.Refusal(fault.FailedPrecondition, "the options of the server are not valid; its log has the reason")
	}
	if s.sessions.runsHooksFirst() || s.settings.MaxSessions != math.MaxInt {
		return nil, fault.Refusal(fault.Unimplemented, "the server has PerSession, OnConnect or MaxSessions, so its calls need a session; use a connection")
	}
	h := &handling{server: s, request: r, answer: answer}
	v, c := &h.session, &h.served
	v.since, v.draining, v.caller, v.sessionConn = time.Now(), s.sessions.draining, apartSession{}, &noSessionConn
	if v.peer = h.request.Peer; v.peer.Addr == nil {
		v.peer.Addr = apart.Addr{}
	}
	v.peer.Roles, v.peer.CertificateNames = slices.Clone(v.peer.Roles), slices.Clone(v.peer.CertificateNames)
	if v.peer.CertificateNames == nil {
		v.peer.CertificateNames = secure.Names(v.peer.Certificate)
	}
	c.dispatcher, c.conn, c.session, c.limits = &s.dispatcher, h, v, &s.settings.Conn
	h.values.Context.Context, h.values.Key, h.values.Own = ctx, sessionKey{}, v
	c.ctx, c.cancel = &h.values, h.values.End
	v.ctx, v.conn = c.ctx, h
	v.admitted.Store(true)
	h.until = apart.Until(ctx, h.request.Timeout, limits.MonotonicAt(v.since))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isStopping() {
		c.cancel(nil)
		return nil, fault.Refusal(fault.Unavailable, "the server is shutting down")
	}
	h.running.Add(1)
	s.conns[c] = true
	s.handled++
	c.apart.Store(int64(s.handled)) // all of them count as one connection
	return h, nil
}

// send answers the call, once. Dismiss stores its reason before it ends the context. So a reply
// beside a reason has come too late: the server has given the call up.
func (h *handling) send(reply *Reply) {
	h.sending.Lock()
	defer h.sending.Unlock()
	answer := h.answer
	if h.answer = nil; answer == nil {
		return
	}
	if reply == nil || h.served.why.Load() != nil {
		h.served.cancel(nil) // unless it has ended
		reply = failedReply(h.why(), h.until)
	}
	answer(reply)
}

// leave ends the session of the call. Shutdown waits for running, which therefore ends last.
func (h *handling) leave() {
	s, v := h.server, &h.served
	s.mu.Lock()
	delete(s.conns, v)
	s.handled--
	s.mu.Unlock()
	v.session.admitted.Store(false)
	v.cancel(nil)
	h.running.Done()
}

// run serves the call, and answers it. A handler or a hook may end the goroutine.
func (h *handling) run() {
	v := &h.served
	defer h.leave() // after the answer: its end of the context wakes Handle
	defer func() { h.send(h.answered) }()
	if !v.beginHandler() {
		h.refuse(nil, v.busy())
		return
	}
	var inv *invocation
	defer func() { // a hook may call runtime.Goexit
		if inv == nil {
			v.endHandler()
		}
	}()
	why := h.authenticate()
	if why == nil {
		why = apart.Late(v.ctx, h.until)
	}
	if why == nil && v.settings.Peers.CallRate < math.MaxInt && !h.server.sessions.peers.TakeCall(v.session.peer.key(), time.Now()) {
		why = v.tooOften()
	}
	if why != nil {
		h.refuse(nil, why)
		return
	}
	if h.request.Method == BindMethod {
		h.bind()
		return
	}
	m, why := h.find()
	if why == nil {
		inv, why = h.begin(m)
	}
	if why != nil {
		h.refuse(m, why)
		return
	}
	if inv != nil {
		m := inv.undecoded
		defer func() {
			inv.Leave()
			*m = transport.Message{}
			undecoded.Put(m)
		}()
		inv.serve()
	}
}

// refuse answers a call that does not run. m is nil for an unknown method.
func (h *handling) refuse(m *servedMethod, why *fault.Fault) {
	h.served.refused(cmp.Or(m, h.served.registry.unknown), why)
	h.answered = failedReply(why, h.until)
}

// authenticate asks Authenticate within HandshakeTimeout.
func (h *handling) authenticate() *fault.Fault {
	v := &h.served
	if v.settings.access.authenticate == nil {
		return nil
	}
	ctx, stop := context.WithDeadline(v.ctx, netconn.DeadlineIn(v.settings.HandshakeTimeout))
	defer stop()
	p := &v.session.peer
	if err := h.server.prove(ctx, p, p.key(), h.request.Credentials); err != nil {
		return hello.Unauthenticated(v.log, p.Addr, err).Err
	}
	return nil
}

// finder returns what finds the methods of the server for the caller.
func (h *handling) finder() apart.Finder[*servedMethod, registryFor] {
	v := &h.served
	return apart.Finder[*servedMethod, registryFor]{Registry: v.registryFor(), Needs: needsSession, MaxMessage: v.settings.MaxMessage}
}

// find returns the method of the request. It answers in place of a method that its caller
// knows in another version: then it returns nil twice.
func (h *handling) find() (*servedMethod, *fault.Fault) {
	r, finder := h.request, h.finder()
	m, differs, why := finder.Find(&apart.Wanted{Method: r.Method, Hash: r.Hash, Layout: r.Layout, Knows: r.Knows, Size: len(r.Body)})
	if differs != nil {
		h.answered = &Reply{Status: StatusDiffers, Hash: differs.Hash, Layout: differs.Layout}
	}
	return m, why
}

// needsSession returns why a method can be called over a connection only, "" if it need not.
func needsSession(m *servedMethod) string {
	if m.group != nil {
		return "exclusive=" + m.Exclusive + " needs a session"
	}
	return apart.NeedsConnection(m.Sig)
}

// bind answers a request with BindMethod.
func (h *handling) bind() {
	if len(h.request.Body) == 0 {
		h.answered = new(Reply)
		return
	}
	finder := h.finder()
	r, answers, why := finder.Bind(BindMethod, h.request.Body)
	if why != nil {
		h.refuse(nil, why)
		return
	}
	h.served.logBound(r, answers, true)
	h.answered = &Reply{Body: wire.AppendBindResponse(nil, answers)}
}

// undecoded are messages of arguments. A call has one until its end.
var undecoded = sync.Pool{New: func() any { return new(transport.Message) }}

// begin returns the invocation of the call; nil without a method.
func (h *handling) begin(m *servedMethod) (*invocation, *fault.Fault) {
	if m == nil {
		return nil, nil
	}
	meta, err := callctx.RequestBlock(h.request.Metadata)
	if err != nil {
		return nil, fault.Refusal(fault.InvalidArgument, "%s: metadata: %w", m.Name, err)
	}
	v := &h.served
	inv := v.newInvocation(m, 0, h, limits.MonotonicAt(v.session.since))
	inv.setContext(v.ctx, h.until, meta)
	inv.undecoded, inv.counted = undecoded.Get().(*transport.Message), true
	inv.undecoded.Body, inv.undecoded.Own = h.request.Body, true
	if m.streams != nil {
		h.pipe = streams.NewPipe()
		inv.streams = &streams.Served{Out: h.pipe}
		inv.call.AfterFunc(h.pipe.Cancel)
		context.AfterFunc(v.ctx, func() { h.pipe.Fail(h.why(), false) })
	}
	v.enterRunning(inv) // last: from here on other goroutines find the invocation
	return inv, nil
}

// reply implements replier. The metadata is complete before it is read: SendHead and EndReplied
// refuse further entries. A stream goes on after the reply, and its context with it.
func (h *handling) reply(inv *invocation, err error) {
	v, streamed := &h.served, inv.streams != nil
	if inv.err = err; streamed && err == nil {
		inv.call.SendHead()
	} else {
		inv.call.EndReplied()
	}
	if inv.err == nil && inv.canceled.Load() {
		inv.err = context.Canceled
	}
	reply := &Reply{Hash: inv.method.Hash, Metadata: inv.call.ReplyMap()}
	if inv.err == nil {
		inv.err = v.encodeResults(inv, h.PeerMaxMessage(), 0)
	}
	if inv.err == nil {
		inv.code = fault.OK
		if reply.Body = bytes.Clone(inv.Enc.Buf); streamed {
			reply.Items = h.items()
		}
	} else {
		var meta wire.ReplyMetadata
		code, f := v.failureOf(inv, inv.err, &meta)
		flags := inv.Fails(code)
		e := &fault.Fault{Code: code, Name: f.Name, Message: f.Message, LogID: f.LogID, Outcome: fault.Answered, Identities: meta.Identities}
		if flags&wire.NotRun != 0 {
			e.Outcome = fault.NotRun
		}
		reply.Status, reply.Err = StatusError, sentError(e, flags&wire.Expired != 0)
		if streamed {
			h.pipe.Cancel()
		}
	}
	if inv.answered = true; !inv.continues() { // until here user code may panic
		v.uncountCall(inv)
	}
	if err != nil && inv.method.Sig.Oneway() {
		v.onewayFailed(inv.method, err)
	}
	if h.answered = reply; streamed {
		h.send(reply)
	}
}

// items returns Reply.Items.
func (h *handling) items() iter.Seq2[[]byte, error] {
	p := &apart.Produced{Pipe: h.pipe, Used: ErrStreamUsed, Sent: h.sentEnd}
	p.Cancel = func() {
		if parts, why := h.served.cancelRunning(0); parts != nil {
			parts.Cancel(why)
		}
	}
	return p.Items()
}

// sentEnd returns the error at the end of a stream. A handler that has been cancelled may end
// it before Dismiss does.
func (h *handling) sentEnd(f *fault.Fault) error {
	if why := h.served.why.Load(); why != nil && f.Code == fault.Canceled {
		f = why
	}
	own := *f
	own.Message = fault.Cut(f.Message, h.served.settings.MaxErrorText)
	return sentError(&own, h.pipe.Expired())
}

// why returns why the call has ended before its answer.
func (h *handling) why() *fault.Fault {
	if why := h.served.why.Load(); why != nil {
		return why
	}
	return fault.FromContext(h.served.ctx.Err(), fault.OutcomeUnknown)
}

// The methods of replier and connection: there is nothing to flush, to read and to wait for.

// PeerMaxMessage implements replier. The caller has a limit of its own, which is not known.
func (h *handling) PeerMaxMessage() uint64 { return uint64(h.served.settings.MaxMessage) }
func (h *handling) Flush()                 {}
func (h *handling) Run()                   {}
func (h *handling) Drain()                 {}
func (h *handling) Wait()                  { h.running.Wait() }
func (h *handling) awaitHandlers()         {}
func (h *handling) Fail(why *fault.Fault)  { h.Dismiss(why) }

// Dismiss implements connection, and Session.Close.
func (h *handling) Dismiss(why *fault.Fault) {
	h.served.why.CompareAndSwap(nil, why)
	h.served.cancel(errorOf(why))
	go h.send(nil)
}
