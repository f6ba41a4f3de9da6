package report

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// A guard is a slog.Handler in front of the user's. One that panics, exits its goroutine
// or hangs costs log lines, and nothing else.
type guard struct {
	user    slog.Handler
	derived []func(slog.Handler) slog.Handler // by WithAttrs and WithGroup
	health  *health
}

// health is shared by a handler and those derived from it.
type health struct {
	mu    sync.Mutex // guards the rest
	stuck int        // abandoned lines whose handler has not returned
	lost  int        // lines dropped meanwhile
}

// lineTimeout is how long a line may take.
const lineTimeout = time.Second

// guardLogger returns a logger whose lines go to l's handler. No lock is held while a
// line is written.
func guardLogger(l *slog.Logger) *slog.Logger {
	return slog.New(&guard{user: l.Handler(), health: new(health)})
}

// Enabled returns true: Handle asks the user's handler.
func (g *guard) Enabled(context.Context, slog.Level) bool { return true }

// Handle waits for the user's handler, at most for lineTimeout.
func (g *guard) Handle(ctx context.Context, r slog.Record) error {
	if g.health.drops() {
		return nil
	}
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		g.write(ctx, r)
	}()
	timer := time.NewTimer(lineTimeout)
	defer timer.Stop()
	select {
	case <-returned:
		return nil
	case <-timer.C:
	}
	g.health.hang()
	go func() {
		<-returned
		if lost := g.health.unhang(); lost > 0 {
			again := slog.NewRecord(time.Now(), slog.LevelWarn, "bsrpc: log lines were dropped: the Logger's handler hung", 0)
			again.AddAttrs(slog.Int("lines", lost))
			g.Handle(ctx, again)
		}
	}()
	return nil
}

// write calls the user's code.
func (g *guard) write(ctx context.Context, r slog.Record) {
	defer func() { recover() }()
	h := g.user
	for _, derive := range g.derived {
		h = derive(h)
	}
	if h.Enabled(ctx, r.Level) {
		h.Handle(ctx, r)
	}
}

// WithAttrs derives a handler when a line is written.
func (g *guard) WithAttrs(attrs []slog.Attr) slog.Handler {
	return g.derive(func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
}

// WithGroup derives a handler when a line is written.
func (g *guard) WithGroup(name string) slog.Handler {
	return g.derive(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}

func (g *guard) derive(f func(slog.Handler) slog.Handler) *guard {
	return &guard{g.user, append(slices.Clip(g.derived), f), g.health}
}

// drops reports whether a line is dropped, and counts it.
func (s *health) drops() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stuck == 0 {
		return false
	}
	s.lost++
	return true
}

func (s *health) hang() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stuck++
}

// unhang returns how many lines were dropped, once no line is stuck.
func (s *health) unhang() (lost int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stuck--; s.stuck > 0 {
		return 0
	}
	lost, s.lost = s.lost, 0
	return lost
}
