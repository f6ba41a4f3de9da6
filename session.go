package bsrpc

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc/internal/admission"
	"github.com/bsrpc/bsrpc/internal/callctx"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A Session is one client of a server, from its admission until its connection is
// closed and its last handler has returned. SessionFrom returns the session of a
// handler's context. All methods are safe for concurrent use.
type Session struct {
	id       uint64
	peer     Peer
	since    time.Time
	calls    atomic.Uint64
	ctx      context.Context
	conn     interface{ Dismiss(why *fault.Fault) } // ends it for Close
	caller   any                                    // the link to the client, as any: a server that binds none need not contain proxies
	tls      *tls.ConnectionState
	draining <-chan struct{}

	admitted atomic.Bool            // all hooks have accepted it; it may call
	hook     atomic.Pointer[string] // the name of the running hook
	*sessionConn
	sessionState
}

// A sessionConn is what only a session with a connection has.
type sessionConn struct {
	connected bool                // accepted by OnConnect; OnDisconnect is due
	owner     admission.Owner     // of exclusive groups
	holdTimer *time.Timer         // for SessionMaxHold
	counted   *admission.PeerConn // nil without limits of a peer
	ticket    *admission.Ticket   // nil until the client enters the admission queue
	receivers []method.Receiver   // from PerSession, by servedMethod.factoryIndex

	disconnected chan struct{} // closed when the connection has ended with its goroutines
	handlersDone chan struct{} // closed then, and after the last handler
	released     chan struct{} // closed at the end of the session, after its last hook
}

// noSessionConn is that of all sessions without a connection. It is only read.
var noSessionConn sessionConn

// newSession returns a session with a connection, in one piece of memory.
func newSession() *Session {
	both := new(struct {
		v Session
		c sessionConn
	})
	both.v.sessionConn = &both.c
	return &both.v
}

// A sessionState is what the next session of the same client would lack.
type sessionState struct {
	announce sync.Once  // to the client
	mu       sync.Mutex // guards values
	values   map[any]any
}

// receiver returns the session's own receiver of m, or nil if all sessions share
// one.
func (s *Session) receiver(m *servedMethod) *method.Receiver {
	if m.factoryIndex < 0 {
		return nil
	}
	return &s.receivers[m.factoryIndex]
}

type sessionKey struct{}

// An authorizer is ServerOptions.Authorize.
type authorizer func(ctx context.Context, s *Session, m Method) error

// SessionFrom returns the session of a context passed to a handler or a hook, or
// derived from one. It returns nil for any other context.
func SessionFrom(ctx context.Context) *Session {
	if ctx == nil {
		return nil
	}
	s, _ := ctx.Value(sessionKey{}).(*Session)
	return s
}

// ID returns a number unique among the sessions of the server. Later sessions have
// greater numbers.
func (s *Session) ID() uint64 { return s.id }

// RemoteAddr returns the address of the client.
func (s *Session) RemoteAddr() net.Addr { return s.peer.Addr }

// Peer returns who the client is, as far as it has proved that. In a handler of
// ClientOptions.Handlers it is the server. The caller must not modify the slices.
func (s *Session) Peer() Peer { return s.peer }

// TLS returns the state of the connection after its TLS handshake, including the
// certificate of the client, or nil for a connection without TLS. It works for any
// net.Conn with a method ConnectionState() tls.ConnectionState. The caller may modify
// the struct, but not the slices and certificates in it.
func (s *Session) TLS() *tls.ConnectionState {
	if s.tls == nil {
		return nil
	}
	state := *s.tls
	return &state
}

// Draining returns a channel closed at the beginning of Server.Shutdown. Long waits in
// handlers, such as long polls, should end then, because Shutdown waits for all
// handlers.
func (s *Session) Draining() <-chan struct{} { return s.draining }

// Since returns the time at which the session was admitted.
func (s *Session) Since() time.Time { return s.since }

// Calls returns the number of calls of the session so far, without refused ones.
func (s *Session) Calls() uint64 { return s.calls.Load() }

// Context returns a context cancelled when the connection ends. It is the parent of
// the contexts of the session's handlers.
func (s *Session) Context() context.Context { return s.ctx }

// Set stores a value in the session, for Value. As for context.WithValue, a key should
// have a type of the caller's own package. Set panics if the key is nil or not
// comparable.
func (s *Session) Set(key, value any) {
	if key == nil {
		panic("bsrpc: Session.Set: nil key")
	}
	if !isComparable(key) {
		panic(fmt.Sprintf("bsrpc: Session.Set: a key of type %T is not comparable", key))
	}
	s.announceState()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.values == nil {
		s.values = make(map[any]any)
	}
	s.values[key] = value
}

// isComparable reports whether v can be the key of a map.
func isComparable(v any) bool { return v == nil || reflect.ValueOf(v).Comparable() }

// Value returns the value stored by Set for key, or nil.
func (s *Session) Value(key any) any {
	if !isComparable(key) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.values[key]
}

// Acquire makes the session hold exclusive groups, the names of exclusive= tags: all of them, or
// none with an error. It waits in the same lines as calls do, first come, first served. While the
// session holds a group, the calls of other sessions wait, and those of its own run one at a
// time, in order, before the line. A group that it holds already is left out. Handlers call
// Acquire; within a call of one of the groups, the hold of the call becomes the session's.
// OnConnect may call it too: then the client waits in Dial.
//
// The session holds a group until Release, or until its end: after its last handler and
// OnDisconnect. ServerOptions.GroupMaxHold takes it earlier while others wait.
// Limits.SessionLease ends the session of a dead client that holds a group or waits for one.
//
// Acquire ends with ctx or the session; the error names the group, and is found by errors.Is as
// that of the context. A wait that would close a circle of sessions, each waiting for a group
// of the next one, fails with CodeAborted at once. An unknown group is an error with CodeInvalidArgument and
// the list of all groups.
func (s *Session) Acquire(ctx context.Context, groups ...string) error {
	if err := needContext(ctx, "Session.Acquire"); err != nil {
		return publicError(err)
	}
	if err := cmp.Or(s.over(), ctx.Err()); err != nil {
		return err
	}
	if s.isApart() {
		return publicError(fault.Refusal(fault.FailedPrecondition, "Session.Acquire: %w", ErrNoSession))
	}
	call, chain, moved := callctx.WaiterOf(ctx)
	w, err := s.owner.NewHold(groups, call, chain)
	if err != nil {
		return publicError(fault.Refusal(fault.InvalidArgument, "Session.Acquire: %w", err))
	}
	s.announceState()
	since := time.Now()
	w.Moved = moved
	g, holders := w.Acquire(ctx, s.ctx.Done(), limits.BeforeEnd, callctx.PositionOf(ctx))
	switch why := w.Refusal(); {
	case g != nil && s.ctx.Err() != nil:
		return s.over()
	case g != nil:
		return publicError(fault.Waited(since, "exclusive="+g.Name, holders, ctx.Err()))
	case why != nil:
		return publicError(denied(why))
	}
	return nil
}

// over returns why the session has ended, nil before. It is the error of what has not begun.
func (s *Session) over() error {
	cause := context.Cause(s.ctx)
	if e, ok := cause.(*Error); ok {
		own := *e
		own.Outcome = OutcomeNotRun
		return &own
	}
	return cause
}

// denied returns the fault of a wait that the groups have refused.
func denied(why *admission.Refusal) *fault.Fault {
	if why.Busy {
		return fault.Refusal(fault.ResourceExhausted, "%v", why)
	}
	return fault.Refusal(fault.Aborted, "%v", why)
}

// Release gives groups back, each when the running call of the session in it has ended. Calls of
// the session that still wait go to the end of the line. A group that the session does not hold
// has no effect.
func (s *Session) Release(groups ...string) {
	if !s.isApart() {
		s.owner.Release(groups...)
	}
}

// Close ends the session. The contexts of its handlers are cancelled, and all its calls,
// also those running, fail at the caller with CodeAborted and the reason as text.
// Close does not wait. It does nothing if the session has already ended.
func (s *Session) Close(reason string) {
	s.conn.Dismiss(&fault.Fault{Code: fault.Aborted, Message: cmp.Or(reason, fault.Prefix+"the session was closed")})
}

// announceState tells a client that reconnects, before the answer of the call, that the
// session holds state from now on. It returns once that is queued, for calls at the same time too.
func (s *Session) announceState() {
	if l, ok := s.caller.(interface{ announceState() }); ok {
		s.announce.Do(l.announceState)
	}
}

// runningHook returns the name of the session's running hook, or "".
func (s *Session) runningHook() string {
	if name := s.hook.Load(); name != nil {
		return *name
	}
	return ""
}

// Calls from a server to the client of a session.

// bind implements Caller.
func (s *Session) bind(ctx context.Context, service string, proxy reflect.Value) error {
	var l link = noLink{}
	if s != nil && s.caller != nil {
		l = s.caller.(link)
		s.announceState()
	}
	return bindContract(ctx, l, service, proxy)
}

// A sessionLink carries the calls of a server to the client of a session.
type sessionLink struct {
	*nativeLink
	session *Session
	peer    *wire.Hello // of the client
}

// bindMethods implements link.
func (l *sessionLink) bindMethods(ctx context.Context, service string, methods []*boundMethod) error {
	if !l.peer.AcceptsCalls {
		return fault.Refusal(fault.Unimplemented, "bind %s: the client does not accept calls; it is of an older version", service)
	}
	err := l.nativeLink.bindMethods(ctx, service, methods)
	for _, m := range methods {
		if b := m.binding.Load(); b != nil && b.err == nil {
			own := *b
			own.link = l
			m.binding.Store(&own)
		}
	}
	return err
}

// announceState tells a client that reconnects by itself that this session holds something, which
// the session of its next connection would lack.
func (l *sessionLink) announceState() {
	if l.peer.Reconnects {
		l.Control(&wire.Frame{Type: wire.SessionState})
	}
}

// call implements link. OnConnect may bind, but the client is called only once it is
// admitted.
func (l *sessionLink) call(ctx context.Context, m *boundMethod, b *binding, v *method.Values) error {
	if !l.session.admitted.Load() && l.Err() == nil {
		return fault.Refusal(fault.FailedPrecondition, "%s: the session is not admitted yet; call after OnConnect has returned", m.Name)
	}
	return l.nativeLink.call(ctx, m, b, v)
}

// A basicSession is the link of a session on the basic wire.
type basicSession struct{ noLink }

func (basicSession) bindMethods(_ context.Context, service string, _ []*boundMethod) error {
	return fault.Refusal(fault.Unimplemented, "bind %s: the client speaks the basic wire, which has no calls to clients", service)
}

// An apartSession is the link of a session without a connection.
type apartSession struct{ noLink }

func (apartSession) bindMethods(_ context.Context, service string, _ []*boundMethod) error {
	return fault.Refusal(fault.FailedPrecondition, "bind %s: %w", service, ErrNoSession)
}

// isApart reports whether the session has no connection.
func (s *Session) isApart() bool { _, apart := s.caller.(apartSession); return apart }

// A Factory creates a receiver for each session. Create one with PerSession and pass it
// to Register, RegisterName or RegisterAs in place of a receiver. A Factory may be
// registered under several names: the services then share one receiver per session.
type Factory struct{ factory *factory }

// A factory is the state of a Factory. Its address identifies it.
type factory struct {
	typ  reflect.Type // R; methods are those of *R, or of R itself if it is a pointer
	make func(context.Context, *Session) (any, error)
}

// PerSession returns a Factory. make is called once for each session, after OnConnect,
// with a context cancelled when the client disconnects; an error refuses the client.
// If R has Close() or Close() error, it is called after the last handler of the
// session, before OnDisconnect.
//
// The methods of R are registered, or those of *R if R is not a pointer. R is usually
// a pointer to a struct.
func PerSession[R any](make func(context.Context, *Session) (R, error)) Factory {
	f := &factory{typ: reflect.TypeFor[R]()}
	if make != nil {
		f.make = func(ctx context.Context, s *Session) (any, error) { return make(ctx, s) }
	}
	return Factory{f}
}

// splitFactory returns the type of the receivers and the factory for a given Factory, and
// any other receiver unchanged, with a nil factory.
func splitFactory(service string, given any) (any, *factory, []method.Problem) {
	f, ok := given.(Factory)
	switch {
	case !ok:
		return given, nil, nil
	case f.factory == nil:
		return nil, nil, []method.Problem{{Path: service, Text: "zero Factory; use PerSession"}}
	case f.factory.make == nil:
		return nil, nil, []method.Problem{{Path: service, Text: fmt.Sprintf("PerSession[%v]: nil func", f.factory.typ)}}
	}
	return method.Made{Type: f.factory.typ}, f.factory, nil
}

// receiver creates the receiver of s. The error is the user's.
func (f *factory) receiver(ctx context.Context, s *Session) (r method.Receiver, err error) {
	made, err := f.make(ctx, s)
	if err != nil {
		return r, err
	}
	r, ok := method.ReceiverOf(made)
	if !ok {
		return r, fault.Refusal(fault.Internal, "PerSession[%v] returned nil without an error", f.typ)
	}
	return r, nil
}
