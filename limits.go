package bsrpc

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/bsrpc/bsrpc/internal/basic"
	"github.com/bsrpc/bsrpc/internal/identity"
	"github.com/bsrpc/bsrpc/internal/limits"
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
	// further connection replaces the oldest of them. Zero means 256; NoLimit is
	// allowed.
	MaxHandshakes int

	// MaxConns limits the connections to a server; further ones are refused. A
	// connection counts until its last handler and its hooks have returned. Zero
	// means 10,000; NoLimit is allowed.
	MaxConns int

	// MaxHandlers limits the running handlers of a server, on all connections
	// together; further calls are refused. Zero means 16,384; NoLimit is allowed.
	MaxHandlers int

	// ConnBytes limits the unfinished messages above 64 KiB on one connection: the
	// sum of their announced sizes, in each direction. It is sent to the peer, and
	// the peer's further long messages wait. This end refuses a call exceeding it.
	// Unfinished items of streams, above the window of their stream, have the same
	// limit again, and wait for each other. The minimum is 2 x MaxMessage. Zero
	// means 32 MiB, or the minimum if that is more; NoLimit is allowed.
	ConnBytes int64

	// ServerBytes is the same limit for all connections to a server together. The
	// minimum is MaxMessage. Zero means 512 MiB, or ConnBytes if that is more;
	// NoLimit is allowed.
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
	// because dead clients keep others waiting there: each is half of it. At every
	// server it also limits the time in which a client reads nothing of a stream
	// with a full window, if other calls wait for the place of the call in
	// MaxConcurrentCalls, or for its exclusive group: then the stream fails with
	// CodeAborted. Zero means 20 s, the minimum is 20 ms; NoLimit is allowed.
	SessionLease time.Duration
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
	errors             *identity.List
	chain              CallFunc // the interceptors; nil for none
	outgoing           CallFunc // those of a server's calls to clients; nil for none
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
	MaxConcurrentCalls int
	MaxStreams         int

	DialTimeout        time.Duration
	DefaultCallTimeout time.Duration

	Basic        bool
	PollInterval time.Duration

	Errors               map[string]error
	Interceptors         []Interceptor
	OutgoingInterceptors []Interceptor

	Limits Limits
}

// resolve returns the settings for o. of is the type of the options, for the error.
func resolve(of string, o *rawOptions) (*settings, error) {
	s := settings{basic: o.Basic}
	s.Owner = "the client's"
	if of == "ServerOptions" {
		s.Owner = "the server's"
	}
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
	s.MaxStreams = resolveOne(&c, "MaxStreams", o.MaxStreams, anyCount(1024))
	s.pollInterval = resolveOne(&c, "PollInterval", o.PollInterval, timeTo(basic.MaxPoll, 250*time.Millisecond))
	var problems []string
	s.errors, problems = identity.New(o.Errors)
	for _, p := range problems {
		c.problems = append(c.problems, "Errors: "+p)
	}
	s.chain = c.compose("Interceptors", o.Interceptors)
	s.outgoing = c.compose("OutgoingInterceptors", o.OutgoingInterceptors)
	s.resolveLimits(&c, &o.Limits)
	s.Lease = resolveOne(&c, "Limits.SessionLease", o.Limits.SessionLease, peerTimeout(20*time.Second).twice())
	if o.MaxSessions > 0 {
		s.SessionLease = true
		if s.PingAfter, s.PingTimeout = s.Lease/2, s.Lease/2; s.Lease == math.MaxInt64 {
			s.PingAfter = math.MaxInt64
		}
	}
	if len(c.problems) > 0 {
		return &s, optionsError(of, c.problems)
	}
	return &s, nil
}

// resolveLimits sets the settings for l. MaxMessage must be set already, as defaults
// depend on it.
func (s *settings) resolveLimits(c *optionCheck, l *Limits) {
	message := int64(s.MaxMessage)
	s.maxDepth = resolveOne(c, "Limits.MaxDepth", l.MaxDepth, oneTo(10_000, 64, countText))
	s.decodeBudget = resolveOne(c, "Limits.DecodeBudget", l.DecodeBudget, anySize(1, max(4*message, 64*mib)))
	s.MaxErrorText = resolveOne(c, "Limits.MaxErrorText", l.MaxErrorText, oneTo(32*kib, 4*kib, sizeText))
	s.maxHandshakes = resolveOne(c, "Limits.MaxHandshakes", l.MaxHandshakes, anyCount(256))
	s.maxConns = resolveOne(c, "Limits.MaxConns", l.MaxConns, anyCount(10_000))
	s.maxHandlers = resolveOne(c, "Limits.MaxHandlers", l.MaxHandlers, anyCount(16_384))
	s.ConnBytes = resolveOne(c, "Limits.ConnBytes", l.ConnBytes, anySize(2*message, max(2*message, defaultConnBytes)).because("2 x MaxMessage"))
	s.serverBytes = resolveOne(c, "Limits.ServerBytes", l.ServerBytes, anySize(message, max(minServerBytes(s.ConnBytes), 512*mib)).because("MaxMessage"))
	s.StreamWindow = resolveOne(c, "Limits.StreamWindow", l.StreamWindow, valueRange{least: wire.MinStreamWindow, most: 1 << 30, standard: 64 * kib, text: sizeText})
	s.ConnWindow = resolveOne(c, "Limits.ConnWindow", l.ConnWindow, oneTo(1<<30, 4*mib, sizeText))
	s.OutQueue = resolveOne(c, "Limits.OutQueue", l.OutQueue, anyCount(8*mib).in(sizeText))
	s.WriteStall = resolveOne(c, "Limits.WriteStall", l.WriteStall, peerTimeout(10*time.Second))
	s.FrameTimeout = resolveOne(c, "Limits.FrameTimeout", l.FrameTimeout, peerTimeout(60*time.Second))
	s.PingAfter = resolveOne(c, "Limits.PingAfter", l.PingAfter, peerTimeout(30*time.Second))
	s.PingTimeout = resolveOne(c, "Limits.PingTimeout", l.PingTimeout, peerTimeout(20*time.Second))
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

	minPeerTimeout = 10 * time.Millisecond
)

// A valueRange is the range of the values of an option, and its default. The numbers
// are in the unit of the option's type.
type valueRange struct {
	least, most int64
	why         string             // reason for least, if it depends on another option
	standard    int64              // default, for zero
	noLimit     bool               // NoLimit is allowed and means most
	text        func(int64) string // formats a value
}

// oneTo is the range of an option without NoLimit, from 1.
func oneTo(most, standard int64, text func(int64) string) valueRange {
	return valueRange{least: 1, most: most, standard: standard, text: text}
}

// anyCount is the range of an int with NoLimit.
func anyCount(standard int64) valueRange {
	return valueRange{least: 1, most: math.MaxInt, standard: standard, noLimit: true, text: countText}
}

// anySize is the range of an int64 with NoLimit.
func anySize(least, standard int64) valueRange {
	return valueRange{least: least, most: math.MaxInt64, standard: standard, noLimit: true, text: sizeText}
}

// anyTime is the range of a duration with NoLimit. A duration below a millisecond is
// most likely a number without its unit.
func anyTime(standard time.Duration) valueRange {
	return valueRange{least: int64(time.Millisecond), most: math.MaxInt64, standard: int64(standard), noLimit: true, text: timeText}
}

// peerTimeout is the range of a time allowed to a peer. Two watchdog periods may pass
// before a well-behaved peer reads, as its leader may be running a handler.
func peerTimeout(standard time.Duration) valueRange {
	r := anyTime(standard)
	r.least = int64(minPeerTimeout)
	return r
}

// twice returns r with the double minimum, for the sum of two such times.
func (r valueRange) twice() valueRange {
	r.least *= 2
	return r
}

// timeTo is the range of a duration without NoLimit.
func timeTo(most, standard time.Duration) valueRange {
	return valueRange{least: int64(time.Millisecond), most: int64(most), standard: int64(standard), text: timeText}
}

// because returns r with a reason for its minimum.
func (r valueRange) because(why string) valueRange {
	r.why = " (" + why + ")"
	return r
}

// in returns r with another format for its values.
func (r valueRange) in(text func(int64) string) valueRange {
	r.text = text
	return r
}

// String describes the range for an error: "1 B to 1 GiB, or 0 for 16 MiB".
func (r valueRange) String() string {
	if r.noLimit && r.standard == r.most {
		return fmt.Sprintf("%s%s or more, or 0 or NoLimit (-1)", r.text(r.least), r.why)
	}
	if r.noLimit {
		return fmt.Sprintf("%s%s or more, NoLimit (-1), or 0 for %s", r.text(r.least), r.why, r.text(r.standard))
	}
	return fmt.Sprintf("%s to %s, or 0 for %s", r.text(r.least), r.text(r.most), r.text(r.standard))
}

// An optionCheck collects the problems of options.
type optionCheck struct{ problems []string }

// resolveOne returns the setting for the value of an option. If the value is out of
// range, it adds a problem to c and returns the default.
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

// compose returns the interceptors of all calls, one within the other, nil without any.
func (c *optionCheck) compose(name string, list []Interceptor) CallFunc {
	if len(list) == 0 {
		return nil
	}
	last := CallFunc(carryOut)
	for i := len(list) - 1; i >= 0; i-- {
		if list[i] == nil {
			c.problems = append(c.problems, fmt.Sprintf("%s: element %d is nil", name, i))
			return nil
		}
		if last = list[i](last); last == nil {
			c.problems = append(c.problems, fmt.Sprintf("%s: element %d returned nil; want a CallFunc that calls next", name, i))
			return nil
		}
	}
	return last
}

// countText returns a number of things as in an option.
func countText(n int64) string { return strconv.FormatInt(n, 10) }

// timeText returns a time as in an option.
func timeText(n int64) string { return time.Duration(n).String() }

// sizeText formats a number of bytes in the largest unit without a fraction, for
// example "16 MiB". DecodeServerOptions reads this format.
func sizeText(n int64) string {
	units := [...]string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for i < len(units)-1 && n != 0 && n%kib == 0 {
		n /= kib
		i++
	}
	return fmt.Sprintf("%d %s", n, units[i])
}

// optionsError returns the error for one or more problems. of is the type of the
// options.
func optionsError(of string, problems []string) error {
	if len(problems) == 1 {
		return fmt.Errorf("bsrpc: %s: %s", of, problems[0])
	}
	return fmt.Errorf("bsrpc: %s: %d problems\n    %s", of, len(problems), strings.Join(problems, "\n    "))
}
