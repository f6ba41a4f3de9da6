package bsrpc

import (
	linked "container/list"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// A gate lets so many calls run at a time. The others wait, in the order in
// which they came, and take no goroutine for that. A passage's lock is taken
// before a gate's.
type gate struct {
	what string // what a call waits for

	mu    sync.Mutex // guards the rest, and place of the passages in queue
	free  int
	queue linked.List // of *passage
}

// A group is the methods of a server with the same exclusive=. Its id goes with
// every call that is made from inside of it, so that one which comes back is
// refused, and does not wait for itself.
type group struct {
	gate
	name string
	id   uint64
}

func newGroup(name string) *group {
	return &group{gate: gate{what: "exclusive=" + name, free: 1}, name: name, id: rand.Uint64()}
}

// newTurns returns the gate of a connection that runs so many calls at a time.
func newTurns(n int) *gate {
	return &gate{what: fmt.Sprintf("its turn (MaxConcurrentCalls is %d)", n), free: n}
}

// enter lets p pass, or puts it into the queue.
func (g *gate) enter(p *passage) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.free == 0 {
		p.place = g.queue.PushBack(p)
		return false
	}
	g.free--
	return true
}

// leave lets the next pass in the place of one that had passed. A passage that
// has been given up as it was taken from the queue lets the one behind it pass.
func (g *gate) leave() {
	for {
		p := g.take()
		if p == nil || p.admitted() {
			return
		}
	}
}

// take takes the next out of the queue. Where there is none, one more is free to
// pass.
func (g *gate) take() *passage {
	g.mu.Lock()
	defer g.mu.Unlock()
	first := g.queue.Front()
	if first == nil {
		g.free++
		return nil
	}
	p := g.queue.Remove(first).(*passage)
	p.place = nil
	return p
}

// forsake takes p out of the queue, unless it is being let through.
func (g *gate) forsake(p *passage) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.place != nil {
		g.queue.Remove(p.place)
		p.place = nil
	}
}

// A passage is a call on its way through gates.
type passage struct {
	gates []*gate // those of one connection before those that others share
	own   int     // how many are of one connection
	run   func()
	since time.Time       // when it came
	place *linked.Element // in the queue of the gate where it waits

	mu      sync.Mutex // guards the rest
	passed  int        // gates
	running bool
	over    bool // given up
}

// begin goes through the gates that are open, and from the last runs the call on
// a goroutine of its own.
func (p *passage) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.proceedLocked()
}

func (p *passage) proceedLocked() {
	for p.passed < len(p.gates) {
		if !p.gates[p.passed].enter(p) {
			return
		}
		p.passed++
	}
	p.running = true
	go p.run()
}

// admitted goes on behind the gate where p has waited. It reports false if p has
// been given up, and has not passed.
func (p *passage) admitted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return false
	}
	p.passed++
	p.proceedLocked()
	return true
}

// giveUp ends the waiting. It reports false if the call waits no longer; if it
// does, it returns for what.
func (p *passage) giveUp() (what string, ok bool) {
	p.mu.Lock()
	if p.running || p.over {
		p.mu.Unlock()
		return "", false
	}
	p.over = true
	at := p.gates[p.passed]
	at.forsake(p)
	p.gates = p.gates[:p.passed]
	p.mu.Unlock()
	p.leave()
	return at.what, true
}

// leave opens the gates behind a call.
func (p *passage) leave() {
	for _, g := range slices.Backward(p.gates) {
		g.leave()
	}
	p.gates = nil
}

// leaveShared opens, behind a call that runs no longer, those gates where the
// calls of other connections wait.
func (p *passage) leaveShared() {
	own := min(p.own, len(p.gates)) // none are left of a call that was given up
	for _, g := range slices.Backward(p.gates[own:]) {
		g.leave()
	}
	p.gates = p.gates[:own]
}

// gates returns those that a call of m goes through.
func (v *serving) gates(m *servedMethod) (list []*gate) {
	if v.gate != nil {
		list = append(list, v.gate)
	}
	if m.group != nil {
		list = append(list, &m.group.gate)
	}
	return list
}

// serveGated runs a call when the gates let it pass. Its time goes on while it
// waits, and it may be cancelled.
func (c *serverConn) serveGated(inv *invocation, m *message, gates []*gate) {
	if g := inv.method.group; g != nil {
		if slices.Contains(inv.call.within, g.id) {
			inv.refuse(refusalf(CodeFailedPrecondition, "%s: called while already holding exclusive=%s: deadlock", inv.method.Name, g.name))
			inv.free()
			return
		}
		inv.call.within = append(inv.call.within, g.id)
	}
	c.served.enterRunning(inv)
	kept := m.keep()
	inv.undecoded = &kept
	p := &passage{gates: gates, since: c.in.lastRead()}
	if c.served.gate != nil {
		p.own = 1
	}
	inv.passage = p
	p.mu.Lock() // giveUp waits until all is set up
	defer p.mu.Unlock()
	giveUp := func() {
		if what, ok := p.giveUp(); ok {
			inv.refuse(waited(p.since, what, inv.call.Err()))
			inv.leave()
		}
	}
	stopEnd, stopLate := inv.call.AfterFunc(giveUp), inv.call.beforeDeadline(giveUp)
	p.run = func() {
		stopEnd()
		stopLate()
		c.runGated(inv)
	}
	p.proceedLocked()
}

// runGated runs a call that has passed its gates.
func (c *serverConn) runGated(inv *invocation) {
	defer inv.leave()
	p := inv.passage
	last := p.gates[len(p.gates)-1]
	switch {
	case inv.call.Err() != nil:
		inv.refuse(waited(p.since, last.what, inv.call.Err()))
	case !c.served.beginHandler():
		inv.refuse(c.served.busy())
	default:
		inv.counts = true
		inv.run()
	}
}

// waited is the answer to a call that has waited in vain. cause is why its
// context has ended; nil is that its time is about to be over.
func waited(since time.Time, what string, cause error) *Error {
	code, text := CodeDeadlineExceeded, "waited %v for %s"
	if errors.Is(cause, context.Canceled) {
		code, text = CodeCanceled, "canceled: waited %v for %s"
	}
	return refusalf(code, text, roundTime(time.Since(since)), what)
}

// roundTime shortens a time for people, to three digits or so.
func roundTime(d time.Duration) time.Duration {
	for unit := time.Second; unit > time.Nanosecond; unit /= 10 {
		if d >= unit {
			return d.Round(unit / 100)
		}
	}
	return d
}

// withinKey finds, in a context, the groups that its handler is inside of.
type withinKey struct{}

// withinOf returns the metadata that tells the groups from inside of which a
// call is made; nil for none.
func withinOf(ctx context.Context) []byte {
	ids, _ := ctx.Value(withinKey{}).([]uint64)
	if len(ids) == 0 {
		return nil
	}
	return wire.AppendHeldGroups(nil, ids)
}
