package main

import (
	"context"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc"
)

// newServer serves an instrument to one user at a time. Others wait for it, or
// are refused.
func newServer(i *instrument, refuse bool) (*bsrpc.Server, error) {
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{
		MaxSessions:    1,
		RefuseWhenFull: refuse,
		Basic:          true, // Python clients, too
		OnConnect: func(ctx context.Context, s *bsrpc.Session) error {
			i.say("session %d, %v, has the instrument", s.ID(), s.RemoteAddr())
			return nil
		},
		OnDisconnect: func(s *bsrpc.Session) {
			i.say("session %d left after %d calls in %v", s.ID(), s.Calls(), time.Since(s.Since()).Round(time.Second/10))
		},
	})
	perSession := bsrpc.PerSession(func(context.Context, *bsrpc.Session) (*user, error) {
		return &user{instrument: i}, nil
	})
	return srv, bsrpc.RegisterAs[Scope](srv, "Scope", perSession)
}

// A user is what a session calls: the instrument, and what the session has of
// its own. The next session has another, so that nobody finds settings that
// somebody else has left.
type user struct {
	instrument *instrument

	mu       sync.Mutex
	settings *Settings
	last     []float32
	abort    context.CancelCauseFunc // of the acquisition that is running
}

// Close leaves the instrument safe for the next user, however this one went:
// by leaving, by crashing, or by pulling the plug.
func (u *user) Close() { u.instrument.output(0) }

func (u *user) Identify() string { return identity }

func (u *user) Configure(s Settings) error {
	if err := s.check(); err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.instrument.output(0)
	u.settings, u.last = &s, nil
	return nil
}

func (u *user) Settings() (Settings, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.settings == nil {
		return Settings{}, errNotConfigured
	}
	return *u.settings, nil
}

func (u *user) Arm() error {
	s, err := u.Settings()
	if err != nil {
		return err
	}
	u.instrument.output(s.Drive)
	return nil
}

// Acquire blocks for as long as the hardware does. The context ends it when the
// caller gives up or is gone.
func (u *user) Acquire(ctx context.Context, channel uint) ([]float32, error) {
	s, err := u.Settings()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	u.mu.Lock()
	u.abort = cancel
	u.mu.Unlock()
	w, err := u.instrument.acquire(ctx, s, channel)
	if err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.last = w
	return w, nil
}

func (u *user) Statistics() (Statistics, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.last == nil {
		return Statistics{}, errNoWaveform
	}
	return statistics(u.last), nil
}

func (u *user) Abort() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.instrument.output(0)
	if u.abort != nil {
		u.abort(errAborted)
	}
}
