package admission

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/rounds"
)

// A model of groups, as simple as possible: one list for all lines, every rule by searching it.
// Each event of the real groups is repeated on the model, and both must agree on who runs, who
// waits, who is refused, and who holds what.
type model struct {
	owner map[string]int // of groups; 0 for none
	lost  map[[2]any]bool
	calls []*modelCall // by arrival; those that wait, run, or acquire
	step  int

	broken []string // events of calls that waited in a circle
}

type modelCall struct {
	id, owner int
	groups    []string // of an Acquire; one for a call
	keeps     bool
	has       []string // slots of these
	skipped   []string // the session had these already
	waits     string   // in the line of this group; "" if it does not
	before    bool     // ... before the line
	order     int      // in line
	within    *modelCall
}

// holder returns the call with the slot of a group.
func (m *model) holder(group string) *modelCall {
	for _, c := range m.calls {
		if slices.Contains(c.has, group) {
			return c
		}
	}
	return nil
}

// depends reports whether the release of a group needs something of c, at whatever distance.
func (m *model) depends(group string, c *modelCall, seen map[string]bool) bool {
	if seen[group] {
		return false
	}
	seen[group] = true
	if o := m.owner[group]; o != 0 && o == c.owner || slices.Contains(c.has, group) || c.within != nil && slices.Contains(c.within.has, group) {
		return true
	}
	h := m.holder(group)
	for _, other := range m.calls {
		blocks := other.owner == m.owner[group] || h == other || h != nil && other.within == h
		if other != c && other.waits != "" && blocks && m.depends(other.waits, c, seen) {
			return true
		}
	}
	return false
}

// end removes a call, with what it has.
func (m *model) end(c *modelCall) {
	m.calls = slices.DeleteFunc(m.calls, func(o *modelCall) bool { return o == c })
}

// proceed gives c what it can have, and puts it in line for the rest. done reports that c has
// everything, or is refused.
func (m *model) proceed(c *modelCall, nowait bool) (done bool, refused string) {
	for _, g := range c.groups {
		mine := m.owner[g] == c.owner
		h := m.holder(g)
		switch {
		case slices.Contains(c.has, g), slices.Contains(c.skipped, g):
			continue
		case c.keeps && (mine || c.within != nil && h == c.within):
			c.skipped = append(c.skipped, g)
			continue
		case !c.keeps && m.lost[[2]any{c.owner, g}]:
			m.end(c)
			return true, "aborted"
		case h == nil && (mine || m.owner[g] == 0) && !m.anyNext(g):
			c.has = append(c.has, g)
			continue
		case nowait:
			m.end(c)
			return true, "busy"
		case !mine && m.depends(g, c, map[string]bool{}):
			m.end(c)
			return true, "aborted"
		}
		m.step++
		c.waits, c.before, c.order = g, mine, m.step
		return false, ""
	}
	if !c.keeps {
		return true, ""
	}
	for _, g := range c.groups {
		if !slices.Contains(c.has, g) && m.owner[g] != c.owner && !(c.within != nil && m.holder(g) == c.within) {
			m.end(c)
			return true, "aborted"
		}
	}
	for _, g := range c.groups {
		delete(m.lost, [2]any{c.owner, g})
		if m.owner[g] != c.owner {
			m.owner[g] = c.owner
			for _, o := range m.inOrder() {
				if o.owner == c.owner && o.waits == g {
					o.before = true
				}
			}
		}
	}
	m.end(c)
	for _, o := range m.inOrder() { // they wait in a circle now
		if o.owner == c.owner && m.owner[o.waits] != o.owner && m.depends(o.waits, o, map[string]bool{}) {
			m.end(o)
			m.broken = append(m.broken, fmt.Sprint(o.id, " aborted"))
		}
	}
	return true, ""
}

// anyNext reports whether a call in line may have the slot of a group, which is about to be handed
// to it.
func (m *model) anyNext(group string) bool {
	return slices.ContainsFunc(m.calls, func(c *modelCall) bool {
		return c.waits == group && (m.owner[group] == 0 || m.owner[group] == c.owner)
	})
}

// inOrder returns the calls in line.
func (m *model) inOrder() []*modelCall {
	list := slices.DeleteFunc(slices.Clone(m.calls), func(c *modelCall) bool { return c.waits == "" })
	slices.SortFunc(list, func(a, b *modelCall) int { return a.order - b.order })
	return list
}

// settle hands free slots on until nothing changes. It returns what calls learn.
func (m *model) settle(events *[]string) {
	for changed := true; changed; {
		changed = false
		for _, c := range m.inOrder() {
			g := c.waits
			if m.holder(g) != nil || m.owner[g] != 0 && m.owner[g] != c.owner {
				continue
			}
			c.waits = ""
			c.has = append(c.has, g)
			if done, refused := m.proceed(c, false); done {
				*events = append(*events, strings.TrimSpace(fmt.Sprint(c.id, " ", refused)))
			}
			changed = true
			break
		}
	}
	*events = append(*events, m.broken...)
	m.broken = nil
}

// Groups agree with the model after each of many random events.
func TestGroupsAgainstModel(t *testing.T) {
	for seed := range uint64(rounds.Of(40, 150)) {
		synctest.Test(t, func(t *testing.T) { runModel(t, seed, 120) })
	}
}

// A modelRun drives both.
type modelRun struct {
	t       *testing.T
	rng     *rand.Rand
	gs      *Groups
	m       *model
	owners  []*Owner
	waiters map[int]*Waiter
	running []*modelCall // calls with their slot
	events  chan string
	log     []string
}

var modelGroups = []string{"a", "b", "c"}

func runModel(t *testing.T, seed uint64, steps int) {
	r := &modelRun{t: t, rng: rand.New(rand.NewPCG(seed, 7)), gs: NewGroups(), waiters: map[int]*Waiter{}, events: make(chan string, 1000)}
	r.m = &model{owner: map[string]int{}, lost: map[[2]any]bool{}}
	for _, g := range modelGroups {
		r.gs.Add(g)
	}
	for i := range 4 {
		o := new(Owner)
		o.Init(i+1, r.gs)
		r.owners = append(r.owners, o)
	}
	for id := range steps {
		var want []string
		r.event(id, &want)
		r.m.settle(&want)
		synctest.Wait()
		var got []string
		for len(r.events) > 0 {
			got = append(got, <-r.events)
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) || r.state() != r.m.String() {
			t.Fatalf("seed %d, after\n%s\ngot  %q\nwant %q\nstate %s\nwant  %s", seed, strings.Join(r.log, "\n"), got, want, r.state(), r.m)
		}
		for _, e := range got {
			if c := r.find(e); c != nil {
				r.running = append(r.running, c)
			}
		}
	}
	for _, o := range r.owners { // the end: nothing is left
		o.Leave()
	}
	for _, c := range r.running {
		r.waiters[c.id].Release()
	}
	for range 100 {
		synctest.Wait()
		for len(r.events) > 0 {
			var id int
			fmt.Sscan(<-r.events, &id)
			r.waiters[id].Release()
		}
	}
	for _, s := range r.gs.Status() {
		if s.Holder != nil || len(s.Waiting) > 0 {
			t.Errorf("seed %d left: %+v", seed, s)
		}
	}
}

// find returns the call that an event says to run.
func (r *modelRun) find(event string) *modelCall {
	for _, c := range r.m.calls {
		if fmt.Sprint(c.id) == event && !c.keeps {
			return c
		}
	}
	return nil
}

// event makes a random event happen to both.
func (r *modelRun) event(id int, want *[]string) {
	owner := r.rng.IntN(len(r.owners)) + 1
	o := r.owners[owner-1]
	c := &modelCall{id: id, owner: owner}
	var w *Waiter
	switch n := r.rng.IntN(10); {
	case n < 3: // a call
		c.groups = []string{modelGroups[r.rng.IntN(3)]}
		w = NewWaiter(nil, r.gs.Add(c.groups[0]), nil)
		w.Owner, w.NoWait = o, r.rng.IntN(5) == 0
	case n < 6: // Acquire, perhaps within a call
		c.keeps = true
		for _, g := range modelGroups {
			// A refused Acquire of three could release two slots. What their next holders do at the same
			// time has more than one right result.
			if r.rng.IntN(2) == 0 && len(c.groups) < 2 {
				c.groups = append(c.groups, g)
			}
		}
		var call *Waiter
		var chain []uint64
		if len(r.running) > 0 && r.rng.IntN(2) == 0 {
			c.within = r.running[r.rng.IntN(len(r.running))]
			c.owner, o = c.within.owner, r.owners[c.within.owner-1]
			call, chain = r.waiters[c.within.id], []uint64{r.waiters[c.within.id].ID}
			for _, other := range r.m.calls {
				if other.within == c.within { // a handler acquires one thing at a time
					return
				}
			}
		}
		var err error
		if w, err = o.NewHold(c.groups, call, chain); err != nil {
			r.t.Fatal(err)
		}
	case n < 8 && len(r.running) > 0: // a call ends
		i := r.rng.IntN(len(r.running))
		c := r.running[i]
		for _, other := range r.m.calls {
			if other.within == c {
				return
			}
		}
		r.log = append(r.log, fmt.Sprint("end of ", c.id))
		r.running = slices.Delete(r.running, i, i+1)
		r.m.end(c)
		r.waiters[c.id].Release()
		return
	case n == 8: // Release
		g := modelGroups[r.rng.IntN(3)]
		r.log = append(r.log, fmt.Sprint("session ", owner, " releases ", g))
		delete(r.m.lost, [2]any{owner, g})
		if r.m.owner[g] == owner {
			delete(r.m.owner, g)
			for _, c := range r.m.inOrder() {
				if c.waits == g && c.before {
					r.m.step++
					c.before, c.order = false, r.m.step
				}
			}
		}
		o.Release(g)
		return
	default: // a waiter gives up
		if waiting := r.m.inOrder(); len(waiting) > 0 {
			c := waiting[r.rng.IntN(len(waiting))]
			r.log = append(r.log, fmt.Sprint(c.id, " gives up"))
			r.m.end(c)
			if _, _, ok := r.waiters[c.id].GiveUp(); !ok {
				r.t.Fatal("a waiter does not give up")
			}
		}
		return
	}
	within := -1
	if c.within != nil {
		within = c.within.id
	}
	r.log = append(r.log, fmt.Sprintf("%d: session %d, %v, acquires %v, nowait %v, within %d", id, c.owner, c.groups, c.keeps, w.NoWait, within))
	r.waiters[id] = w
	r.m.calls = append(r.m.calls, c)
	if done, refused := r.m.proceed(c, w.NoWait); done {
		*want = append(*want, strings.TrimSpace(fmt.Sprint(id, " ", refused)))
	}
	w.Start(func() {
		why := ""
		if refusal := w.Refusal(); refusal != nil {
			why = "aborted"
			if refusal.Busy {
				why = "busy"
			}
		}
		r.events <- strings.TrimSpace(fmt.Sprint(id, " ", why))
	})
}

// state describes the groups: owner, running call, lines.
func (r *modelRun) state() string {
	var b strings.Builder
	for _, s := range r.gs.Status() {
		fmt.Fprintf(&b, "%s: %v %v %v; ", s.Name, s.Holder, s.Owned, s.Waiting)
	}
	return b.String()
}

func (m *model) String() string {
	var b strings.Builder
	for _, g := range modelGroups {
		var holder any
		if c := m.holder(g); c != nil {
			holder = c.owner
		}
		if m.owner[g] != 0 {
			holder = m.owner[g]
		}
		var before, waiting []any
		for _, c := range m.inOrder() {
			switch {
			case c.waits != g:
			case c.before:
				before = append(before, c.owner)
			default:
				waiting = append(waiting, c.owner)
			}
		}
		fmt.Fprintf(&b, "%s: %v %v %v; ", g, holder, m.owner[g] != 0, append(before, waiting...))
	}
	return b.String()
}

// MaxHold, and the order of everything else, in time.
func TestMaxHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gs := NewGroups()
		gs.MaxHold = time.Second
		g := gs.Add("g")
		var a, b Owner
		a.Init("a", gs)
		b.Init("b", gs)
		hold := func() {
			w, _ := a.NewHold([]string{"g"}, nil, nil)
			w.Start(func() {})
			synctest.Wait()
		}
		hold()
		time.Sleep(time.Minute)
		ran := make(chan time.Time, 1)
		other := NewWaiter(nil, g, nil)
		other.Owner = &b
		other.Start(func() { ran <- time.Now() })
		if d := time.Since(<-ran); d != 0 {
			t.Error("an overdue group is taken late,", d)
		}
		other.Release()
		lost := NewWaiter(nil, g, nil)
		lost.Owner = &a
		lost.Start(func() {})
		if lost.Refusal() == nil || lost.Refusal().Busy {
			t.Error("a call after the loss goes on")
		}
		hold()
		if !a.Busy() || b.Busy() {
			t.Error("busy")
		}
		a.Leave()
		if w, err := a.NewHold([]string{"g"}, nil, nil); err != nil {
			t.Error(err)
		} else {
			w.Start(func() {})
			synctest.Wait()
			if w.Refusal() == nil || a.Busy() {
				t.Error("one that has left acquires")
			}
		}
	})
}
