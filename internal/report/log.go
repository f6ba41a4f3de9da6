// Package report writes the log of the library and calls the hooks of its users. A
// user's slog.Handler or hook may panic, call runtime.Goexit, or hang: here that costs
// log lines, or the one call. Lines that a peer can cause again and again are limited.
package report

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
)

// A Log writes the lines of a server or a client. Its Logger writes without
// limit; Add and Panic write at most ten lines a second together, and the next line of
// a kind says how many it stands for. A Log is safe for concurrent use.
type Log struct {
	Logger *slog.Logger // guarded

	mu    sync.Mutex // guards the rest
	since time.Time  // the beginning of the second in which lines are counted
	lines int        // in that second
	kinds [kinds]struct {
		suppressed int
		last       time.Time
	}
}

// New returns a Log that writes to the handler of user, guarded.
func New(user *slog.Logger) *Log { return &Log{Logger: guardLogger(user)} }

const rate = 10 // lines a second

// A Kind is a kind of line.
type Kind uint8

// The kinds.
const (
	Violation Kind = iota // the peer broke the protocol
	Result                // a result cannot be sent
	Panic                 // a handler panicked
	Hook                  // a hook panicked, or the Close of a receiver failed
	Running               // a handler outlives its connection
	Accept                // Accept failed
	Mismatch              // a contract differs
	Full                  // Limits.MaxConns
	HTTP                  // a peer speaks another protocol
	TLS
	SSH
	Foreign
	kinds
)

// interval is the least time between two lines of a kind.
func (k Kind) interval() time.Duration {
	if k >= HTTP {
		return time.Minute
	}
	return 0
}

// allow asks for a line of a kind. It returns how many were suppressed since the last.
func (l *Log) allow(k Kind) (suppressed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if now.Sub(l.since) >= time.Second {
		l.since, l.lines = now, 0
	}
	kind := &l.kinds[k]
	early := !kind.last.IsZero() && now.Sub(kind.last) < k.interval()
	if early || l.lines >= rate {
		kind.suppressed++
		return 0, false
	}
	l.lines++
	suppressed, kind.suppressed, kind.last = kind.suppressed, 0, now
	return suppressed, true
}

// suppress counts a line that is not written.
func (l *Log) suppress(k Kind) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kinds[k].suppressed++
}

// Add writes a line, unless there are too many. It reports whether it did.
func (l *Log) Add(k Kind, level slog.Level, text string, args ...any) bool {
	suppressed, ok := l.allow(k)
	if !ok {
		return false
	}
	l.write(level, suppressed, text, args)
	return true
}

func (l *Log) write(level slog.Level, suppressed int, text string, args []any) {
	if suppressed > 0 {
		args = append(args, "suppressed", suppressed)
	}
	l.Logger.Log(context.Background(), level, text, args...)
}

// AddPanic writes a line with the stack of a panic. It returns an id by which the error
// of the caller and the line are found together, or "" if there are too many lines. A
// nil what stands for runtime.Goexit.
func (l *Log) AddPanic(k Kind, text string, what any, args ...any) (id string) {
	suppressed, ok := l.allow(k)
	if !ok {
		return ""
	}
	if what == nil {
		what = "runtime.Goexit"
	}
	id = fmt.Sprintf("%016x", rand.Uint64())
	l.write(slog.LevelError, suppressed, text, append(args, "id", id, "panic", what, "stack", string(debug.Stack())))
	return id
}

// Violations returns a func that writes how the peer at an address broke the protocol.
func (l *Log) Violations(remote any) func(error) {
	return func(err error) {
		l.Add(Violation, slog.LevelWarn, "bsrpc: connection closed: the peer broke the protocol", "remote", remote, "err", fault.Cut(err.Error(), 256))
	}
}

// A Once limits the lines about one connection to the first of each kind.
type Once struct{ written atomic.Uint32 } // kinds, by bits

// Add is Log.Add for the first line of a kind.
func (o *Once) Add(l *Log, k Kind, level slog.Level, text string, args ...any) {
	if bit := uint32(1) << k; o.written.Or(bit)&bit != 0 {
		l.suppress(k)
		return
	}
	l.Add(k, level, text, args...)
}
