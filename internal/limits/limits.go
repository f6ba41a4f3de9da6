// Package limits contains what bounds one connection on either wire: its limits as
// numbers and times, the bytes and the requests in flight, and the time of a call.
package limits

import (
	"fmt"
	"math"
	"time"
)

// Conn are the limits of one connection. The options of the same names document them.
// The greatest value of a type means no limit.
type Conn struct {
	MaxMessage   int
	MaxInflight  int
	MaxErrorText int
	ConnBytes    int64
	OutQueue     int
	WriteStall   time.Duration
	FrameTimeout time.Duration
	PingAfter    time.Duration
	PingTimeout  time.Duration
}

// Silence returns a channel that receives when a peer that cannot be sent a PING has
// been silent for too long. stop releases its timer.
func (c *Conn) Silence() (over <-chan time.Time, stop func()) {
	if c.PingAfter == math.MaxInt64 || c.PingTimeout == math.MaxInt64 {
		return nil, func() {}
	}
	timer := time.NewTimer(c.PingAfter + c.PingTimeout)
	return timer.C, func() { timer.Stop() }
}

// Silent returns the cause of a connection that is lost after Silence.
func (c *Conn) Silent() error {
	return fmt.Errorf("the peer has been silent for %v (Limits.PingAfter, PingTimeout)", c.PingAfter+c.PingTimeout)
}
