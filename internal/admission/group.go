package admission

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
)

// Groups are the exclusive groups of a server. They are safe for concurrent use.
//
// One lock guards the lines of all of them: a deadlock is found in the moment in which it
// would begin, so nothing else may change then.
type Groups struct {
	// MaxHold is the time after which a group is taken from its owner when others wait,
	// math.MaxInt64 for none. It is set before use.
	MaxHold time.Duration

	mu     sync.Mutex // guards the rest, and everything in groups, owners and places
	byName map[string]*Group
	list   []*Group         // by number
	nested map[*Waiter]bool // in line of a group, with a chain
}

// NewGroups returns an empty set of groups.
func NewGroups() *Groups {
	return &Groups{MaxHold: math.MaxInt64, byName: make(map[string]*Group), nested: make(map[*Waiter]bool)}
}

// A Group is an exclusive group: one waiter at a time has its slot. While an owner holds the
// group, only the waiters of this owner get the slot. Name is read only.
//
// Invariant: own is empty unless owner is set.
type Group struct {
	Name   string
	number uint64 // see newID
	all    *Groups
	one    Semaphore

	// guarded by all.mu
	owner    *Owner      // holds the group; nil for none
	since    time.Time   // when it began to
	own      list        // the waiters of owner; the others are in one.line
	user     *Waiter     // has the slot; nil if it is free or on its way
	timer    *time.Timer // for MaxHold; nil if it is not running
	watchers int         // waiters in line with Moved
	telling  bool        // tell is due
	toldAt   time.Time
}

// Add returns the group with a name, a new one at first, or nil for an empty name.
func (gs *Groups) Add(name string) *Group {
	if name == "" {
		return nil
	}
	gs.mu.Lock()
	defer gs.mu.Unlock()
	g := gs.byName[name]
	if g == nil {
		g = &Group{Name: name, number: uint64(len(gs.list)), all: gs}
		g.one = Semaphore{group: g, mu: &gs.mu, free: 1}
		gs.byName[name], gs.list = g, append(gs.list, g)
	}
	return g
}

// find returns groups by their names, each once, in the order of their names.
func (gs *Groups) find(names []string) (list []*Group, err error) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		g := gs.byName[name]
		if g == nil {
			known := strings.Join(slices.Sorted(maps.Keys(gs.byName)), ", ")
			if known == "" {
				known = "none; tag methods with exclusive="
			}
			return nil, fmt.Errorf("unknown group %.64q; the groups are %s", name, known)
		}
		list = append(list, g)
	}
	return list, nil
}

// acquireLocked is Semaphore.acquire.
func (g *Group) acquireLocked(w *Waiter) verdict {
	mine := g.owner != nil && g.owner == w.Owner
	switch {
	case w.keeps && (mine || g.isUsedByCallLocked(w)):
		return unneeded
	case !w.keeps && w.Owner.hasLostLocked(g):
		w.refusal = g.taken()
	case g.one.free > 0 && (mine || g.owner == nil):
		g.one.free--
		g.one.holdLocked(w)
		return granted
	case w.NoWait:
		w.refusal = &Refusal{"exclusive=" + g.Name + " is busy, and the call does not wait (nowait)", true}
	case !mine && w.holdsAnyLocked() && g.closesCircleLocked(w):
		w.refusal = g.deadlock()
	default:
		l := &g.one.line
		if mine {
			l = &g.own
		}
		g.one.enqueueLocked(l, w)
		return queued
	}
	return forbidden
}

// isUsedByCallLocked reports whether the call, in which w acquires groups, has the slot.
func (g *Group) isUsedByCallLocked(w *Waiter) bool { return w.within != nil && g.user == w.within }

// enqueuedLocked notes a waiter in line.
func (g *Group) enqueuedLocked(w *Waiter) {
	if w.Moved != nil {
		g.watchers++
		g.movedLocked()
	}
	if w.chain != nil {
		g.all.nested[w] = true
	}
	if w.Owner != nil {
		w.Owner.busyLocked()
		w.Owner.waiting.push(w, ofOwner)
	}
	g.setTimerLocked()
}

// dequeuedLocked undoes enqueuedLocked.
func (g *Group) dequeuedLocked(w *Waiter) {
	if w.Moved != nil {
		g.watchers--
	}
	if w.chain != nil {
		delete(g.all.nested, w)
	}
	if w.Owner != nil {
		w.Owner.waiting.remove(w, ofOwner)
	}
	g.movedLocked()
}

// An owner holds groups across its waiters.

// keepLocked makes o the owner of the group, whose slot is free, or used by a waiter of o. The
// waiters of o go before the line.
func (g *Group) keepLocked(o *Owner) {
	o.lost = slices.DeleteFunc(o.lost, func(l *Group) bool { return l == g })
	if g.owner == o {
		return
	}
	o.busyLocked()
	g.owner, g.since = o, time.Now()
	o.held = append(o.held, g)
	for w := range o.waiting.all(ofOwner) {
		if w.at == &g.one {
			g.moveLocked(w, &g.own)
		}
	}
	g.setTimerLocked()
}

// moveLocked puts w at the end of another line of the group.
func (g *Group) moveLocked(w *Waiter, to *list) {
	w.line.remove(w, inLine)
	w.line = to
	to.push(w, inLine)
	g.movedLocked()
}

// giveBackLocked ends the hold of the owner. Its waiters go to the end of the line. A running
// call keeps the slot. giveBackLocked returns a waiter for handOver, nil if there is none.
func (g *Group) giveBackLocked() *Waiter {
	for w := range g.own.all(inLine) {
		g.moveLocked(w, &g.one.line)
	}
	g.disownLocked()
	return g.pollLocked()
}

// disownLocked leaves the group without an owner.
func (g *Group) disownLocked() {
	o := g.owner
	o.held = slices.DeleteFunc(o.held, func(h *Group) bool { return h == g })
	g.owner = nil
}

// pollLocked returns the first in line, if the slot is free, for handOver.
func (g *Group) pollLocked() *Waiter {
	if g.one.free == 0 {
		return nil
	}
	g.one.free--
	return g.one.nextLocked()
}

// takeOverdueLocked takes the group from its owner after MaxHold, if others wait. No call of the
// owner has the slot; those in line are refused.
func (g *Group) takeOverdueLocked() bool {
	if g.one.line.first == nil || time.Since(g.since) < g.all.MaxHold {
		return false
	}
	g.owner.lost = append(g.owner.lost, g)
	for w := range g.own.all(inLine) {
		g.one.dequeueLocked(w)
		go w.refuse(g.taken())
	}
	g.disownLocked()
	return true
}

// setTimerLocked sets the timer for MaxHold, if others wait for what an owner holds.
func (g *Group) setTimerLocked() {
	if g.all.MaxHold < math.MaxInt64 && g.owner != nil && g.one.line.first != nil && g.timer == nil {
		g.timer = time.AfterFunc(max(1, time.Until(g.since.Add(g.all.MaxHold))), g.expire)
	}
}

// expire acts on the timer. A running call of the owner keeps the group until it ends.
func (g *Group) expire() {
	g.all.mu.Lock()
	g.timer = nil
	var next *Waiter
	if g.owner != nil && g.one.free > 0 && g.takeOverdueLocked() {
		next = g.pollLocked()
	} else if g.owner != nil && time.Since(g.since) < g.all.MaxHold {
		g.setTimerLocked()
	}
	g.all.mu.Unlock()
	g.one.handOver(next)
}

// Positions.

// tellEvery is the least time between two rounds of positions: a round passes the whole line,
// however often that moves. tellAfter is the least time from a change to its round: most waits
// end sooner.
const (
	tellEvery = 100 * time.Millisecond
	tellAfter = 5 * time.Millisecond
)

// movedLocked makes sure that the waiters with Moved learn of their new positions.
func (g *Group) movedLocked() {
	if g.watchers > 0 && !g.telling {
		g.telling = true
		time.AfterFunc(max(tellAfter, time.Until(g.toldAt.Add(tellEvery))), g.tell)
	}
}

// tell passes changed positions to Moved, without the lock. A position that cannot be passed on
// now is tried again in the next round.
func (g *Group) tell() {
	type news struct {
		w        *Waiter
		position int
	}
	var all []news
	g.all.mu.Lock()
	if g.telling = false; g.watchers > 0 {
		g.toldAt = time.Now()
	}
	for _, line := range []*list{&g.own, &g.one.line} {
		position, left := 0, g.watchers
		for w := range line.all(inLine) {
			if position++; w.Moved == nil {
				continue
			}
			if w.told != position {
				w.told = position
				all = append(all, news{w, position})
			}
			if left--; left == 0 {
				break
			}
		}
	}
	g.all.mu.Unlock()
	for _, n := range all {
		if !n.w.Moved(g.Name, n.position) {
			g.all.mu.Lock()
			n.w.told = 0
			g.movedLocked()
			g.all.mu.Unlock()
		}
	}
}

// A Status is the state of a group.
type Status struct {
	Name    string
	Holder  any       // Owner.Of of the owner, or of the running call; nil if the group is free
	Owned   bool      // by Holder; otherwise only its call holds the group
	Since   time.Time // of an owner
	Waiting []any     // Owner.Of of the waiters, the next one first
}

// Status returns the state of all groups, in the order of their names.
func (gs *Groups) Status() []Status {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	var all []Status
	for _, name := range slices.Sorted(maps.Keys(gs.byName)) {
		g := gs.byName[name]
		s := Status{Name: name}
		switch {
		case g.owner != nil:
			s.Holder, s.Owned, s.Since = g.owner.Of, true, g.since
		case g.user != nil && g.user.Owner != nil:
			s.Holder = g.user.Owner.Of
		}
		for _, line := range []*list{&g.own, &g.one.line} {
			for w := range line.all(inLine) {
				if w.Owner != nil {
					s.Waiting = append(s.Waiting, w.Owner.Of)
				}
			}
		}
		all = append(all, s)
	}
	return all
}
