package bsrpc

import (
	"math"
	"time"

	"github.com/bsrpc/bsrpc/internal/admission"
	"github.com/bsrpc/bsrpc/internal/basic"
	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/identity"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/option"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// NoLimit removes the limit of an option, if the documentation of its field allows
// that. Zero always means the default.
const NoLimit = -1

// Limits limit the memory, time and number of things a peer can cause at this end. In
// each field zero means the default, and a call refused because of a limit has not run.
type Limits struct {
	// MaxDepth limits the nesting of values: slices, maps and pointers count.
	// Zero means 64; the maximum is 10,000, as each level takes stack.
	MaxDepth int

	// DecodeBudget limits the Go memory in bytes for one decoded message. It is
	// charged before each allocation. Zero means 4 x MaxMessage, or 64 MiB if that
	// is more; NoLimit is allowed.
	DecodeBudget int64

	// MaxErrorText limits the bytes of an error text to be sent; longer texts are
	// cut. Zero means 4 KiB; the maximum is 32 KiB.
	MaxErrorText int

	// MaxHandshakes limits the connections to a server in their handshake. A
	// further connection replaces the oldest one of the address with the most of
	// them; an IPv6 network of 64 bits is one address. Zero means 256; NoLimit is
	// allowed.
	MaxHandshakes int

	// MaxConns limits the connections to a server; further ones are refused. A
	// connection counts until its last handler and its hooks have returned. Zero
	// means 10,000; NoLimit is allowed.
	MaxConns int

	// MaxHandlers limits the running handlers of a server, on all connections
	// together; further calls are refused. The last sixteenth is for connections
	// with at most five of them. Zero means 16,384; NoLimit is allowed.
	MaxHandlers int

	// ConnBytes limits the unfinished messages above 64 KiB on one connection: the
	// sum of their announced sizes, in each direction. It is sent to the peer, and
	// the peer's further long messages wait. This end refuses a call exceeding it.
	// Unfinished items of streams, above the window of their stream, have the same
	// limit again, and wait for each other. The minimum is 2 x MaxMessage. Zero
	// means 32 MiB, or the minimum if that is more; NoLimit is allowed.
	ConnBytes int64

	// ServerBytes limits the received bytes of the unfinished messages of all
	// connections to a server together. Above it the oldest of them is refused if it
	// is older than a second, and otherwise the one that has received the bytes.
	// Requests that wait to be decoded, for instance for an exclusive group, have
	// the same limit again: one connection may have what all of them leave free, so
	// at most half. Everything that waits to be read by clients has four times the
	// limit: above it the connection with the most is closed, unless it is the only
	// one with more than 64 KiB. The minimum is MaxMessage. Zero means 512 MiB, or ConnBytes if
	// that is more; NoLimit is allowed.
	ServerBytes int64

	// StreamWindow limits the bytes of a stream that wait to be read at this end.
	// Each open stream has a window of its own, so a stream that nothing reads
	// delays no other. Zero means 64 KiB; 1 KiB to 1 GiB are allowed.
	StreamWindow int

	// ConnWindow limits the growth of the windows of all streams of a connection
	// together. A window grows while its reader waits for the peer, to at most a
	// quarter of ConnWindow above StreamWindow. Zero means 4 MiB; 1 GiB is the
	// maximum.
	ConnWindow int

	// OutQueue limits the encoded bytes waiting to be written to a connection.
	// Above it senders wait, results of running calls stay unencoded, and a server
	// starts no further calls of the connection. An empty queue accepts a message
	// of any length, and messages up to 64 KiB do not wait for the longest of the
	// others. Zero means 8 MiB; NoLimit is allowed.
	OutQueue int

	// WriteStall limits the time in which a peer reads nothing although bytes wait
	// to be written: not one byte of a socket, less than 64 KiB of another
	// net.Conn. Then the connection is closed. Zero means 10 s, the minimum is
	// 10 ms; NoLimit is allowed.
	WriteStall time.Duration

	// FrameTimeout limits the time between the beginning and the end of a frame,
	// and the time between two frames of a message above 64 KiB, or of an item above
	// the window of its stream. The first ends the connection, the others only the
	// call or stream. Zero means 60 s, the minimum is 10 ms;
	// NoLimit is allowed.
	FrameTimeout time.Duration

	// PingAfter is the time after which a PING is sent to a silent peer, and
	// PingTimeout limits the time to answer it; then the connection is lost. Zero
	// means 30 s and 20 s, the minimum is 10 ms; NoLimit is allowed.
	PingAfter   time.Duration
	PingTimeout time.Duration

	// SessionLease replaces PingAfter and PingTimeout at a server with MaxSessions,
	// because dead clients keep others waiting there: each is half of it. So it does at
	// every server while a session holds an exclusive group or waits for one. At every
	// server it also limits the time in which a client reads nothing of a stream
	// with a full window, if other calls wait for the place of the call in
	// MaxConcurrentCalls, or for its exclusive group: then the stream fails with
	// CodeAborted. Zero means 20 s, the minimum is 20 ms; NoLimit is allowed.
	SessionLease time.Duration

	// PeerConns limits the connections of one peer to a server, and PeerWaiting those that
	// wait for admission; further ones are refused. PeerCallRate limits the calls of a
	// peer in a second, and at once; further ones are refused. A peer is a name given by
	// Authenticate, the names of a verified certificate, a user at a unix socket, or else an
	// address; an IPv6 network of 64 bits is one. Zero and NoLimit mean no limit.
	PeerConns    int
	PeerWaiting  int
	PeerCallRate int
}

// Defaults that are also assumed of a peer without these values in its INIT.
const (
	defaultMaxMessage  = 16 * mib
	defaultConnBytes   = 32 * mib
	defaultMaxInflight = 1024
)

// settings are the options of an end, server or client, with every default filled in.
// No limit is the greatest value of the type, so that users of a setting need no
// special case. Settings are never changed after resolve.
type settings struct {
	limits.Conn
	maxHolds
	dialing
	handshakeTimeout   time.Duration
	defaultCallTimeout time.Duration
	bounds             codec.Bounds
	maxHandshakes      int
	maxConns           int
	maxHandlers        int
	serverBytes        int64
	peers              admission.PeerLimits
	maxSessions        int
	maxWaiting         int
	maxConcurrentCalls int
	basic              bool
	errors             *identity.List
	chain              CallFunc // the interceptors; nil for none
	outgoing           CallFunc // those of a server's calls to clients; nil for none
	access             access
}

// maxHolds are the times after which others get what a session holds.
type maxHolds struct{ sessionMaxHold, groupMaxHold time.Duration }

// dialing is the settings of a client for its connections.
type dialing struct {
	dialTimeout  time.Duration
	pollInterval time.Duration
	maxEndpoints int
}

// rawOptions are the options of either end before their defaults are filled in.
// Options of the other end are zero and get their defaults.
type rawOptions struct {
	MaxMessage       int
	MaxInflight      int
	HandshakeTimeout time.Duration

	MaxSessions        int
	MaxWaiting         int
	RefuseWhenFull     bool
	SessionMaxHold     time.Duration
	GroupMaxHold       time.Duration
	MaxConcurrentCalls int
	MaxStreams         int

	DialTimeout        time.Duration
	DefaultCallTimeout time.Duration

	Basic        bool
	PollInterval time.Duration
	MaxEndpoints int

	Errors               map[string]error
	Interceptors         []Interceptor
	OutgoingInterceptors []Interceptor

	Access access
	Limits Limits
}

// resolve returns the settings for o. of is the type of the options, for the error.
func resolve(of string, o *rawOptions) (*settings, error) {
	s := settings{basic: o.Basic}
	s.Owner = "the client's"
	if of == "ServerOptions" {
		s.Owner = "the server's"
	}
	var c option.Check
	s.MaxMessage = option.Resolve(&c, "MaxMessage", o.MaxMessage, option.OneTo(1<<30, defaultMaxMessage, option.SizeText))
	s.MaxInflight = option.Resolve(&c, "MaxInflight", o.MaxInflight, option.AnyCount(defaultMaxInflight))
	s.handshakeTimeout = option.Resolve(&c, "HandshakeTimeout", o.HandshakeTimeout, option.AnyTime(10*time.Second))
	s.dialTimeout = option.Resolve(&c, "DialTimeout", o.DialTimeout, option.AnyTime(10*time.Second))
	s.defaultCallTimeout = option.Resolve(&c, "DefaultCallTimeout", o.DefaultCallTimeout, option.AnyTime(20*time.Second))
	s.maxSessions = option.Resolve(&c, "MaxSessions", o.MaxSessions, option.AnyCount(math.MaxInt))
	s.maxWaiting = option.Resolve(&c, "MaxWaiting", o.MaxWaiting, option.AnyCount(64))
	if o.RefuseWhenFull {
		s.maxWaiting = 0
	}
	s.sessionMaxHold = option.Resolve(&c, "SessionMaxHold", o.SessionMaxHold, option.AnyTime(math.MaxInt64))
	s.groupMaxHold = option.Resolve(&c, "GroupMaxHold", o.GroupMaxHold, option.AnyTime(math.MaxInt64))
	s.maxConcurrentCalls = option.Resolve(&c, "MaxConcurrentCalls", o.MaxConcurrentCalls, option.AnyCount(math.MaxInt))
	s.MaxStreams = option.Resolve(&c, "MaxStreams", o.MaxStreams, option.AnyCount(1024))
	s.pollInterval = option.Resolve(&c, "PollInterval", o.PollInterval, option.TimeTo(basic.MaxPoll, 250*time.Millisecond))
	s.maxEndpoints = option.Resolve(&c, "MaxEndpoints", o.MaxEndpoints, option.OneTo(64, 8, option.CountText))
	var problems []string
	s.errors, problems = identity.New(o.Errors)
	for _, p := range problems {
		c.Add("Errors: %s", p)
	}
	s.chain = compose(&c, "Interceptors", o.Interceptors)
	s.outgoing = compose(&c, "OutgoingInterceptors", o.OutgoingInterceptors)
	s.access = o.Access
	s.access.resolve(&c, of == "ServerOptions", s.basic)
	s.resolveLimits(&c, &o.Limits)
	s.Lease = option.Resolve(&c, "Limits.SessionLease", o.Limits.SessionLease, option.PeerTimeout(20*time.Second).Twice())
	if o.MaxSessions > 0 {
		s.SessionLease = true
		if s.PingAfter, s.PingTimeout = s.Lease/2, s.Lease/2; s.Lease == math.MaxInt64 {
			s.PingAfter = math.MaxInt64
		}
	}
	return &s, c.Err(of)
}

// resolveLimits sets the settings for l. MaxMessage must be set already, as defaults
// depend on it.
func (s *settings) resolveLimits(c *option.Check, l *Limits) {
	message := int64(s.MaxMessage)
	s.bounds.Depth = option.Resolve(c, "Limits.MaxDepth", l.MaxDepth, option.OneTo(10_000, 64, option.CountText))
	s.bounds.Budget = option.Resolve(c, "Limits.DecodeBudget", l.DecodeBudget, option.AnySize(1, max(4*message, 64*mib)))
	s.MaxErrorText = option.Resolve(c, "Limits.MaxErrorText", l.MaxErrorText, option.OneTo(32*kib, 4*kib, option.SizeText))
	s.maxHandshakes = option.Resolve(c, "Limits.MaxHandshakes", l.MaxHandshakes, option.AnyCount(256))
	s.maxConns = option.Resolve(c, "Limits.MaxConns", l.MaxConns, option.AnyCount(10_000))
	s.maxHandlers = option.Resolve(c, "Limits.MaxHandlers", l.MaxHandlers, option.AnyCount(16_384))
	s.ConnBytes = option.Resolve(c, "Limits.ConnBytes", l.ConnBytes, option.AnySize(2*message, max(2*message, defaultConnBytes)).Because("2 x MaxMessage"))
	s.serverBytes = option.Resolve(c, "Limits.ServerBytes", l.ServerBytes, option.AnySize(message, max(minServerBytes(s.ConnBytes), 512*mib)).Because("MaxMessage"))
	s.StreamWindow = option.Resolve(c, "Limits.StreamWindow", l.StreamWindow, option.Range{Least: wire.MinStreamWindow, Most: 1 << 30, Default: 64 * kib, Text: option.SizeText})
	s.ConnWindow = option.Resolve(c, "Limits.ConnWindow", l.ConnWindow, option.OneTo(1<<30, 4*mib, option.SizeText))
	s.OutQueue = option.Resolve(c, "Limits.OutQueue", l.OutQueue, option.AnyCount(8*mib).In(option.SizeText))
	s.WriteStall = option.Resolve(c, "Limits.WriteStall", l.WriteStall, option.PeerTimeout(10*time.Second))
	s.FrameTimeout = option.Resolve(c, "Limits.FrameTimeout", l.FrameTimeout, option.PeerTimeout(60*time.Second))
	s.PingAfter = option.Resolve(c, "Limits.PingAfter", l.PingAfter, option.PeerTimeout(30*time.Second))
	s.PingTimeout = option.Resolve(c, "Limits.PingTimeout", l.PingTimeout, option.PeerTimeout(20*time.Second))
	s.peers.Conns = option.Resolve(c, "Limits.PeerConns", l.PeerConns, option.AnyCount(math.MaxInt))
	s.peers.Waiting = option.Resolve(c, "Limits.PeerWaiting", l.PeerWaiting, option.AnyCount(math.MaxInt))
	s.peers.CallRate = option.Resolve(c, "Limits.PeerCallRate", l.PeerCallRate, option.AnyCount(math.MaxInt))
}

// minServerBytes returns the ServerBytes needed for one connection to use all of its
// ConnBytes. Without a limit for the connection, ServerBytes alone limits it.
func minServerBytes(connBytes int64) int64 {
	if connBytes == math.MaxInt64 {
		return 0
	}
	return connBytes
}

const (
	kib = 1 << 10
	mib = 1 << 20
)

// compose returns the interceptors of all calls, one within the other, nil without any.
func compose(c *option.Check, name string, list []Interceptor) CallFunc {
	if len(list) == 0 {
		return nil
	}
	last := CallFunc(carryOut)
	for i := len(list) - 1; i >= 0; i-- {
		if list[i] == nil {
			c.Add("%s: element %d is nil", name, i)
			return nil
		}
		if last = list[i](last); last == nil {
			c.Add("%s: element %d returned nil; want a CallFunc that calls next", name, i)
			return nil
		}
	}
	return last
}
