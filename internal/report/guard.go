package report

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// A guard is a slog.Handler around the user's handler. If that panics, exits its
// goroutine or hangs, only log lines are lost.
//
// All methods of the user's handler may hang, also WithAttrs and WithGroup. So a guard
// records these two, and calls them together with Handle, on a new goroutine for each
// line.
type guard struct {
	user    slog.Handler
	derived []func(slog.Handler) slog.Handler // recorded calls of WithAttrs and WithGroup
	health  *health
}

// health is the state of the user's handler, shared by all guards derived from one.
type health struct {
	mu    sync.Mutex // guards the rest
	stuck int        // lines given up after lineTimeout and not yet returned
	lost  int        // lines dropped since the first of them
}

// lineTimeout limits the time to write a line.
const lineTimeout = time.Second

// newGuard returns a guard of the handler of l. Lines are written without holding a lock.
func newGuard(l *slog.Logger) *guard {
	return &guard{user: l.Handler(), health: new(health)}
}

// Enabled returns true. Handle asks the user's handler, because asking may hang.
func (g *guard) Enabled(context.Context, slog.Level) bool { return true }

// Handle writes a line, waiting at most for lineTimeout. While an earlier line is stuck,
// it drops the line, so that goroutines do not pile up. After the handler has returned,
// a line with the number of dropped ones follows.
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
			summary := slog.NewRecord(time.Now(), slog.LevelWarn, "bsrpc: log lines were dropped: the Logger's handler hung", 0)
			summary.AddAttrs(slog.Int("lines", lost))
			g.Handle(ctx, summary)
		}
	}()
	return nil
}

// write calls the user's handler and recovers its panics.
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

// WithAttrs records the call for later.
func (g *guard) WithAttrs(attrs []slog.Attr) slog.Handler {
	return g.derive(func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
}

// WithGroup records the call for later.
func (g *guard) WithGroup(name string) slog.Handler {
	return g.derive(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}

func (g *guard) derive(f func(slog.Handler) slog.Handler) *guard {
	return &guard{g.user, append(slices.Clip(g.derived), f), g.health}
}

// drops reports whether a line must be dropped, and counts it then.
func (s *health) drops() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stuck == 0 {
		return false
	}
	s.lost++
	return true
}

// hang counts a stuck line.
func (s *health) hang() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stuck++
}

// unhang removes a stuck line from the count. After the last one it returns the number
// of dropped lines.
func (s *health) unhang() (lost int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stuck--; s.stuck > 0 {
		return 0
	}
	lost, s.lost = s.lost, 0
	return lost
}
