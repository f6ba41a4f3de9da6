package bsrpc

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/bsrpc/bsrpc/internal/strictmap"
)

// NoLimit is the value of an option that is to have no limit, where its field
// says that this is possible. Zero is always the default.
const NoLimit = -1

// ServerOptions are the options of a [Server]. The zero value is ready to use.
// Serve, ServeConn and ListenAndServe report values that are out of range.
type ServerOptions struct {
	// MaxMessage is the longest message in bytes, the arguments or the results
	// of one call, that this end takes. What it sends is bounded by the other
	// end's, or by the same where that is not told (Basic). Zero is 16 MiB; the
	// most is 1 GiB.
	MaxMessage int

	// MaxInflight is how many calls of one connection may be open, from their
	// request to their answer. Clients are told and let their callers wait; a
	// call above it is refused and has not run. Zero is 1,024; NoLimit is
	// possible.
	MaxInflight int

	// HandshakeTimeout is how long a connection may take from being accepted to
	// the answer to its first frame. Zero is 10 s; NoLimit is possible.
	HandshakeTimeout time.Duration

	// MaxSessions is how many sessions there may be at a time. Clients above it
	// wait, first come first served, and are told their position; 1 is exclusive
	// access. A server that is started anew has an empty queue. Zero is no such
	// limit: nobody waits, and Limits.MaxConns bounds the connections.
	MaxSessions int

	// MaxWaiting is how many clients may wait for one of MaxSessions places; the
	// next is refused. Zero is 64; NoLimit is possible.
	MaxWaiting int

	// RefuseWhenFull refuses clients above MaxSessions instead of letting them
	// wait.
	RefuseWhenFull bool

	// SessionMaxHold is how long a session keeps its place while others wait: it
	// is then closed, at the earliest after this time. Zero is NoLimit: it keeps
	// its place until its client leaves, or is found dead (Limits.SessionLease).
	SessionMaxHold time.Duration

	// MaxConcurrentCalls is how many calls of one connection run at a time; the
	// others wait, in the order in which they came. 1 runs a client's calls one
	// after another. Zero is NoLimit.
	MaxConcurrentCalls int

	// Basic serves clients, too, that speak only the wire of the Python package
	// basic-socket-rpc. They call the methods that have an id= tag; their ids must
	// then be different. Nothing checks that such a client means the same as the
	// server by a method, and nothing proves who it is. False refuses them.
	Basic bool

	// OnConnect is called when a session has its place, before it may call. Its
	// error refuses the client, which is told the text: CodePermissionDenied
	// unless it is an *Error. The context is the session's, see SessionFrom. Nil
	// admits everybody.
	OnConnect func(ctx context.Context, s *Session) error

	// OnDisconnect is called once for each session that OnConnect has taken,
	// when it has left and its last handler has returned. Its place is another's
	// only when OnDisconnect has returned.
	OnDisconnect func(s *Session)

	// Limits are the limits that are seldom changed.
	Limits Limits

	// Logger gets what happens outside of calls, and the stacks of panics: at Debug
	// how connections come and go, from Info on what an operator should read. What
	// clients can repeat is logged ten times a second at most; the next line says how
	// many were suppressed. Nil is slog.Default(). A handler that panics costs its
	// line; one that hangs for a second costs all lines until it returns.
	Logger *slog.Logger
}

// ClientOptions are the options of a [Client]. The zero value is ready to use.
// Dial and NewClient report values that are out of range.
type ClientOptions struct {
	// MaxMessage is the longest message in bytes, the arguments or the results
	// of one call, that this end takes. What it sends is bounded by the other
	// end's, or by the same where that is not told (Basic). Zero is 16 MiB; the
	// most is 1 GiB.
	MaxMessage int

	// DialTimeout is how long one attempt to connect may take, up to the answer
	// to the first frame. Zero is 10 s. With NoLimit only Dial's context ends it.
	DialTimeout time.Duration

	// DefaultCallTimeout is how long a call may take whose context has no
	// deadline and whose method has no timeout= tag. Zero is 20 s; NoLimit is
	// possible.
	DefaultCallTimeout time.Duration

	// Basic calls servers, too, that speak only the wire of the Python package
	// basic-socket-rpc. Their methods are called by id= tags, and nothing checks
	// that such a server means the same by a method as this end. False refuses
	// them.
	Basic bool

	// PollInterval is how often a basic server is asked whether there is a place
	// now. Zero is 250 ms; the most is 30 s, as a client that is silent for longer
	// may lose its place in the queue.
	PollInterval time.Duration

	// OnWait is called when the server lets this client wait for a place, and
	// then when its position has changed: 1 is next, 0 is not known. Calls come one
	// at a time, while Dial or NewClient wait; of the positions that come during one,
	// the newest counts. A panic in it is the error of Dial. A call that has not
	// returned half a second after the admission is not waited for.
	OnWait func(position int)

	// Limits are the limits that are seldom changed. MaxHandshakes, MaxConns,
	// MaxHandlers and ServerBytes are a server's and have no effect here.
	Limits Limits

	// Logger gets what happens outside of calls. Nil is slog.Default().
	Logger *slog.Logger
}

// DecodeServerOptions makes options of a map, as a configuration file is read
// into. Keys are the names of fields in any case, with or without a - or _
// between words, and Limits is a map again. Durations are text with a unit,
// sizes numbers or text, and "NoLimit" is [NoLimit]:
//
//	map[string]any{
//		"max-message":       "64MiB",
//		"handshake_timeout": "5s",
//		"limits":            map[string]any{"MaxConns": 100, "WriteStall": "NoLimit"},
//	}
//
// The error lists all keys that are unknown, given twice or do not fit, with
// what they want and what kind of value they have, and never a value. Numbers out of range are reported when the server serves.
// Logger can only be set in Go.
func DecodeServerOptions(m map[string]any) (*ServerOptions, error) {
	o := new(ServerOptions)
	if err := strictmap.Decode(m, o); err != nil {
		return nil, optionsError("ServerOptions", strings.Split(err.Error(), "\n"))
	}
	return o, nil
}

// DecodeClientOptions makes options of a map as [DecodeServerOptions] does.
func DecodeClientOptions(m map[string]any) (*ClientOptions, error) {
	o := new(ClientOptions)
	if err := strictmap.Decode(m, o); err != nil {
		return nil, optionsError("ClientOptions", strings.Split(err.Error(), "\n"))
	}
	return o, nil
}

// optionsError is the error of one or more problems.
func optionsError(of string, problems []string) error {
	if len(problems) == 1 {
		return fmt.Errorf("bsrpc: %s: %s", of, problems[0])
	}
	return fmt.Errorf("bsrpc: %s: %d problems\n    %s", of, len(problems), strings.Join(problems, "\n    "))
}
