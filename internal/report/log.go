// Package report writes the log of the library and calls the hooks of its users. A
// user's slog.Handler or hook may panic, call runtime.Goexit, or hang. Then only log
// lines are lost, or the one call of the hook fails. Log lines a peer can repeat are
// limited in number.
package report

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/bsrpc/bsrpc/internal/fault"
)

// A Log is the log of a server or a client. Unlimited writes without a limit.
// Add and AddPanic together write at most ten lines a second, and one of each kind beyond
// that: a peer that repeats lines of one kind must not suppress those of another. Debug has a
// limit of its own, a hundred. The next line of a kind has the number of its suppressed ones.
// A Log is safe for concurrent use.
type Log struct {
	handler *guard // of the user's handler

	mu    sync.Mutex // guards the rest
	since time.Time  // beginning of the current second
	lines int        // lines written in it, without those of Debug
	debug int        // lines of Debug written in it
	kinds [kinds]struct {
		suppressed int       // lines since last
		last       time.Time // time of the last line
	}
}

// New returns a Log writing to the handler of user, through a guard.
func New(user *slog.Logger) *Log { return &Log{handler: newGuard(user)} }

// Unlimited returns the logger of l. It is not a field of Log: a type that reflection
// can reach brings all its methods into a program.
func Unlimited(l *Log) *slog.Logger { return slog.New(l.handler) }

// rate limits the lines of all kinds a second, except for the first one of each kind.
// debugRate limits those of Debug: a new connection has three.
const (
	rate      = 10
	debugRate = 100
)

// A Kind is a kind of log line. Suppressed lines are counted for each kind.
type Kind uint8

// The kinds. Oneway is limited to one line a second. Those from HTTP on are limited to one
// a minute each: port scanners and misconfigured clients repeat them.
const (
	Violation Kind = iota // the peer violated the protocol
	Result                // a result cannot be encoded or sent
	Panic                 // a handler panicked
	Hook                  // a hook panicked, or the Close of a receiver failed
	Running               // a handler outlives its connection
	Accept                // Accept failed
	Mismatch              // a contract differs
	Full                  // Limits.MaxConns
	Oneway                // a call without a waiting caller failed
	Auth                  // a client was not authenticated
	Lease                 // a stream that nothing reads has ended, because others wait
	detail                // of Debug
	HTTP                  // the peer speaks HTTP
	TLS
	SSH
	Foreign // another protocol
	kinds   // number of kinds
)

// interval returns the minimum time between two lines of a kind.
func (k Kind) interval() time.Duration {
	switch {
	case k >= HTTP:
		return time.Minute
	case k == Oneway:
		return time.Second
	}
	return 0
}

// allow reports whether a line of a kind may be written, and counts it as written or
// suppressed. It returns the number of lines suppressed since the last one.
func (l *Log) allow(k Kind) (suppressed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if now.Sub(l.since) >= time.Second {
		l.since, l.lines, l.debug = now, 0, 0
	}
	kind := &l.kinds[k]
	lines, most := &l.lines, rate
	if k == detail {
		lines, most = &l.debug, debugRate
	}
	since := now.Sub(kind.last)
	if !kind.last.IsZero() && (since < k.interval() || since < time.Second && *lines >= most) {
		kind.suppressed++
		return 0, false
	}
	*lines++
	suppressed, kind.suppressed, kind.last = kind.suppressed, 0, now
	return suppressed, true
}

// suppress counts a line as suppressed.
func (l *Log) suppress(k Kind) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kinds[k].suppressed++
}

// Add writes a line, or suppresses it if there are too many. It reports whether the line
// was written.
func (l *Log) Add(k Kind, level slog.Level, text string, args ...any) bool {
	suppressed, ok := l.allow(k)
	if !ok {
		return false
	}
	l.write(level, suppressed, text, args)
	return true
}

// Debug writes a line of a normal event, such as a new connection, at level Debug. It also
// costs time if the user's handler drops such lines: only a new goroutine may ask it.
func (l *Log) Debug(text string, args ...any) { l.Add(detail, slog.LevelDebug, text, args...) }

// Post is Add without waiting for the user's handler.
func (l *Log) Post(k Kind, level slog.Level, text string, args ...any) {
	if suppressed, ok := l.allow(k); ok {
		go l.write(level, suppressed, text, args)
	}
}

// write writes a line, with the number of suppressed ones unless it is 0.
func (l *Log) write(level slog.Level, suppressed int, text string, args []any) {
	if suppressed > 0 {
		args = append(args, "suppressed", suppressed)
	}
	Unlimited(l).Log(context.Background(), level, text, args...)
}

// AddPanic is Add for a panic with the value what, or runtime.Goexit if it is nil. It must
// be called before the deferred func returns, for the stack. The random id connects the
// line with the error of the caller; it is "" if the line was suppressed.
func (l *Log) AddPanic(k Kind, text string, what any, args ...any) (id string) {
	suppressed, ok := l.allow(k)
	if !ok {
		return ""
	}
	if what == nil {
		what = "runtime.Goexit"
	}
	id = newID()
	l.write(slog.LevelError, suppressed, text, append(args, "id", id, "panic", what, "stack", string(debug.Stack())))
	return id
}

// AddWithID is Add with a random id, for an error that says no more than this id. It is "" if
// the line was suppressed.
func (l *Log) AddWithID(k Kind, level slog.Level, text string, args ...any) (id string) {
	id = newID()
	if !l.Add(k, level, text, append(args, "id", id)...) {
		return ""
	}
	return id
}

// newID returns a random id of a line.
func newID() string { return fmt.Sprintf("%016x", rand.Uint64()) }

// Violations returns a func to log violations of the protocol by the peer at an address.
func (l *Log) Violations(remote any) func(error) {
	return func(err error) {
		l.Add(Violation, slog.LevelWarn, "bsrpc: connection closed: the peer violated the protocol", "remote", remote, "err", Text(err.Error(), 256))
	}
}

// Text returns text that a peer may have chosen, for a line of the log: at most so many bytes of it,
// quoted unless all of them can be printed. So it cannot look like another line, whatever the
// user's slog.Handler does.
func Text(text string, most int) string {
	text = fault.Cut(text, most)
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(c rune) bool { return !strconv.IsPrint(c) }) {
		return strconv.Quote(text)
	}
	return text
}

// A Once writes at most one line of each kind, for one connection.
type Once struct{ written atomic.Uint32 } // a bit for each kind

// Add is Log.Add for the first line of a kind, and suppresses all later ones.
func (o *Once) Add(l *Log, k Kind, level slog.Level, text string, args ...any) {
	if bit := uint32(1) << k; o.written.Or(bit)&bit != 0 {
		l.suppress(k)
		return
	}
	l.Add(k, level, text, args...)
}
