package main

import (
	"context"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc"
)

// newServer returns a server for an instrument, with one session at a time. Other
// clients wait in a queue, or are refused.
func newServer(i *instrument, refuse bool) (*bsrpc.Server, error) {
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{
		MaxSessions:    1,
		RefuseWhenFull: refuse,
		Basic:          true, // for Python clients
		OnConnect: func(ctx context.Context, s *bsrpc.Session) error {
			i.say("session %d, %v, has the instrument", s.ID(), s.RemoteAddr())
			return nil
		},
		OnDisconnect: func(s *bsrpc.Session) {
			i.say("session %d left after %d calls in %v", s.ID(), s.Calls(), time.Since(s.Since()).Round(time.Second/10))
		},
	})
	perSession := bsrpc.PerSession(func(context.Context, *bsrpc.Session) (*session, error) {
		return &session{instrument: i}, nil
	})
	return srv, bsrpc.RegisterAs[Scope](srv, "Scope", perSession)
}

// A session is the receiver for one client: the instrument with the client's own
// settings and waveform. Each client gets a new one, so no settings of earlier clients
// remain.
type session struct {
	instrument *instrument

	mu       sync.Mutex // guards the rest
	settings *Settings
	last     []float32
	abort    context.CancelCauseFunc // ends the running acquisition; nil before the first
}

// Close makes the instrument safe for the next client. The server calls it at the end
// of the session, also after a crash of the client or a lost connection.
func (s *session) Close() { s.instrument.output(0) }

func (s *session) Identify() string { return identity }

func (s *session) Configure(settings Settings) error {
	if err := settings.check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.instrument.output(0)
	s.settings, s.last = &settings, nil
	return nil
}

func (s *session) Settings() (Settings, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.settings == nil {
		return Settings{}, errNotConfigured
	}
	return *s.settings, nil
}

func (s *session) Arm() error {
	settings, err := s.Settings()
	if err != nil {
		return err
	}
	s.instrument.output(settings.Drive)
	return nil
}

// Acquire blocks until the hardware is done. The context is canceled when the caller
// gives up or its connection is lost.
func (s *session) Acquire(ctx context.Context, channel uint) ([]float32, error) {
	settings, err := s.Settings()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.mu.Lock()
	s.abort = cancel
	s.mu.Unlock()
	w, err := s.instrument.acquire(ctx, settings, channel)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = w
	return w, nil
}

func (s *session) Statistics() (Statistics, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		return Statistics{}, errNoWaveform
	}
	return statistics(s.last), nil
}

func (s *session) Abort() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.instrument.output(0)
	if s.abort != nil {
		s.abort(errAborted)
	}
}
