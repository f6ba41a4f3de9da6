package admission

import (
	"fmt"
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

// chainOf returns groups by their ids. Unknown ones, of other servers or invented, are left out.
func (gs *Groups) chainOf(ids []uint64) (chain []*Group) {
	if len(ids) == 0 {
		return nil
	}
	gs.mu.Lock()
	defer gs.mu.Unlock()
	for _, id := range ids {
		if g := gs.byID[id]; g != nil {
			chain = append(chain, g)
		}
	}
	return chain
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
	if g.owner != nil && g.owner == w.Owner || g.user == w || slices.Contains(w.chain, g) {
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
		if slices.Contains(v.chain, g) && depends(v) {
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
