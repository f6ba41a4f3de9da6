package bsrpc

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// A gate lets so many calls run at a time. The others wait, in the order in
// which they came, and take no goroutine for that.
type gate struct {
	mu    sync.Mutex
	free  int
	queue []*passage
}

// A group is the methods of a server with the same exclusive=. Its id goes with
// every call that is made from inside of it, so that one which comes back is
// refused, and does not wait for itself.
type group struct {
	gate
	name string
	id   uint64
}

// grouped says that calls of this process may have been made from inside of a
// group: only then does a call look for that in its context.
var grouped atomic.Bool

func newGroup(name string) *group {
	grouped.Store(true)
	return &group{gate: gate{free: 1}, name: name, id: rand.Uint64()}
}

// enter lets p pass, or puts it into the queue.
func (g *gate) enter(p *passage) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.free == 0 {
		g.queue = append(g.queue, p)
		return false
	}
	g.free--
	return true
}

// leave lets the next pass in the place of one that had passed.
func (g *gate) leave() {
	g.mu.Lock()
	if len(g.queue) == 0 {
		g.free++
		g.mu.Unlock()
		return
	}
	next := popFirst(&g.queue)
	g.mu.Unlock()
	next.passed++
	next.proceed()
}

// forsake takes p out of the queue. It reports whether p was there.
func (g *gate) forsake(p *passage) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.queue, p)
	if i < 0 {
		return false
	}
	g.queue = slices.Delete(g.queue, i, i+1)
	return true
}

// A passage is a call on its way through gates. It belongs to the goroutine
// that moves it on; while it waits, to the gate.
type passage struct {
	gates  []*gate
	passed int
	run    func()
}

// proceed goes through the gates that are left, and then runs the call on a
// goroutine of its own. Where a gate is shut, it is called again by the gate.
func (p *passage) proceed() {
	for p.passed < len(p.gates) {
		if !p.gates[p.passed].enter(p) {
			return
		}
		p.passed++
	}
	go p.run()
}

// giveUp ends the waiting. It reports false if the call waits no longer.
func (p *passage) giveUp() bool {
	for i, g := range p.gates {
		if g.forsake(p) {
			p.gates = p.gates[:i]
			p.leave()
			return true
		}
	}
	return false
}

// leave opens the gates behind a call.
func (p *passage) leave() {
	for _, g := range slices.Backward(p.gates) {
		g.leave()
	}
}

// gates returns those that a call of m goes through.
func (v *serving) gates(m *method) (list []*gate) {
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
func (c *conn) serveGated(f *frame, m *message, gates []*gate) {
	if g := f.method.group; g != nil {
		if slices.Contains(f.call.within, g.id) {
			c.reject(f, refusalf(CodeFailedPrecondition, "%s is exclusive=%s and called from inside of that group: it would wait for itself", f.method.Name, g.name))
			f.free()
			return
		}
		f.call.within = append(f.call.within, g.id)
	}
	c.served.enterRunning(f)
	message := m.keep()
	p := &passage{gates: gates}
	stop := f.call.AfterFunc(func() {
		if p.giveUp() {
			c.reject(f, contextError(f.call.Err(), OutcomeNotRun))
			c.finishWaiting(f)
		}
	})
	p.run = func() {
		defer p.leave()
		stop()
		switch {
		case f.call.Err() != nil:
			c.reject(f, contextError(f.call.Err(), OutcomeNotRun))
		case c.served.handlers.Add(1) > int64(c.bounds.maxHandlers):
			c.served.handlers.Add(-1)
			c.reject(f, c.served.busy())
		default:
			defer c.finishApart(f)
			c.runApart(f, &message)
			return
		}
		c.finishWaiting(f)
	}
	p.proceed()
}

// finishWaiting ends a call that has waited and is not run.
func (c *conn) finishWaiting(f *frame) {
	c.served.leaveRunning(f)
	c.flush(nil)
	f.free()
}

// withinKey finds, in a context, the groups that its handler is inside of.
type withinKey struct{}

// withinOf returns the metadata that tells the groups from inside of which a
// call is made; nil for none.
func withinOf(ctx context.Context) []byte {
	if !grouped.Load() {
		return nil
	}
	ids, _ := ctx.Value(withinKey{}).([]uint64)
	if len(ids) == 0 {
		return nil
	}
	return wire.AppendWithin(nil, ids)
}
