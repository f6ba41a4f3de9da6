package basic

import (
	"net"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A client waits for admission by polling: the answer to each INIT says whether it is
// admitted. It keeps its ticket, in line or admitted, while it polls.

// A poll lease lasts pollSlack times the longest interval between two polls so far,
// within these bounds. Before the second poll it lasts mostSilence.
const (
	pollSlack    = 2
	leastSilence = 15 * time.Second
	mostSilence  = 60 * time.Second
)

// MaxPoll is the upper bound of a client's PollInterval: with it the lease at a server
// of this library does not expire.
const MaxPoll = mostSilence / pollSlack

// A pollLease keeps the ticket of a polling client. When it expires the client leaves
// the queue, and enters at its end with the next poll.
//
// Lock order: mu, then the lock of the admission queue, inside the Handler.
type pollLease struct {
	mu      sync.Mutex // guards the rest, and the client's ticket until its admission
	timer   *time.Timer
	last    time.Time     // of the polls
	longest time.Duration // interval between two polls
	ended   bool          // the client has been admitted, or has left
	expired bool          // since the last poll
}

// poll renews the lease. On the first poll, and after an expiry, the client enters the
// queue. admitted reports whether the queue has admitted it.
func (l *pollLease) poll(h Handler) (admitted bool, refusal *fault.Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.last.IsZero()
	l.polledLocked()
	if first || l.expired {
		l.expired = false
		if why := h.Enter(); why != nil {
			return false, queueRefusal(why)
		}
	}
	if h.Admitted() {
		return true, nil
	}
	l.renewLocked(h.Leave)
	return false, nil
}

// queueRefusal returns the exception for a client refused by the admission queue.
func queueRefusal(why *fault.Fault) *fault.Fault {
	if why.Code == fault.Unavailable {
		return errShutdown
	}
	return errQueueFull
}

// durationLocked returns the time from a poll to the expiry.
func (l *pollLease) durationLocked() time.Duration {
	if l.longest == 0 {
		return mostSilence
	}
	return min(max(pollSlack*l.longest, leastSilence), mostSilence)
}

// polledLocked notes a poll.
func (l *pollLease) polledLocked() {
	now := time.Now()
	if !l.last.IsZero() {
		l.longest = max(l.longest, now.Sub(l.last))
	}
	l.last = now
}

// renewLocked starts the lease again. expire is called with mu held.
func (l *pollLease) renewLocked(expire func()) {
	if l.ended {
		return
	}
	if l.timer != nil {
		l.timer.Stop()
	}
	last := l.last
	l.timer = time.AfterFunc(l.durationLocked(), func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !l.ended && l.last.Equal(last) {
			l.expired = true
			expire()
		}
	})
}

// end ends the lease without an expiry.
func (l *pollLease) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	if l.timer != nil {
		l.timer.Stop()
	}
}

// poll serves a frame of a client without admission. The worker calls it.
func (c *Conn) poll(f *Frame) {
	if e, closes := checkInit(f); closes {
		c.turnAway(e)
		return
	} else if e != nil {
		c.refuseRequest(f, fault.FailedPrecondition, e)
		return
	}
	admitted, e := c.lease.poll(c.cfg.Handler)
	if admitted {
		c.lease.end()
		c.waiting.Store(false)
		e = c.cfg.Handler.Welcome()
	}
	if e != nil {
		c.turnAway(e)
		return
	}
	c.admitted = admitted
	c.waiting.Store(!admitted)
	c.Respond(net.Buffers{wire.AppendBasicServerInit(nil, admitted)})
}

// turnAway ends the connection of a client without admission.
func (c *Conn) turnAway(e *fault.Fault) {
	c.cfg.Handler.TurnedAway(e)
	c.leave(e, e)
}
