package option

import (
	"math"
	"time"

	"github.com/bsrpc/bsrpc/internal/admission"
	"github.com/bsrpc/bsrpc/internal/basic"
	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/identity"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// Settings are the options of an end, server or client, with every default filled in. No limit
// is the greatest value of the type, so that users of a setting need no special case. Settings
// never change after Resolve.
type Settings struct {
	limits.Conn
	HandshakeTimeout   time.Duration
	DefaultCallTimeout time.Duration
	Bounds             codec.Bounds
	MaxHandshakes      int
	MaxConns           int
	MaxHandlers        int
	ServerBytes        int64
	Peers              admission.PeerLimits
	MaxSessions        int
	MaxWaiting         int
	SessionMaxHold     time.Duration
	GroupMaxHold       time.Duration
	MaxConcurrentCalls int
	DialTimeout        time.Duration
	PollInterval       time.Duration
	MaxEndpoints       int
	Basic              bool
	Errors             *identity.List
}

// Options are the options of either end before their defaults are filled in. Those of the other
// end are zero and get their defaults. The fields are documented at the public options.
type Options struct {
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

	Errors map[string]error
	Limits Limits
}

// Limits are the fields of the public Limits, which is converted to them.
type Limits struct {
	MaxDepth      int
	DecodeBudget  int64
	MaxErrorText  int
	MaxHandshakes int
	MaxConns      int
	MaxHandlers   int
	ConnBytes     int64
	ServerBytes   int64
	StreamWindow  int
	ConnWindow    int
	OutQueue      int
	WriteStall    time.Duration
	FrameTimeout  time.Duration
	PingAfter     time.Duration
	PingTimeout   time.Duration
	SessionLease  time.Duration
	PeerConns     int
	PeerWaiting   int
	PeerCallRate  int
}

// Defaults that are also assumed of a peer without these values in its INIT.
const (
	defaultMaxMessage  = 16 * mib
	defaultConnBytes   = 32 * mib
	defaultMaxInflight = 1024
)

const (
	kib = 1 << 10
	mib = 1 << 20
)

// Resolve returns the settings for o, and adds the problems of the options to c. A setting whose
// option is out of range has its default.
func (o *Options) Resolve(c *Check) *Settings {
	s := &Settings{Basic: o.Basic}
	s.MaxMessage = Resolve(c, "MaxMessage", o.MaxMessage, OneTo(1<<30, defaultMaxMessage, SizeText))
	s.MaxInflight = Resolve(c, "MaxInflight", o.MaxInflight, AnyCount(defaultMaxInflight))
	s.HandshakeTimeout = Resolve(c, "HandshakeTimeout", o.HandshakeTimeout, AnyTime(10*time.Second))
	s.DialTimeout = Resolve(c, "DialTimeout", o.DialTimeout, AnyTime(10*time.Second))
	s.DefaultCallTimeout = Resolve(c, "DefaultCallTimeout", o.DefaultCallTimeout, AnyTime(20*time.Second))
	s.MaxSessions = Resolve(c, "MaxSessions", o.MaxSessions, AnyCount(math.MaxInt))
	s.MaxWaiting = Resolve(c, "MaxWaiting", o.MaxWaiting, AnyCount(64))
	if o.RefuseWhenFull {
		s.MaxWaiting = 0
	}
	s.SessionMaxHold = Resolve(c, "SessionMaxHold", o.SessionMaxHold, AnyTime(math.MaxInt64))
	s.GroupMaxHold = Resolve(c, "GroupMaxHold", o.GroupMaxHold, AnyTime(math.MaxInt64))
	s.MaxConcurrentCalls = Resolve(c, "MaxConcurrentCalls", o.MaxConcurrentCalls, AnyCount(math.MaxInt))
	s.MaxStreams = Resolve(c, "MaxStreams", o.MaxStreams, AnyCount(1024))
	s.PollInterval = Resolve(c, "PollInterval", o.PollInterval, TimeTo(basic.MaxPoll, 250*time.Millisecond))
	s.MaxEndpoints = Resolve(c, "MaxEndpoints", o.MaxEndpoints, OneTo(64, 8, CountText))
	var problems []string
	s.Errors, problems = identity.New(o.Errors)
	for _, p := range problems {
		c.Add("Errors: %s", p)
	}
	s.resolveLimits(c, &o.Limits)
	s.Lease = Resolve(c, "Limits.SessionLease", o.Limits.SessionLease, PeerTimeout(20*time.Second).Twice())
	if o.MaxSessions > 0 {
		s.SessionLease = true
		if s.PingAfter, s.PingTimeout = s.Lease/2, s.Lease/2; s.Lease == math.MaxInt64 {
			s.PingAfter = math.MaxInt64
		}
	}
	return s
}

// resolveLimits sets the settings for l. MaxMessage must be set already, as defaults
// depend on it.
func (s *Settings) resolveLimits(c *Check, l *Limits) {
	message := int64(s.MaxMessage)
	s.Bounds.Depth = Resolve(c, "Limits.MaxDepth", l.MaxDepth, OneTo(10_000, 64, CountText))
	s.Bounds.Budget = Resolve(c, "Limits.DecodeBudget", l.DecodeBudget, AnySize(1, max(4*message, 64*mib)))
	s.MaxErrorText = Resolve(c, "Limits.MaxErrorText", l.MaxErrorText, OneTo(32*kib, 4*kib, SizeText))
	s.MaxHandshakes = Resolve(c, "Limits.MaxHandshakes", l.MaxHandshakes, AnyCount(256))
	s.MaxConns = Resolve(c, "Limits.MaxConns", l.MaxConns, AnyCount(10_000))
	s.MaxHandlers = Resolve(c, "Limits.MaxHandlers", l.MaxHandlers, AnyCount(16_384))
	s.ConnBytes = Resolve(c, "Limits.ConnBytes", l.ConnBytes, AnySize(2*message, max(2*message, defaultConnBytes)).Because("2 x MaxMessage"))
	s.StreamWindow = Resolve(c, "Limits.StreamWindow", l.StreamWindow, Range{Least: wire.MinStreamWindow, Most: 1 << 30, Default: 64 * kib, Text: SizeText})
	windows := windowsInServerBytes * int64(s.StreamWindow)
	bytes := AnySize(message, max(minServerBytes(s.ConnBytes), windows, 512*mib)).Because("MaxMessage")
	if l.StreamWindow != 0 && windows > message {
		bytes.Least = windows
		bytes = bytes.Because("4 x StreamWindow")
	}
	s.ServerBytes = Resolve(c, "Limits.ServerBytes", l.ServerBytes, bytes)
	s.FitWindow(s.ServerBytes)
	s.ConnWindow = Resolve(c, "Limits.ConnWindow", l.ConnWindow, OneTo(1<<30, 4*mib, SizeText))
	s.OutQueue = Resolve(c, "Limits.OutQueue", l.OutQueue, AnyCount(8*mib).In(SizeText))
	s.WriteStall = Resolve(c, "Limits.WriteStall", l.WriteStall, PeerTimeout(10*time.Second))
	s.FrameTimeout = Resolve(c, "Limits.FrameTimeout", l.FrameTimeout, PeerTimeout(60*time.Second))
	s.PingAfter = Resolve(c, "Limits.PingAfter", l.PingAfter, PeerTimeout(30*time.Second))
	s.PingTimeout = Resolve(c, "Limits.PingTimeout", l.PingTimeout, PeerTimeout(20*time.Second))
	s.Peers.Conns = Resolve(c, "Limits.PeerConns", l.PeerConns, AnyCount(math.MaxInt))
	s.Peers.Waiting = Resolve(c, "Limits.PeerWaiting", l.PeerWaiting, AnyCount(math.MaxInt))
	s.Peers.CallRate = Resolve(c, "Limits.PeerCallRate", l.PeerCallRate, AnyCount(math.MaxInt))
}

// windowsInServerBytes is how many windows of a stream ServerBytes has at least. The streams of one
// connection may have half of it waiting, and one stream two windows: an item that has arrived partly
// is paid back before it is read.
const windowsInServerBytes = 4

// FitWindow makes the windows of streams short enough for a total of all bytes received.
func (s *Settings) FitWindow(total int64) {
	s.StreamWindow = int(max(wire.MinStreamWindow, min(int64(s.StreamWindow), total/windowsInServerBytes)))
}

// minServerBytes returns the ServerBytes needed for one connection to use all of its
// ConnBytes. Without a limit for the connection, ServerBytes alone limits it.
func minServerBytes(connBytes int64) int64 {
	if connBytes == math.MaxInt64 {
		return 0
	}
	return connBytes
}
