package bsrpc

import (
	"context"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// What a peer can bring about again and again is logged through reports: a kind
// once a connection, where that is enough, and ten lines a second over the whole
// server. The next line of a kind says how many it stands for.
type reports struct {
	log *slog.Logger

	mu    sync.Mutex // guards the rest
	since time.Time  // when the second began that lines are counted in
	lines int        // in that second
	kinds [reportKinds]struct {
		suppressed int
		last       time.Time
	}
}

// violation returns a func that logs how the peer of a connection broke the protocol.
func (r *reports) violation(nc net.Conn) func(error) {
	return func(err error) {
		r.add(reportViolation, slog.LevelWarn, "bsrpc: connection closed: the peer broke the protocol", "remote", nc.RemoteAddr(), "err", fault.Cut(err.Error(), 256))
	}
}

const reportRate = 10 // lines a second

// A report is a kind of line.
type report uint8

const (
	reportViolation report = iota // the peer broke the protocol
	reportResult                  // a result cannot be sent
	reportPanic                   // a handler panicked
	reportHook                    // a hook panicked, or the Close of a receiver failed
	reportRunning                 // a handler outlives its connection
	reportAccept                  // Accept failed
	reportMismatch                // a contract differs
	reportFull                    // Limits.MaxConns
	reportHTTP                    // a peer speaks another protocol
	reportTLS
	reportSSH
	reportForeign
	reportKinds
)

// every is how much time lies between two lines of a kind.
func (k report) every() time.Duration {
	if k >= reportHTTP {
		return time.Minute
	}
	return 0
}

// allow asks for a line of a kind. It returns how many were suppressed since the
// last one.
func (r *reports) allow(k report) (suppressed int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if now.Sub(r.since) >= time.Second {
		r.since, r.lines = now, 0
	}
	kind := &r.kinds[k]
	early := !kind.last.IsZero() && now.Sub(kind.last) < k.every()
	if early || r.lines >= reportRate {
		kind.suppressed++
		return 0, false
	}
	r.lines++
	suppressed, kind.suppressed, kind.last = kind.suppressed, 0, now
	return suppressed, true
}

// suppress counts a line that is not to be written.
func (r *reports) suppress(k report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kinds[k].suppressed++
}

// add writes a line, unless there are too many. It reports whether it did.
func (r *reports) add(k report, level slog.Level, text string, args ...any) bool {
	suppressed, ok := r.allow(k)
	if !ok {
		return false
	}
	r.write(level, suppressed, text, args)
	return true
}

func (r *reports) write(level slog.Level, suppressed int, text string, args []any) {
	if suppressed > 0 {
		args = append(args, "suppressed", suppressed)
	}
	r.log.Log(context.Background(), level, text, args...)
}

// addPanic writes a line with the stack of a panic, of which it returns the id.
// One that is not logged has none.
func (r *reports) addPanic(k report, text string, what any, args ...any) (id string) {
	suppressed, ok := r.allow(k)
	if !ok {
		return ""
	}
	if what == nil {
		what = "runtime.Goexit"
	}
	id = newLogID()
	r.write(slog.LevelError, suppressed, text, append(args, "id", id, "panic", what, "stack", string(debug.Stack())))
	return id
}

// A reporter is what a connection has of its server's reports.
type reporter struct{ told atomic.Uint32 } // kinds, by bits

// add writes the first line of a kind for a connection.
func (c *reporter) add(r *reports, k report, level slog.Level, text string, args ...any) {
	if bit := uint32(1) << k; c.told.Or(bit)&bit != 0 {
		r.suppress(k)
		return
	}
	r.add(k, level, text, args...)
}

// boundLines is how many lines for debugging a connection's BINDs get.
const boundLines = 16

// logBound logs what a client has bound or asked about, or that its contract
// differs.
func (v *serverConn) logBound(r *wire.BindRequest, answers []wire.BindResult) {
	unknown, differ := 0, 0
	for i := range answers {
		switch answers[i].Status {
		case wire.BindUnknown, wire.BindNoService:
			unknown++
		case wire.BindDiffers:
			differ++
		}
	}
	text := "bsrpc: bound"
	args := []any{"session", v.session.id, "remote", v.session.remote, "service", fault.Cut(r.Service, 64), "methods", len(answers)}
	switch {
	case r.Hashes == nil: // Client.Call asks for a layout
		text, args = "bsrpc: described", append(args, "unknown", unknown)
	case unknown+differ > 0:
		v.report(reportMismatch, slog.LevelInfo, "bsrpc: client and server disagree", append(args, "differ", differ, "unknown", unknown)...)
		return
	}
	if v.binds++; v.binds <= boundLines {
		v.log.Debug(text, args...)
	}
}
