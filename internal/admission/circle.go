package admission

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// Deadlocks among sessions: each holds a group and waits for one that another of them holds. A
// wait that would close such a circle is refused. A session counts as waiting if one of its calls
// waits: another call of it may never come.

// A Refusal is why a waiter does not get what it asks for.
type Refusal struct {
	text string
	Busy bool // with NoWait; otherwise a later attempt of the same kind may fail too
}

// Error implements error.
func (r *Refusal) Error() string { return r.text }

// deadlock is the refusal of a wait that closes a circle.
func (g *Group) deadlock() *Refusal {
	return &Refusal{"deadlock: the holder of exclusive=" + g.Name + " waits for a group that is held here; release it first", false}
}

// taken is the refusal of calls after MaxHold.
func (g *Group) taken() *Refusal {
	return &Refusal{fmt.Sprintf("exclusive=%s was taken from the session: others waited, and it had held the group for the server's GroupMaxHold (%v); acquire it again", g.Name, g.all.MaxHold), false}
}

// A use is the use of a group by a call: it is over when the user of the group is another one.
type use struct {
	group *Group
	by    *Waiter
}

// newID returns an id for a waiter for the group: the number of the group in 24 bits, and 40
// random ones. It travels with the calls made within the call, so that they are recognised. A
// peer knows it only while it has a part in that call: a claim to hold the group has no effect
// otherwise.
func (g *Group) newID() uint64 { return g.number<<40 | rand.Uint64()>>24 }

// chainOf returns the uses with these ids. Others, of other servers, over, or invented, are left
// out.
func (gs *Groups) chainOf(ids []uint64) (chain []use) {
	if len(ids) == 0 {
		return nil
	}
	gs.mu.Lock()
	defer gs.mu.Unlock()
	for _, id := range ids {
		if n := id >> 40; n < uint64(len(gs.list)) {
			if g := gs.list[n]; g.user != nil && g.user.ID == id {
				chain = append(chain, use{g, g.user})
			}
		}
	}
	return chain
}

// isWithinLocked reports whether a caller of w has the group.
func (w *Waiter) isWithinLocked(g *Group) bool {
	return slices.ContainsFunc(w.chain, func(u use) bool { return u.group == g && g.user == u.by })
}

// WaitsForItself reports whether a caller of w, from NewWaiter, has the group that w needs.
func (w *Waiter) WaitsForItself() bool {
	if len(w.chain) == 0 {
		return false
	}
	g := w.steps[len(w.steps)-1].group
	g.all.mu.Lock()
	defer g.all.mu.Unlock()
	return w.isWithinLocked(g)
}

// holdsAnyLocked reports whether others may wait for w. The caller holds w.mu.
func (w *Waiter) holdsAnyLocked() bool {
	return len(w.chain) > 0 || w.Owner != nil && len(w.Owner.held) > 0 || w.held > 0 && w.steps[w.held-1].group != nil
}

// closesCircleLocked reports whether the release of g depends on what w holds.
func (g *Group) closesCircleLocked(w *Waiter) bool {
	var seen []*Group
	return g.dependsLocked(w, &seen)
}

// dependsLocked is closesCircleLocked, for groups not yet seen. Each group is visited once.
func (g *Group) dependsLocked(w *Waiter, seen *[]*Group) bool {
	if slices.Contains(*seen, g) {
		return false
	}
	*seen = append(*seen, g)
	if g.owner != nil && g.owner == w.Owner || g.user == w || w.isWithinLocked(g) {
		return true
	}
	depends := func(v *Waiter) bool {
		return v != w && v.at != nil && v.at.group != nil && v.at.group.dependsLocked(w, seen)
	}
	if g.owner != nil {
		for v := range g.owner.waiting.all(ofOwner) {
			if depends(v) {
				return true
			}
		}
	}
	if g.user != nil && depends(g.user) { // acquires another group
		return true
	}
	for v := range g.all.nested {
		if v.isWithinLocked(g) && depends(v) {
			return true
		}
	}
	return false
}

// breakCirclesLocked refuses waiters of an owner that holds more groups now: they may have waited
// before a circle could close.
func (o *Owner) breakCirclesLocked() {
	for w := range o.waiting.all(ofOwner) {
		if g := w.at.group; g.owner != o && g.closesCircleLocked(w) {
			g.one.dequeueLocked(w)
			go w.refuse(g.deadlock())
		}
	}
}
