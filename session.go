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
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/method"
)

// A Session is one connected user of a server, from the moment that it has a
// place until it has left. A handler finds its own with SessionFrom. All methods
// are safe for concurrent use.
type Session struct {
	id       uint64
	remote   net.Addr
	since    time.Time
	calls    atomic.Uint64
	ctx      context.Context
	end      func(why *fault.Fault) // closes the connection
	tls      *tls.ConnectionState
	draining <-chan struct{}

	connected    bool                   // OnConnect has taken it
	holdTimer    *time.Timer            // of SessionMaxHold
	ticket       *admission.Ticket      // in the server's queue; nil until it has been entered
	receivers    []method.Receiver      // its own, by servedMethod.factoryIndex
	admitted     atomic.Bool            // it may call
	hook         atomic.Pointer[string] // the name of the hook that is running
	disconnected chan struct{}          // closed when its connection has ended, and its goroutines have
	handlersDone chan struct{}          // closed when it has left and none of its handlers runs
	released     chan struct{}          // closed when its place is free again

	mu     sync.Mutex
	values map[any]any
}

// receiver returns what m is called on for this session, nil for the receiver that
// all sessions share.
func (s *Session) receiver(m *servedMethod) *method.Receiver {
	if m.factoryIndex < 0 {
		return nil
	}
	return &s.receivers[m.factoryIndex]
}

// A Peer is who a user has proved to be. It is zero: this version has no
// authentication.
type Peer struct{}

type sessionKey struct{}

// SessionFrom returns the session that a handler's or a hook's context belongs
// to, and nil for every other context.
func SessionFrom(ctx context.Context) *Session {
	s, _ := ctx.Value(sessionKey{}).(*Session)
	return s
}

// ID returns a number that no other session of the server has. Later sessions
// have greater ones.
func (s *Session) ID() uint64 { return s.id }

// RemoteAddr returns the other end's address.
func (s *Session) RemoteAddr() net.Addr { return s.remote }

// Peer returns who the user has proved to be.
func (s *Session) Peer() Peer { return Peer{} }

// TLS returns what the connection's TLS handshake came to, the client's certificate
// among it, or nil where the connection has no TLS. It is of any net.Conn with a
// method ConnectionState() tls.ConnectionState. The struct is the caller's.
func (s *Session) TLS() *tls.ConnectionState {
	if s.tls == nil {
		return nil
	}
	state := *s.tls
	return &state
}

// Draining returns a channel that is closed when the server begins to shut down. A
// handler that waits for long, as in a long poll, should return then: Shutdown
// waits for it.
func (s *Session) Draining() <-chan struct{} { return s.draining }

// Since returns when the user was given its place.
func (s *Session) Since() time.Time { return s.since }

// Calls returns how many calls the session has made, refused ones not counted.
func (s *Session) Calls() uint64 { return s.calls.Load() }

// Context returns a context that is done when the session leaves. It is the
// parent of the contexts of its handlers.
func (s *Session) Context() context.Context { return s.ctx }

// Set stores a value with the session. As with context.WithValue, keys are
// comparable and of a type of their user's own; Set panics for a key that is nil or
// not comparable.
func (s *Session) Set(key, value any) {
	if key == nil {
		panic("bsrpc: Session.Set: nil key")
	}
	if !isComparable(key) {
		panic(fmt.Sprintf("bsrpc: Session.Set: a key of type %T is not comparable", key))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.values == nil {
		s.values = make(map[any]any)
	}
	s.values[key] = value
}

// Value returns what Set has stored, nil if there is nothing.
func (s *Session) Value(key any) any {
	if !isComparable(key) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.values[key]
}

// Close ends the session: its handlers' contexts are cancelled, and its calls,
// those that run too, end at the caller with CodeAborted and the reason. Close
// does not wait. On a session that has left it does nothing.
func (s *Session) Close(reason string) {
	s.end(&fault.Fault{Code: fault.Aborted, Message: cmp.Or(reason, fault.Prefix+"the session was closed")})
}

// runningHook returns the name of the session's hook that is running, "" for none.
func (s *Session) runningHook() string {
	if name := s.hook.Load(); name != nil {
		return *name
	}
	return ""
}

// A Factory makes a receiver for each session. PerSession makes one, and
// Register, RegisterName and RegisterAs take it in place of a receiver. The same
// Factory may be registered under several names: a session has one receiver of it.
type Factory struct{ factory *factory }

type factory struct {
	typ  reflect.Type // of what is made; methods have a pointer to it, or itself if it is one
	make func(context.Context, *Session) (any, error)
}

// PerSession returns a Factory whose receivers live as long as one session. make
// is called after OnConnect, under a context that ends when the client goes; its
// error refuses the session. If R has Close() or Close() error, that is called
// when the session has left and none of its handlers runs, before OnDisconnect.
//
// R is the type whose methods are registered, a pointer as a rule: PerSession
// takes the place of the value that Register would be given.
func PerSession[R any](make func(context.Context, *Session) (R, error)) Factory {
	m := &factory{typ: reflect.TypeFor[R]()}
	if make != nil {
		m.make = func(ctx context.Context, s *Session) (any, error) { return make(ctx, s) }
	}
	return Factory{m}
}

// split returns a Made and its maker for a Factory, and any other receiver as it is.
// A Factory that cannot make one is a problem.
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

// receiver makes the receiver of one session.
func (m *factory) receiver(ctx context.Context, s *Session) (r method.Receiver, err error) {
	made, err := m.make(ctx, s)
	if err != nil {
		return r, err
	}
	r, ok := method.ReceiverOf(made)
	if !ok {
		return r, fault.Refusal(fault.Internal, "PerSession[%v] returned nil without an error", m.typ)
	}
	return r, nil
}
