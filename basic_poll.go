package bsrpc

import (
	"net"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A basic client waits for admission by polling: the answer to each INIT says
// whether it is admitted. It keeps its ticket, in line or admitted, while it polls.

// A poll lease lasts pollSlack times the longest interval between two polls so
// far, within these bounds. Before the second poll it lasts mostSilence.
const (
	pollSlack    = 2
	leastSilence = 15 * time.Second
	mostSilence  = 60 * time.Second
)

// mostPoll is the upper bound of a client's PollInterval: with it the lease of a
// server of this library does not expire.
const mostPoll = mostSilence / pollSlack

// A pollLease keeps the ticket of a client that polls. When it expires the client
// leaves the queue, and enters at its end with the next poll.
//
// Lock order: mu, then the queue's.
type pollLease struct {
	mu      sync.Mutex // guards the rest, and the session's ticket until admission
	timer   *time.Timer
	last    time.Time     // of the polls
	longest time.Duration // interval between two polls
	ended   bool          // the client has been admitted, or has gone
	expired bool          // since the last poll
}

// durationLocked returns the time from one poll to the expiry.
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

// checkInit says why a frame is no INIT to be answered, nil if it is one.
// closes says that the connection does not survive it.
func checkInit(f *basicFrame) (e *fault.Fault, closes bool) {
	if f.refused != nil {
		return f.refused, false
	}
	if f.typ == wire.BasicRequest {
		return errNotInitialized, false
	}
	if f.typ != wire.Init {
		return unexpected(f), false
	}
	major, ok := wire.ReadBasicMajor(f.payload)
	switch {
	case !ok:
		return exception("ValueError", "Cannot deserialize version, insufficient bytes: %d. Expected 3", len(f.payload)), true
	case major != 0:
		return exception("ProtocolError", "Incorrect major version: %d. Expected 0", major), false
	}
	return nil, false
}

// poll serves a frame of a client that has not been admitted.
func (c *basicConn) poll(f *basicFrame) {
	if e, closes := checkInit(f); closes {
		c.server.sessions.turnAway(c.session, e)
		c.leave(e, e)
		return
	} else if e != nil {
		c.refuse(e)
		return
	}
	admitted, e := c.renewLease()
	switch {
	case e != nil:
		c.server.sessions.turnAway(c.session, e)
		c.leave(e, e)
	case admitted:
		c.lease.end()
		c.waiting.Store(false)
		c.welcome()
	default:
		c.waiting.Store(true)
		c.answer(net.Buffers{wire.AppendBasicServerInit(nil, false)})
	}
}

// renewLease reports whether the queue has admitted the client. On the first
// poll, and after an expiry, it enters the queue.
func (c *basicConn) renewLease() (admitted bool, refuse *fault.Fault) {
	l := &c.lease
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.last.IsZero()
	l.polledLocked()
	if first || l.expired {
		l.expired = false
		if _, refuse := c.server.sessions.enter(c.session); refuse != nil {
			return false, basicRefusal(refuse)
		}
	}
	select {
	case <-c.session.ticket.Admitted():
		return true, nil
	default:
	}
	l.renewLocked(c.session.ticket.Leave)
	return false, nil
}

// basicRefusal is the answer to a basic client refused by the queue.
func basicRefusal(refuse *fault.Fault) *fault.Fault {
	if refuse.Code == fault.Unavailable {
		return errShutdown
	}
	return errQueueFull
}

// welcome begins the session of a client admitted by the queue.
func (c *basicConn) welcome() {
	if err := c.server.sessions.begin(c.session); err != nil {
		if !c.session.connected {
			c.session.ticket.Leave() // OnDisconnect will not run: others need not wait
		}
		e := exception("PermissionError", "panic in the error of OnConnect or PerSession")
		c.server.sessions.guard(c.session, "the error of OnConnect or PerSession", func() error { e = turnedAway(err, c.served.settings.MaxErrorText); return nil })
		c.server.sessions.turnAway(c.session, e)
		c.leave(e, e)
		return
	}
	c.answer(net.Buffers{wire.AppendBasicServerInit(nil, true)})
}
