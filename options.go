package bsrpc

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"time"

	"github.com/bsrpc/bsrpc/internal/limits"
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

// Limits bound what a peer can make this end hold or wait for. In every field
// zero is the default.
type Limits struct {
	// MaxDepth is how deep values may lie inside of each other: slices, maps
	// and pointers count. Zero is 64; the most is 10,000, as each level takes
	// stack.
	MaxDepth int

	// DecodeBudget is how many bytes of Go memory one message may become. It is
	// charged before the memory is allocated. Zero is 4 x MaxMessage and at
	// least 64 MiB; NoLimit is possible.
	DecodeBudget int64

	// MaxErrorText is how many bytes of an error's text are sent; what is
	// longer is cut. Zero is 4 KiB; the most is 32 KiB.
	MaxErrorText int

	// MaxHandshakes is how many connections to a server may be in their
	// handshake. For the next, the oldest is dropped. Zero is 256; NoLimit is
	// possible.
	MaxHandshakes int

	// MaxConns is how many connections a server may have; the next is refused. One
	// that has ended counts until its last handler and its hooks have returned. Zero
	// is 10,000; NoLimit is possible.
	MaxConns int

	// MaxHandlers is how many handlers a server may have running, on all
	// connections together; the next call is refused and has not run. Zero is 16,384; NoLimit is possible.
	MaxHandlers int

	// ConnBytes is how many bytes the unfinished messages above 64 KiB of one
	// connection may have announced, each way. The other end is told and holds
	// its messages back; a call that is above it is refused and has not run. The
	// least is 2 x MaxMessage, and zero is that, or 32 MiB where that is more;
	// NoLimit is possible.
	ConnBytes int64

	// ServerBytes is the same for all connections of a server together. The
	// least is MaxMessage. Zero is 512 MiB, or ConnBytes where that is more;
	// NoLimit is possible.
	ServerBytes int64

	// OutQueue is how many encoded bytes may wait to be written to a connection;
	// above it senders wait, and a server begins no more of the connection's
	// calls. The results of calls that run then wait as they are, unencoded. A
	// message of any length finds room in an empty queue, and messages up to
	// 64 KiB do not wait for the longest of the others. Zero is 8 MiB; NoLimit is
	// possible.
	OutQueue int

	// WriteStall is how long a peer may take not one byte of what is written, or
	// less than 64 KiB where the connection is not a socket; then the connection is
	// closed. Zero is 10 s, the least 10 ms; NoLimit is possible.
	WriteStall time.Duration

	// FrameTimeout is how long a frame may stay unfinished, which then ends the
	// connection, and how long nothing may come of an unfinished message above
	// 64 KiB, which then loses its call. Zero is 60 s, the least 10 ms; NoLimit is
	// possible.
	FrameTimeout time.Duration

	// PingAfter is how long the other end may be quiet before it is asked for a
	// sign of life, and PingTimeout how long it may take to give one; then the
	// connection is lost. Zero is 30 s and 20 s, the least 10 ms; NoLimit is
	// possible.
	PingAfter   time.Duration
	PingTimeout time.Duration

	// SessionLease takes their place at a server with MaxSessions, where the dead
	// hold up others: half of it is PingAfter, half PingTimeout. Zero is 20 s, the
	// least 20 ms; NoLimit is possible.
	SessionLease time.Duration
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

// Defaults that also stand for what a peer does not say of itself.
const (
	defaultMaxMessage  = 16 * mib
	defaultConnBytes   = 32 * mib
	defaultMaxInflight = 1024
)

// optionsError is the error of one or more problems.
func optionsError(of string, problems []string) error {
	if len(problems) == 1 {
		return fmt.Errorf("bsrpc: %s: %s", of, problems[0])
	}
	return fmt.Errorf("bsrpc: %s: %d problems\n    %s", of, len(problems), strings.Join(problems, "\n    "))
}

// bounds are the options of either end with every default filled in. No limit
// is the greatest value of the type.
type bounds struct {
	limits.Conn
	handshakeTimeout   time.Duration
	dialTimeout        time.Duration
	defaultCallTimeout time.Duration
	maxDepth           int
	decodeBudget       int64
	maxHandshakes      int
	maxConns           int
	maxHandlers        int
	serverBytes        int64
	maxSessions        int
	maxWaiting         int
	sessionMaxHold     time.Duration
	maxConcurrentCalls int
	basic              bool
	pollInterval       time.Duration
}

// resolve returns what o comes to, and all that is out of range: there the
// default stands. A nil o is the zero value.
func (o *ServerOptions) resolve() (*bounds, error) {
	if o == nil {
		o = new(ServerOptions)
	}
	return resolve("ServerOptions", &allOptions{
		MaxMessage: o.MaxMessage, MaxInflight: o.MaxInflight, HandshakeTimeout: o.HandshakeTimeout, Limits: o.Limits,
		MaxSessions: o.MaxSessions, MaxWaiting: o.MaxWaiting, RefuseWhenFull: o.RefuseWhenFull,
		SessionMaxHold: o.SessionMaxHold, MaxConcurrentCalls: o.MaxConcurrentCalls, Basic: o.Basic,
	})
}

// resolve does for o what it does for ServerOptions.
func (o *ClientOptions) resolve() (*bounds, error) {
	if o == nil {
		o = new(ClientOptions)
	}
	return resolve("ClientOptions", &allOptions{
		MaxMessage: o.MaxMessage, DialTimeout: o.DialTimeout, DefaultCallTimeout: o.DefaultCallTimeout, Limits: o.Limits,
		Basic: o.Basic, PollInterval: o.PollInterval,
	})
}

// allOptions are the options with limits of both ends; those that an end does
// not have keep their defaults.
type allOptions struct {
	MaxMessage       int
	MaxInflight      int
	HandshakeTimeout time.Duration

	MaxSessions        int
	MaxWaiting         int
	RefuseWhenFull     bool
	SessionMaxHold     time.Duration
	MaxConcurrentCalls int

	DialTimeout        time.Duration
	DefaultCallTimeout time.Duration

	Basic        bool
	PollInterval time.Duration

	Limits Limits
}

func resolve(of string, o *allOptions) (*bounds, error) {
	b := bounds{basic: o.Basic}
	var c optionCheck
	b.MaxMessage = resolveOne(&c, "MaxMessage", o.MaxMessage, oneTo(1<<30, defaultMaxMessage, sizeText))
	b.MaxInflight = resolveOne(&c, "MaxInflight", o.MaxInflight, anyCount(defaultMaxInflight))
	b.handshakeTimeout = resolveOne(&c, "HandshakeTimeout", o.HandshakeTimeout, anyTime(10*time.Second))
	b.dialTimeout = resolveOne(&c, "DialTimeout", o.DialTimeout, anyTime(10*time.Second))
	b.defaultCallTimeout = resolveOne(&c, "DefaultCallTimeout", o.DefaultCallTimeout, anyTime(20*time.Second))
	b.maxSessions = resolveOne(&c, "MaxSessions", o.MaxSessions, anyCount(math.MaxInt))
	b.maxWaiting = resolveOne(&c, "MaxWaiting", o.MaxWaiting, anyCount(64))
	if o.RefuseWhenFull {
		b.maxWaiting = 0
	}
	b.sessionMaxHold = resolveOne(&c, "SessionMaxHold", o.SessionMaxHold, anyTime(math.MaxInt64))
	b.maxConcurrentCalls = resolveOne(&c, "MaxConcurrentCalls", o.MaxConcurrentCalls, anyCount(math.MaxInt))
	b.pollInterval = resolveOne(&c, "PollInterval", o.PollInterval, timeTo(mostPoll, 250*time.Millisecond))
	b.resolveLimits(&c, &o.Limits)
	if o.MaxSessions > 0 {
		lease := resolveOne(&c, "Limits.SessionLease", o.Limits.SessionLease, patienceOf(20*time.Second).twice())
		if b.PingAfter, b.PingTimeout = lease/2, lease/2; lease == math.MaxInt64 {
			b.PingAfter = math.MaxInt64
		}
	}
	if len(c.problems) > 0 {
		return &b, optionsError(of, c.problems)
	}
	return &b, nil
}

func (b *bounds) resolveLimits(c *optionCheck, l *Limits) {
	message := int64(b.MaxMessage)
	b.maxDepth = resolveOne(c, "Limits.MaxDepth", l.MaxDepth, oneTo(10_000, 64, countText))
	b.decodeBudget = resolveOne(c, "Limits.DecodeBudget", l.DecodeBudget, anySize(1, max(4*message, 64*mib)))
	b.MaxErrorText = resolveOne(c, "Limits.MaxErrorText", l.MaxErrorText, oneTo(32*kib, 4*kib, sizeText))
	b.maxHandshakes = resolveOne(c, "Limits.MaxHandshakes", l.MaxHandshakes, anyCount(256))
	b.maxConns = resolveOne(c, "Limits.MaxConns", l.MaxConns, anyCount(10_000))
	b.maxHandlers = resolveOne(c, "Limits.MaxHandlers", l.MaxHandlers, anyCount(16_384))
	b.ConnBytes = resolveOne(c, "Limits.ConnBytes", l.ConnBytes, anySize(2*message, max(2*message, defaultConnBytes)).because("2 x MaxMessage"))
	b.serverBytes = resolveOne(c, "Limits.ServerBytes", l.ServerBytes, anySize(message, max(serverRoom(b.ConnBytes), 512*mib)).because("MaxMessage"))
	b.OutQueue = resolveOne(c, "Limits.OutQueue", l.OutQueue, anyCount(8*mib).in(sizeText))
	b.WriteStall = resolveOne(c, "Limits.WriteStall", l.WriteStall, patienceOf(10*time.Second))
	b.FrameTimeout = resolveOne(c, "Limits.FrameTimeout", l.FrameTimeout, patienceOf(60*time.Second))
	b.PingAfter = resolveOne(c, "Limits.PingAfter", l.PingAfter, patienceOf(30*time.Second))
	b.PingTimeout = resolveOne(c, "Limits.PingTimeout", l.PingTimeout, patienceOf(20*time.Second))
}

// serverRoom is what a server needs for one connection to use all of its
// ConnBytes. A connection without a limit is bounded by its server.
func serverRoom(connBytes int64) int64 {
	if connBytes == math.MaxInt64 {
		return 0
	}
	return connBytes
}
