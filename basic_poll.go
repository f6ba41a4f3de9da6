package bsrpc

import (
	"net"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// A basic client waits for a place by asking again and again: each INIT is
// answered by whether it is admitted. It keeps its turn, and a place that has
// been given to it, as long as it asks.

// How long a client that waits may be silent: pollSlack times the longest that
// it has been so between two INITs, in these bounds. Until that is known it is
// the most.
const (
	pollSlack    = 2
	leastSilence = 15 * time.Second
	mostSilence  = 60 * time.Second
)

// mostPoll is the most that a client's PollInterval may be, so that no server of
// this library takes it for gone.
const mostPoll = mostSilence / pollSlack

// A patience takes the turn of a client that asks no longer.
type patience struct {
	turn   sync.Mutex // guards the rest, and the session's ticket until it is admitted
	timer  *time.Timer
	last   time.Time     // of its INITs
	gap    time.Duration // longest between two of them
	over   bool          // it waits no longer
	lapsed bool          // it has lost its turn
}

// silence returns how long the client may be silent.
func (p *patience) silence() time.Duration {
	if p.gap == 0 {
		return mostSilence
	}
	return min(max(pollSlack*p.gap, leastSilence), mostSilence)
}

// heard notes an INIT.
func (p *patience) heard() {
	now := time.Now()
	if !p.last.IsZero() {
		p.gap = max(p.gap, now.Sub(p.last))
	}
	p.last = now
}

// wait calls lapse, with turn held, when the client has been silent for long.
func (p *patience) wait(lapse func()) {
	if p.over {
		return
	}
	if p.timer != nil {
		p.timer.Stop()
	}
	last := p.last
	p.timer = time.AfterFunc(p.silence(), func() {
		p.turn.Lock()
		defer p.turn.Unlock()
		if !p.over && p.last.Equal(last) {
			p.lapsed = true
			lapse()
		}
	})
}

func (p *patience) end() {
	p.turn.Lock()
	defer p.turn.Unlock()
	p.over = true
	if p.timer != nil {
		p.timer.Stop()
	}
}

// checkInit says why a frame is no INIT to be answered, nil if it is one.
// closes says that the connection does not survive it.
func checkInit(f *basicFrame) (e *Error, closes bool) {
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
		c.server.turnAway(c.session, e)
		c.leave(e, e)
		return
	} else if e != nil {
		c.refuse(e)
		return
	}
	granted, e := c.keepTurn()
	switch {
	case e != nil:
		c.server.turnAway(c.session, e)
		c.leave(e, e)
	case granted:
		c.patience.end()
		c.waiting.Store(false)
		c.admit()
	default:
		c.waiting.Store(true)
		c.answer(net.Buffers{wire.AppendBasicServerInit(nil, false)})
	}
}

// keepTurn says whether the client has a place now. If it has lost its turn,
// or never had one, it goes to the queue's end.
func (c *basicConn) keepTurn() (granted bool, refuse *Error) {
	c.patience.turn.Lock()
	defer c.patience.turn.Unlock()
	first := c.patience.last.IsZero()
	c.patience.heard()
	if first || c.patience.lapsed {
		c.patience.lapsed = false
		if _, refuse := c.server.seek(c.session); refuse != nil {
			return false, basicRefusal(refuse)
		}
	}
	select {
	case <-c.session.ticket.Admitted():
		return true, nil
	default:
	}
	c.patience.wait(func() { c.session.ticket.Leave() })
	return false, nil
}

// basicRefusal is why a basic client may not even wait.
func basicRefusal(refuse *Error) *Error {
	if refuse.Code == CodeUnavailable {
		return errShutdown
	}
	return errQueueFull
}

// admit welcomes the client, which has a place.
func (c *basicConn) admit() {
	if err := c.server.welcome(c.session); err != nil {
		if !c.session.connected {
			c.session.ticket.Leave() // nothing of it is left that others must wait for
		}
		e := exception("PermissionError", "panic in the error of OnConnect or PerSession")
		c.server.guard(c.session, "the error of OnConnect or PerSession", func() error { e = turnedAway(err, c.served.bounds.maxErrorText); return nil })
		c.server.turnAway(c.session, e)
		c.leave(e, e)
		return
	}
	c.answer(net.Buffers{wire.AppendBasicServerInit(nil, true)})
}
