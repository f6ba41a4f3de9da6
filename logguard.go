package bsrpc

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// A logGuard stands before a user's slog.Handler. One that panics, exits its
// goroutine or hangs costs lines of the log, and nothing else.
type logGuard struct {
	user    slog.Handler
	derived []func(slog.Handler) slog.Handler // by WithAttrs and WithGroup
	health  *logHealth
}

// logHealth is shared by a handler and those derived from it.
type logHealth struct {
	mu    sync.Mutex // guards the rest
	stuck int        // lines that were given up, and whose handler has not returned
	lost  int        // lines dropped meanwhile
}

// logPatience is how long a line may take.
const logPatience = time.Second

// guardLogger returns a logger whose lines go to l's handler. Every logger of the
// library is one. Lines are not written under a lock.
func guardLogger(l *slog.Logger) *slog.Logger {
	return slog.New(&logGuard{user: l.Handler(), health: new(logHealth)})
}

// Enabled leaves the question to Handle: the answer is the user's.
func (g *logGuard) Enabled(context.Context, slog.Level) bool { return true }

// Handle waits for the user's handler, for logPatience at most.
func (g *logGuard) Handle(ctx context.Context, r slog.Record) error {
	if g.health.drops() {
		return nil
	}
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		g.write(ctx, r)
	}()
	timer := time.NewTimer(logPatience)
	defer timer.Stop()
	select {
	case <-returned:
		return nil
	case <-timer.C:
	}
	g.health.sickens()
	go func() {
		<-returned
		if lost := g.health.recovers(); lost > 0 {
			again := slog.NewRecord(time.Now(), slog.LevelWarn, "bsrpc: log lines were dropped: the Logger's handler hung", 0)
			again.AddAttrs(slog.Int("lines", lost))
			g.Handle(ctx, again)
		}
	}()
	return nil
}

// write runs code of the user's.
func (g *logGuard) write(ctx context.Context, r slog.Record) {
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
func (g *logGuard) WithAttrs(attrs []slog.Attr) slog.Handler {
	return g.derive(func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
}

// WithGroup derives a handler when a line is written.
func (g *logGuard) WithGroup(name string) slog.Handler {
	return g.derive(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}

func (g *logGuard) derive(f func(slog.Handler) slog.Handler) *logGuard {
	return &logGuard{g.user, append(slices.Clip(g.derived), f), g.health}
}

// drops reports whether a line is dropped, and counts it.
func (s *logHealth) drops() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stuck == 0 {
		return false
	}
	s.lost++
	return true
}

func (s *logHealth) sickens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stuck++
}

// recovers returns how many lines were dropped, once nothing is stuck.
func (s *logHealth) recovers() (lost int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stuck--; s.stuck > 0 {
		return 0
	}
	lost, s.lost = s.lost, 0
	return lost
}
