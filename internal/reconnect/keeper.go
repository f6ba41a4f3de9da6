package reconnect

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
)

// A keeper keeps one connection to an endpoint.
type keeper[E comparable, B any] struct {
	g       *Group[E, B]
	at      E
	stop    chan struct{} // closed if the endpoint is not used any more
	backoff backoff       // of the keeper's goroutine

	// guarded by Group.mu
	conn  *Conn // the usable connection, nil for none
	state State
	hopes bool // no attempt has failed since the loss, or one is under way
}

// run is the goroutine of a keeper. c is its first connection, nil for none.
func (k *keeper[E, B]) run(c *Conn) {
	defer k.g.running.Done()
	gap := time.Duration(0)
	var before *Conn
	for {
		if c == nil {
			if c = k.connect(gap, before); c == nil {
				return
			}
			before = nil
		}
		since := time.Now()
		why := k.watch(c)
		k.backoff.lived(time.Since(since))
		switch {
		case k.stopped():
			k.retire(c)
			return
		case !c.Replaceable() || why != nil && why.Code != fault.Unavailable:
			<-c.Done // a server that drains ends it
			k.forget(c)
			k.g.over(k, c.Why())
			return
		case why == nil:
			k.g.running.Add(1)
			go func(c *Conn) {
				defer k.g.running.Done()
				k.retire(c)
			}(c)
		default:
			k.forget(c)
		}
		before, c = c, nil
		k.lose(why)
		gap = k.backoff.next()
	}
}

// connect connects again and again, until it succeeds; first after gap. before is the
// connection that was lost, nil for none. It returns nil if the keeper has stopped, or will
// not connect.
func (k *keeper[E, B]) connect(gap time.Duration, before *Conn) *Conn {
	for {
		if !k.pause(gap) {
			return nil
		}
		k.set(Connecting, true)
		c, err := k.attempt(before)
		if err == nil {
			if !k.add(c) {
				c.Close(cmp.Or(k.g.Err(), errUnused))
				return nil
			}
			return c
		}
		if k.stopped() {
			return nil
		}
		k.g.failed(err)
		if final(err) {
			k.g.over(k, faultOf(err))
			return nil
		}
		k.set(Lost, false)
		gap = k.backoff.next()
	}
}

// attempt makes one attempt. It ends early if the keeper is stopped.
func (k *keeper[E, B]) attempt(before *Conn) (*Conn, error) {
	ctx, cancel := context.WithCancel(k.g.ctx)
	defer cancel()
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-k.stop:
			cancel()
		case <-over:
		}
	}()
	return k.g.connect(ctx, k.at, before, func() { k.set(Waiting, true) })
}

// final reports whether an attempt that ended in err makes further ones useless: the server
// has refused the client, or speaks another version.
func final(err error) bool {
	var f *fault.Fault
	if errors.Is(err, fault.ErrVersion) {
		return true
	}
	return errors.As(err, &f) && f.Remote && f.Code != fault.Unavailable && f.Code != fault.ResourceExhausted
}

// errUnused ends the connection of a keeper that has been stopped.
var errUnused = fault.New(fault.Unavailable, fault.OutcomeUnknown, "the endpoint is not used any more")

// pause waits before an attempt. It reports false if the keeper has stopped.
func (k *keeper[E, B]) pause(gap time.Duration) bool {
	if gap <= 0 {
		return !k.stopped()
	}
	timer := time.NewTimer(gap)
	defer timer.Stop()
	select {
	case <-timer.C:
		return !k.stopped()
	case <-k.stop:
	case <-k.g.done:
	}
	return false
}

// stopped reports whether the keeper has to return.
func (k *keeper[E, B]) stopped() bool {
	select {
	case <-k.stop:
	case <-k.g.done:
	default:
		return false
	}
	return true
}

// A busy keeper counts calls each second, an idle one each ten seconds: so long after a pause
// all calls are of the last ten seconds.
const (
	busyTick = time.Second
	idleTick = budgetSeconds * time.Second
)

// watch waits until calls must go elsewhere: the connection has ended because of why, its
// server drains and another one may take its place, or the keeper is stopped. Meanwhile it
// counts calls.
func (k *keeper[E, B]) watch(c *Conn) (why *fault.Fault) {
	holding := c.holding.ch
	timer := time.NewTimer(busyTick)
	defer timer.Stop()
	made := 0
	for {
		select {
		case <-c.Done:
			k.g.count(c, &made)
			return c.Why()
		case <-c.leaving.ch:
			k.g.count(c, &made)
			return nil
		case <-holding:
			holding = nil
			k.g.pin(k)
		case <-k.stop:
			return nil
		case <-k.g.done:
			return nil
		case <-timer.C:
			if k.g.count(c, &made) {
				timer.Reset(busyTick)
			} else {
				timer.Reset(idleTick)
			}
		}
	}
}

// retirePeriod is the time between two looks at a connection that is no longer used.
const retirePeriod = 100 * time.Millisecond

// retire waits for the calls of a connection that takes no new ones, and closes it. A
// server that drains may do so first.
func (k *keeper[E, B]) retire(c *Conn) {
	defer k.forget(c)
	ticker := time.NewTicker(retirePeriod)
	defer ticker.Stop()
	for {
		select {
		case <-c.Done:
			return
		case <-k.g.done: // the group closes it
			<-c.Done
			return
		case <-ticker.C:
			if c.Open() == 0 {
				c.Close(errUnused)
				return
			}
		}
	}
}

// add makes a new connection usable. It reports false if the keeper has been stopped.
func (k *keeper[E, B]) add(c *Conn) bool {
	g := k.g
	g.mu.Lock()
	if g.why != nil || !slices.Contains(g.keepers, k) {
		g.mu.Unlock()
		return false
	}
	k.conn, k.state, k.hopes = c, Ready, false
	g.all = append(g.all, c)
	g.mu.Unlock()
	g.publish()
	return true
}

// forget forgets a connection that has ended.
func (k *keeper[E, B]) forget(c *Conn) {
	k.g.mu.Lock()
	defer k.g.mu.Unlock()
	k.g.all = slices.DeleteFunc(k.g.all, func(other *Conn) bool { return other == c })
}

// errDraining is the cause of the loss of a connection to a server that drains.
var errDraining = fault.New(fault.Unavailable, fault.NotRun, "the server is shutting down")

// lose notes that the connection of the keeper takes no more calls. why is nil if its server
// drains.
func (k *keeper[E, B]) lose(why *fault.Fault) {
	g := k.g
	if why == nil {
		why = errDraining
	}
	g.mu.Lock()
	k.conn, k.state, k.hopes, g.cause = nil, Lost, true, why
	g.mu.Unlock()
	g.publish()
	g.askSoon()
}

// set notes the state of the keeper without a connection.
func (k *keeper[E, B]) set(s State, hopes bool) {
	k.g.mu.Lock()
	defer k.g.mu.Unlock()
	if k.conn == nil {
		k.state, k.hopes = s, hopes
		k.g.changedLocked()
	}
}

// failed notes why an attempt has failed.
func (g *Group[E, B]) failed(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cause = faultOf(err)
}

// count counts the calls of a connection beyond made. It reports whether there were any.
func (g *Group[E, B]) count(c *Conn, made *int) bool {
	now := c.Made()
	g.mu.Lock()
	defer g.mu.Unlock()
	n := now - *made
	*made = now
	g.budget.calls.add(limits.Monotonic(), uint64(n))
	return n > 0
}
