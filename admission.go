package bsrpc

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc/internal/admission"
	"github.com/bsrpc/bsrpc/internal/errtree"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/report"
)

// sessions are the sessions of a server. A session begins with a ticket of the admission
// queue, OnConnect, and its own receivers. It ends in reverse, after its connection and
// its last handler. Only then the queue admits the next client.
//
// Hooks run without a lock. Lock order: sessions.mu is held together with no other lock.
type sessions struct {
	log      *report.Log
	settings *settings
	hooks    hooks
	registry *registry
	queue    *admission.Queue
	peers    admission.Peers
	draining chan struct{} // closed when the server begins to shut down

	mu         sync.Mutex    // guards the rest
	turnedAway atomic.Uint64 // connections without a session so far

	present map[*Session]bool // admitted, waiting, or leaving; they count against Limits.MaxConns
	lastID  uint64
}

// hooks are the user's.
type hooks struct {
	onConnect    func(context.Context, *Session) error
	onDisconnect func(*Session)
}

// init prepares the sessions of a server.
func (s *sessions) init(d *dispatcher) {
	s.log, s.settings, s.registry = d.log, d.settings, d.registry
	s.queue = admission.NewQueue(d.settings.MaxSessions, d.settings.MaxWaiting)
	s.peers.Init(d.settings.Peers)
	s.draining = make(chan struct{})
	s.present = make(map[*Session]bool)
}

// awaitAdmission waits for the queue to admit the session, and begins it. It calls moved
// when the position has changed. gone is closed when the client has left.
func (s *sessions) awaitAdmission(v *Session, moved func(position int), gone <-chan struct{}) error {
	for {
		select {
		case <-gone:
			return context.Cause(v.ctx)
		default:
		}
		select {
		case <-v.ticket.Admitted():
			return s.begin(v)
		case <-v.ticket.Moved():
			if position := v.ticket.Position(); position > 0 {
				moved(position)
			}
		case <-gone:
		}
	}
}

// runsHooksFirst reports whether the beginning of a session runs user code.
func (s *sessions) runsHooksFirst() bool {
	return s.hooks.onConnect != nil || len(s.registry.factories) > 0
}

// areStateless reports whether a session holds nothing before its first Set, Acquire or
// Bind: the client of a lost one may begin another by itself.
func (s *sessions) areStateless() bool {
	return s.settings.MaxSessions == math.MaxInt && !s.runsHooksLast()
}

// runsHooksLast reports whether the end of a session runs user code.
func (s *sessions) runsHooksLast() bool {
	return s.hooks.onDisconnect != nil || len(s.registry.factories) > 0
}

// begin begins an admitted session: it calls OnConnect, and PerSession for the receivers.
func (s *sessions) begin(v *Session) error {
	v.since = time.Now()
	if s.hooks.onConnect != nil {
		if err := s.guard(v, "OnConnect", func() error { return s.hooks.onConnect(v.ctx, v) }); err != nil {
			return err
		}
	}
	v.connected = true
	for _, perSession := range s.registry.factories {
		err := s.guard(v, "PerSession", func() error {
			r, err := perSession.receiver(v.ctx, v)
			if err == nil {
				v.receivers = append(v.receivers, r)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	if s.settings.SessionMaxHold < math.MaxInt64 {
		v.holdTimer = time.AfterFunc(s.settings.SessionMaxHold, v.ticket.Expire)
	}
	v.admitted.Store(true)
	if v.ctx.Err() == nil { // the client may have left during a hook
		s.log.Debug("bsrpc: admitted", "session", v.id, "remote", v.peer.Addr)
	}
	return nil
}

// logRefusal logs the refusal of a session by a hook, with the fault for the client.
func (s *sessions) logRefusal(v *Session, why *fault.Fault) {
	if v.ctx.Err() == nil { // otherwise the client has left
		s.log.Debug("bsrpc: client refused", "session", v.id, "remote", v.peer.Addr, "err", why)
	}
}

// end ends a session whose client has left and whose last handler has returned.
func (s *sessions) end(v *Session) {
	close(v.handlersDone)
	v.admitted.Store(false)
	if v.holdTimer != nil {
		v.holdTimer.Stop()
	}
	for _, r := range slices.Backward(v.receivers) {
		if err := s.guard(v, "Close of a receiver", r.Close); err != nil {
			s.log.Add(report.Hook, slog.LevelWarn, "bsrpc: closing a session's receiver", "session", v.id, "err", err)
		}
	}
	if v.connected && s.hooks.onDisconnect != nil {
		s.guard(v, "OnDisconnect", func() error { s.hooks.onDisconnect(v); return nil })
	}
	v.owner.Leave()
	s.mu.Lock()
	delete(s.present, v)
	s.mu.Unlock()
	v.ticket.Leave()
	v.counted.Leave()
	close(v.released)
}

// refused returns the fault for the client of a session that a hook has refused. The
// methods of err are user code.
func (s *sessions) refused(v *Session, err error) (e *fault.Fault) {
	if panicked := s.guard(v, "the error of OnConnect or PerSession", func() error { e = s.settings.refusalOf(err); return nil }); panicked != nil {
		return panicked.(*fault.Fault)
	}
	return e
}

// permitted asks Authorize. Unless it allows the call, the call is refused; a panic does not allow
// it.
func (inv *invocation) permitted() bool {
	v, m := inv.served, inv.method
	returned := false
	defer func() {
		if !returned {
			p := v.panicked(&m.Description, recover(), "Authorize hook")
			inv.Refuse(fault.Refusal(fault.Internal, "%s: %w", m.Name, p))
		}
	}()
	err := m.authorize(inv.Ctx, v.session, Method(m.Description))
	if err != nil {
		err = v.settings.refusalOf(errtree.Bounded(err)) // its methods are user code
	}
	returned = true
	if err != nil {
		inv.Refuse(err.(*fault.Fault))
	}
	return err == nil
}

// refusalOf returns the fault for the peer of something that the user's code has refused with
// err.
func (s *settings) refusalOf(err error) *fault.Fault {
	code, f := wireError(err, s.MaxErrorText)
	if code == fault.Unknown {
		code = fault.PermissionDenied
	}
	e := &fault.Fault{Code: code, Name: f.Name, Message: f.Message, Outcome: fault.NotRun}
	if own, ok := err.(*fault.Fault); ok {
		e.LogID = own.LogID
	}
	return e
}

// open returns a session for a client after its hello, and counts the connection. It
// refuses connections above Limits.MaxConns and PeerConns. The session is not in the queue yet.
func (s *sessions) open(p Peer, state *tls.ConnectionState) (*Session, *fault.Fault) {
	v := newSession()
	v.peer, v.tls, v.draining = p, state, s.draining
	v.disconnected, v.handlersDone, v.released = make(chan struct{}), make(chan struct{}), make(chan struct{})
	var ok bool
	if v.counted, ok = s.peers.Enter(p.key()); !ok {
		return nil, fault.Refusal(fault.ResourceExhausted, "the client has the server's Limits.PeerConns (%d) connections", s.settings.Peers.Conns)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.present) >= s.settings.MaxConns {
		defer v.counted.Leave() // after mu
		return nil, fault.Refusal(fault.ResourceExhausted, "the server has Limits.MaxConns (%d) connections", s.settings.MaxConns)
	}
	s.lastID++
	v.id = s.lastID
	s.present[v] = true
	return v, nil
}

// enter enters a session into the admission queue. It returns the position, 0 if the
// session is admitted, or the reason of a refusal.
func (s *sessions) enter(v *Session) (position int, refuse *fault.Fault) {
	var err error
	v.ticket, position, err = s.queue.Enter(v, v.counted, func() {
		v.Close(fault.Prefix + fmt.Sprintf("others wait, and the session has had its place for the server's SessionMaxHold (%v)", s.settings.SessionMaxHold))
	})
	switch {
	case err == nil:
		return position, nil
	case err == admission.ErrPeer:
		return 0, fault.Refusal(fault.ResourceExhausted, "the server's Limits.PeerWaiting (%d) connections of the client wait", s.settings.Peers.Waiting)
	case err == admission.ErrClosed:
		return 0, fault.Refusal(fault.Unavailable, "the server is shutting down")
	case s.settings.MaxWaiting == 0:
		return 0, fault.Refusal(fault.ResourceExhausted, "the server is full: it has MaxSessions (%d) sessions, and RefuseWhenFull is set", s.settings.MaxSessions)
	}
	return 0, fault.Refusal(fault.ResourceExhausted, "the server's queue is full: MaxWaiting (%d) clients wait", s.settings.MaxWaiting)
}

// admitted returns the admitted sessions, in the order of their ids.
func (s *sessions) admitted() []*Session {
	list := slices.DeleteFunc(s.all(), func(v *Session) bool { return !v.admitted.Load() })
	slices.SortFunc(list, func(a, b *Session) int { return cmp.Compare(a.id, b.id) })
	return list
}

// all returns all sessions, also those that wait or are leaving.
func (s *sessions) all() []*Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.present))
}

// guard calls a hook for a session. A panic, or runtime.Goexit, is its error. It logs a
// hook that does not return.
func (s *sessions) guard(v *Session, hook string, f func() error) error {
	v.hook.Store(&hook)
	defer v.hook.Store(nil)
	result := s.log.Start(hook, f)
	for {
		select {
		case err := <-result:
			return err
		case <-time.After(stuckLog):
			s.log.Add(report.Running, slog.LevelWarn, "bsrpc: a hook does not return", "hook", hook, "session", v.id)
		}
	}
}
