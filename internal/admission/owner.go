package admission

import (
	"slices"
	"time"
)

// An Owner is a session, as far as it can hold groups across its waiters. Init comes first. All
// other methods are safe for concurrent use.
type Owner struct {
	Of any // the session

	// OnBusy is called when the owner holds a group or waits for one, and possibly again
	// while it does. It runs under a lock, and must not wait. Nil means that nothing is called.
	OnBusy func()

	groups *Groups

	// guarded by groups.mu
	held    []*Group
	lost    []*Group // taken after MaxHold; calls of these are refused
	waiting list     // in line of groups
	left    bool
}

// Init prepares the owner of, a session, for groups.
func (o *Owner) Init(of any, gs *Groups) { o.Of, o.groups = of, gs }

// Busy reports whether the owner holds a group or waits for one.
func (o *Owner) Busy() bool {
	o.groups.mu.Lock()
	defer o.groups.mu.Unlock()
	return len(o.held) > 0 || o.waiting.first != nil
}

// busyLocked calls OnBusy for the first group that the owner holds or waits for.
func (o *Owner) busyLocked() {
	if len(o.held) == 0 && o.waiting.first == nil && o.OnBusy != nil {
		o.OnBusy()
	}
}

// hasLostLocked reports whether the group was taken from the owner. o may be nil.
func (o *Owner) hasLostLocked(g *Group) bool { return o != nil && slices.Contains(o.lost, g) }

// NewHold returns a waiter that acquires groups for the owner: all of them, or none. The groups
// that the owner holds already are left out. call is the waiter of the call that acquires them, or
// nil; if it is of the owner, a group whose slot this has becomes the owner's with it. chain is as for
// NewWaiter. The error lists the groups if one is unknown.
func (o *Owner) NewHold(names []string, call *Waiter, chain []uint64) (*Waiter, error) {
	groups, err := o.groups.find(names)
	if err != nil {
		return nil, err
	}
	if call != nil && call.Owner != o {
		call = nil
	}
	w := &Waiter{Owner: o, keeps: true, wants: groups, within: call, chain: o.groups.chainOf(chain)}
	for _, g := range groups {
		w.steps = append(w.steps, &g.one)
	}
	return w, nil
}

// A Context is the part of a context.Context that limits a wait.
type Context interface {
	Deadline() (time.Time, bool)
	Done() <-chan struct{}
}

// Acquire starts w, from NewHold, and waits until the owner holds its groups, or w is refused.
// It gives up with ctx, with ended, and when the part of the time of ctx is over that early
// returns. Then it returns the result of GiveUp, else nil. tell is called with changed
// positions, on this goroutine; it may be nil.
func (w *Waiter) Acquire(ctx Context, ended <-chan struct{}, early func(time.Duration) time.Duration, tell func(group string, position int)) (g *Group, holders string) {
	type news struct {
		group    string
		position int
	}
	moved := make(chan news, 1) // the newest
	if passOn := w.Moved; tell != nil || passOn != nil {
		w.Moved = func(group string, position int) bool {
			if tell != nil {
				select {
				case <-moved:
				default:
				}
				select {
				case moved <- news{group, position}:
				default: // from the next round
				}
			}
			return passOn == nil || passOn(group, position)
		}
	}
	started := make(chan struct{})
	w.Start(func() { close(started) })
	defer func() {
		w.GiveUp() // after a panic in tell; otherwise it has no effect
	}()
	var late <-chan time.Time
	if at, ok := ctx.Deadline(); ok {
		t := time.NewTimer(early(time.Until(at)))
		defer t.Stop()
		late = t.C
	}
	for {
		select {
		case <-started:
			return nil, ""
		case n := <-moved:
			tell(n.group, n.position)
			continue
		case <-ctx.Done():
		case <-ended:
		case <-late:
		}
		if g, holders, ok := w.GiveUp(); ok {
			return g, holders
		}
		<-started
		return nil, ""
	}
}

// keep makes the owner of w hold the groups, of which w has the slots. The slots go to the
// waiters of the owner.
func (w *Waiter) keep() {
	o, gs := w.Owner, w.Owner.groups
	gs.mu.Lock()
	for _, g := range w.wants {
		switch {
		case o.left:
			w.refusal = &Refusal{"the session has ended", false}
		case g.user != w && g.owner != o && !g.isUsedByCallLocked(w):
			w.refusal = &Refusal{"exclusive=" + g.Name + " was given back or taken while the session waited for another group; acquire both again", false}
		}
	}
	if w.refusal == nil {
		for _, g := range w.wants {
			g.keepLocked(o)
		}
		o.breakCirclesLocked()
	}
	gs.mu.Unlock()
	w.Release()
}

// Release gives groups back; those that the owner does not hold are left out. A running call
// keeps the slot to its end.
func (o *Owner) Release(names ...string) {
	o.groups.mu.Lock()
	var groups []*Group
	for _, name := range names {
		if g := o.groups.byName[name]; g != nil {
			groups = append(groups, g)
			o.lost = slices.DeleteFunc(o.lost, func(l *Group) bool { return l == g })
		}
	}
	o.giveBackLocked(groups)
}

// Leave gives all groups back. The owner acquires nothing any more.
func (o *Owner) Leave() {
	if o.groups == nil { // its connection never began
		return
	}
	o.groups.mu.Lock()
	o.left = true
	o.giveBackLocked(slices.Clone(o.held))
}

// giveBackLocked gives groups back and unlocks.
func (o *Owner) giveBackLocked(groups []*Group) {
	type handed struct {
		g    *Group
		next *Waiter
	}
	var all []handed
	for _, g := range groups {
		if g.owner == o {
			all = append(all, handed{g, g.giveBackLocked()})
		}
	}
	o.groups.mu.Unlock()
	for _, h := range all {
		h.g.one.handOver(h.next)
	}
}
