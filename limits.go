package bsrpc

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/bsrpc/bsrpc/internal/basic"
	"github.com/bsrpc/bsrpc/internal/limits"
)

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

// Defaults that also stand for what a peer does not say of itself.
const (
	defaultMaxMessage  = 16 * mib
	defaultConnBytes   = 32 * mib
	defaultMaxInflight = 1024
)

// bounds are the options of either end with every default filled in. No limit
// is the greatest value of the type.
type settings struct {
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
func (o *ServerOptions) resolve() (*settings, error) {
	if o == nil {
		o = new(ServerOptions)
	}
	return resolve("ServerOptions", &rawOptions{
		MaxMessage: o.MaxMessage, MaxInflight: o.MaxInflight, HandshakeTimeout: o.HandshakeTimeout, Limits: o.Limits,
		MaxSessions: o.MaxSessions, MaxWaiting: o.MaxWaiting, RefuseWhenFull: o.RefuseWhenFull,
		SessionMaxHold: o.SessionMaxHold, MaxConcurrentCalls: o.MaxConcurrentCalls, Basic: o.Basic,
	})
}

// resolve does for o what it does for ServerOptions.
func (o *ClientOptions) resolve() (*settings, error) {
	if o == nil {
		o = new(ClientOptions)
	}
	return resolve("ClientOptions", &rawOptions{
		MaxMessage: o.MaxMessage, DialTimeout: o.DialTimeout, DefaultCallTimeout: o.DefaultCallTimeout, Limits: o.Limits,
		Basic: o.Basic, PollInterval: o.PollInterval,
	})
}

// rawOptions are the options with limits of both ends; those that an end does
// not have keep their defaults.
type rawOptions struct {
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

func resolve(of string, o *rawOptions) (*settings, error) {
	s := settings{basic: o.Basic}
	var c optionCheck
	s.MaxMessage = resolveOne(&c, "MaxMessage", o.MaxMessage, oneTo(1<<30, defaultMaxMessage, sizeText))
	s.MaxInflight = resolveOne(&c, "MaxInflight", o.MaxInflight, anyCount(defaultMaxInflight))
	s.handshakeTimeout = resolveOne(&c, "HandshakeTimeout", o.HandshakeTimeout, anyTime(10*time.Second))
	s.dialTimeout = resolveOne(&c, "DialTimeout", o.DialTimeout, anyTime(10*time.Second))
	s.defaultCallTimeout = resolveOne(&c, "DefaultCallTimeout", o.DefaultCallTimeout, anyTime(20*time.Second))
	s.maxSessions = resolveOne(&c, "MaxSessions", o.MaxSessions, anyCount(math.MaxInt))
	s.maxWaiting = resolveOne(&c, "MaxWaiting", o.MaxWaiting, anyCount(64))
	if o.RefuseWhenFull {
		s.maxWaiting = 0
	}
	s.sessionMaxHold = resolveOne(&c, "SessionMaxHold", o.SessionMaxHold, anyTime(math.MaxInt64))
	s.maxConcurrentCalls = resolveOne(&c, "MaxConcurrentCalls", o.MaxConcurrentCalls, anyCount(math.MaxInt))
	s.pollInterval = resolveOne(&c, "PollInterval", o.PollInterval, timeTo(basic.MaxPoll, 250*time.Millisecond))
	s.resolveLimits(&c, &o.Limits)
	if o.MaxSessions > 0 {
		lease := resolveOne(&c, "Limits.SessionLease", o.Limits.SessionLease, peerTimeout(20*time.Second).twice())
		if s.PingAfter, s.PingTimeout = lease/2, lease/2; lease == math.MaxInt64 {
			s.PingAfter = math.MaxInt64
		}
	}
	if len(c.problems) > 0 {
		return &s, optionsError(of, c.problems)
	}
	return &s, nil
}

func (s *settings) resolveLimits(c *optionCheck, l *Limits) {
	message := int64(s.MaxMessage)
	s.maxDepth = resolveOne(c, "Limits.MaxDepth", l.MaxDepth, oneTo(10_000, 64, countText))
	s.decodeBudget = resolveOne(c, "Limits.DecodeBudget", l.DecodeBudget, anySize(1, max(4*message, 64*mib)))
	s.MaxErrorText = resolveOne(c, "Limits.MaxErrorText", l.MaxErrorText, oneTo(32*kib, 4*kib, sizeText))
	s.maxHandshakes = resolveOne(c, "Limits.MaxHandshakes", l.MaxHandshakes, anyCount(256))
	s.maxConns = resolveOne(c, "Limits.MaxConns", l.MaxConns, anyCount(10_000))
	s.maxHandlers = resolveOne(c, "Limits.MaxHandlers", l.MaxHandlers, anyCount(16_384))
	s.ConnBytes = resolveOne(c, "Limits.ConnBytes", l.ConnBytes, anySize(2*message, max(2*message, defaultConnBytes)).because("2 x MaxMessage"))
	s.serverBytes = resolveOne(c, "Limits.ServerBytes", l.ServerBytes, anySize(message, max(serverRoom(s.ConnBytes), 512*mib)).because("MaxMessage"))
	s.OutQueue = resolveOne(c, "Limits.OutQueue", l.OutQueue, anyCount(8*mib).in(sizeText))
	s.WriteStall = resolveOne(c, "Limits.WriteStall", l.WriteStall, peerTimeout(10*time.Second))
	s.FrameTimeout = resolveOne(c, "Limits.FrameTimeout", l.FrameTimeout, peerTimeout(60*time.Second))
	s.PingAfter = resolveOne(c, "Limits.PingAfter", l.PingAfter, peerTimeout(30*time.Second))
	s.PingTimeout = resolveOne(c, "Limits.PingTimeout", l.PingTimeout, peerTimeout(20*time.Second))
}

// serverRoom is what a server needs for one connection to use all of its
// ConnBytes. A connection without a limit is bounded by its server.
func serverRoom(connBytes int64) int64 {
	if connBytes == math.MaxInt64 {
		return 0
	}
	return connBytes
}

const (
	kib = 1 << 10
	mib = 1 << 20

	minPeerTimeout = 10 * time.Millisecond
)

// A valueRange is what the values of an option may be. The numbers are those
// of the option's type.
type valueRange struct {
	least, most int64
	why         string             // of least, if another option decides it
	standard    int64              // what zero stands for
	noLimit     bool               // NoLimit stands for most
	text        func(int64) string // how a value is written
}

// oneTo is a range that needs an upper end.
func oneTo(most, standard int64, text func(int64) string) valueRange {
	return valueRange{least: 1, most: most, standard: standard, text: text}
}

// anyCount is the range of an int that may be NoLimit.
func anyCount(standard int64) valueRange {
	return valueRange{least: 1, most: math.MaxInt, standard: standard, noLimit: true, text: countText}
}

// anySize is the range of an int64 that may be NoLimit.
func anySize(least, standard int64) valueRange {
	return valueRange{least: least, most: math.MaxInt64, standard: standard, noLimit: true, text: sizeText}
}

// anyTime is the range of a duration that may be NoLimit. Less than a
// millisecond is a number that was meant to have a unit.
func anyTime(standard time.Duration) valueRange {
	return valueRange{least: int64(time.Millisecond), most: math.MaxInt64, standard: int64(standard), noLimit: true, text: timeText}
}

// peerTimeout is the range of a time for which one end bears with the other. A proper
// peer may be in a handler, and not read, for two ticks.
func peerTimeout(standard time.Duration) valueRange {
	r := anyTime(standard)
	r.least = int64(minPeerTimeout)
	return r
}

// twice is a range for two of what r is one of.
func (r valueRange) twice() valueRange {
	r.least *= 2
	return r
}

// timeTo is the range of a time that needs an upper end.
func timeTo(most, standard time.Duration) valueRange {
	return valueRange{least: int64(time.Millisecond), most: int64(most), standard: int64(standard), text: timeText}
}

func (r valueRange) because(why string) valueRange {
	r.why = " (" + why + ")"
	return r
}

func (r valueRange) in(text func(int64) string) valueRange {
	r.text = text
	return r
}

// String says what is in range: "1 B to 1 GiB, or 0 for 16 MiB".
func (r valueRange) String() string {
	if r.noLimit && r.standard == r.most {
		return fmt.Sprintf("%s%s or more, or 0 or NoLimit (-1)", r.text(r.least), r.why)
	}
	if r.noLimit {
		return fmt.Sprintf("%s%s or more, NoLimit (-1), or 0 for %s", r.text(r.least), r.why, r.text(r.standard))
	}
	return fmt.Sprintf("%s to %s, or 0 for %s", r.text(r.least), r.text(r.most), r.text(r.standard))
}

// An optionCheck collects what is wrong with options.
type optionCheck struct{ problems []string }

// resolveOne returns what the value of an option stands for, the default if it
// is out of range.
func resolveOne[T int | int64 | time.Duration](c *optionCheck, name string, value T, r valueRange) T {
	switch {
	case value == 0:
		return T(r.standard)
	case value == NoLimit && r.noLimit:
		return T(r.most)
	case int64(value) < r.least || int64(value) > r.most:
		c.problems = append(c.problems, fmt.Sprintf("%s: want %v", name, r))
		return T(r.standard)
	}
	return value
}

func countText(n int64) string { return strconv.FormatInt(n, 10) }

func timeText(n int64) string { return time.Duration(n).String() }

// sizeText writes a number of bytes in the largest unit that gives a whole
// number, as a configuration may have it.
func sizeText(n int64) string {
	units := [...]string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for i < len(units)-1 && n != 0 && n%kib == 0 {
		n /= kib
		i++
	}
	return fmt.Sprintf("%d %s", n, units[i])
}
