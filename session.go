package bsrpc

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A Session is one connected user of a server, from the moment that it has a
// place until it has left. A handler finds its own with SessionFrom. All methods
// are safe for concurrent use.
type Session struct {
	id     uint64
	remote net.Addr
	since  time.Time
	calls  atomic.Uint64
	ctx    context.Context
	end    func(why *Error) // closes the connection

	connected bool        // OnConnect has taken it
	hold      *time.Timer // of SessionMaxHold
	visitor   *visitor
	receivers []receiver    // its own, by method.made
	admitted  atomic.Bool   // it may call
	quiet     chan struct{} // closed when it has left and none of its handlers runs
	left      chan struct{} // closed when its place is free again

	mu     sync.Mutex
	values map[any]any
}

// receiver returns what m is called on for this session.
func (s *Session) receiver(m *method) *receiver {
	if m.made < 0 {
		return &m.recv
	}
	return &s.receivers[m.made]
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

// Since returns when the user was given its place.
func (s *Session) Since() time.Time { return s.since }

// Calls returns how many calls the session has made, refused ones not counted.
func (s *Session) Calls() uint64 { return s.calls.Load() }

// Context returns a context that is done when the session leaves. It is the
// parent of the contexts of its handlers.
func (s *Session) Context() context.Context { return s.ctx }

// Set stores a value with the session. As with context.WithValue, keys are
// comparable and of a type of their user's own.
func (s *Session) Set(key, value any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.values == nil {
		s.values = make(map[any]any)
	}
	s.values[key] = value
}

// Value returns what Set has stored, nil if there is nothing.
func (s *Session) Value(key any) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.values[key]
}

// Close ends the session: its handlers' contexts are cancelled, and its calls,
// those that run too, end at the caller with CodeAborted and the reason. Close
// does not wait. On a session that has left it does nothing.
func (s *Session) Close(reason string) { s.end(&Error{Code: CodeAborted, Message: reason}) }
