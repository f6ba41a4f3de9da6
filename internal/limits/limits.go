// Package limits implements the limits of a connection on either wire: its settings, the
// inflight requests and the bytes of long messages, and the time of a call.
package limits

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Conn contains the limits of one connection, documented at the options with the same
// names. The greatest value of a type means no limit.
type Conn struct {
	Owner        string // "the server's" or "the client's", for errors
	MaxMessage   int
	MaxInflight  int
	MaxErrorText int
	ConnBytes    int64
	StreamWindow int
	ConnWindow   int
	MaxStreams   int
	OutQueue     int
	WriteStall   time.Duration
	FrameTimeout time.Duration
	PingAfter    time.Duration
	PingTimeout  time.Duration
	Lease        time.Duration // the option SessionLease
	SessionLease bool          // PingAfter and PingTimeout are halves of Lease
}

// PeerName is the counterpart of Owner: "the client's" or "the server's".
func (c *Conn) PeerName() string {
	return c.Peer() + "'s"
}

// end returns the name of an end without the possessive of Conn.Owner.
func end(owner string) string { return strings.TrimSuffix(owner, "'s") }

// Peer returns the name of the other end: "the server" or "the client".
func (c *Conn) Peer() string {
	if c.Owner == "the client's" {
		return "the server"
	}
	return "the client"
}

// SilenceTimer returns a channel that receives a value after PingAfter and PingTimeout,
// for a peer on the basic wire: it cannot answer a PING. stop releases the timer.
func (c *Conn) SilenceTimer() (over <-chan time.Time, stop func()) {
	if c.PingAfter == math.MaxInt64 || c.PingTimeout == math.MaxInt64 {
		return nil, func() {}
	}
	timer := time.NewTimer(c.PingAfter + c.PingTimeout)
	return timer.C, func() { timer.Stop() }
}

// SilenceError returns the error for a peer silent for PingAfter and PingTimeout.
func (c *Conn) SilenceError() error {
	option := "PingAfter, PingTimeout"
	if c.SessionLease {
		option = "SessionLease"
	}
	return fmt.Errorf("the peer has been silent for %v (%s Limits.%s)", c.PingAfter+c.PingTimeout, c.Owner, option)
}
