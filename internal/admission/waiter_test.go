package admission

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// newGroup returns a group alone.
func newGroup(name string) *Group { return NewGroups().Add(name) }

// next returns the first in line, as release does.
func (s *Semaphore) next() *Waiter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nextLocked()
}

// pass passes on a slot that no waiter holds.
func (s *Semaphore) pass() { s.handOver(s.next()) }

// length returns the length of the line.
func (s *Semaphore) length() (n int) {
	for range s.line.all(inLine) {
		n++
	}
	return n
}

func (s *Semaphore) wantIdle(t *testing.T, free int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free != free || s.length() != 0 || s.line.last != nil {
		t.Errorf("left: %d free, %d in line, want %d free", s.free, s.length(), free)
	}
}

// A waiter may give up after one semaphore has handed it a slot, and before it is
// in line of the next: it has waited for the first then, and the next in line gets
// the slot.
func TestGiveUpBetweenSemaphores(t *testing.T) {
	first, second := NewSemaphore(0), newGroup("second")
	second.one.free = 0
	ran := make(chan int, 3)
	var all []*Waiter
	for i := range 3 {
		w := NewWaiter(first, second, nil)
		if !w.Start(func() { ran <- i }) {
			t.Fatal("a waiter does not wait")
		}
		all = append(all, w)
	}
	between := first.next() // as release does
	if g, _, ok := between.GiveUp(); !ok || g != nil {
		t.Fatalf("got %v, %v", g, ok)
	}
	if between.acquired() || second.one.length() != 0 {
		t.Error("it has passed all the same")
	}
	first.pass()
	if _, _, ok := between.GiveUp(); ok {
		t.Error("it gave up twice")
	}
	if g, _, ok := all[1].GiveUp(); !ok || g != second { // releases the first semaphore
		t.Fatalf("got %v, %v", g, ok)
	}
	second.one.pass()
	if i := <-ran; i != 2 {
		t.Errorf("%d has run", i)
	}
	if _, _, ok := all[2].GiveUp(); ok {
		t.Error("one that runs gave up")
	}
	all[2].Release()
	all[2].Release()
	first.wantIdle(t, 1)
	second.one.wantIdle(t, 1)
}

// A slot goes past waiters that have given up to the first one that has not.
func TestReleasePastGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSemaphore(1)
		var ran []int
		var all []*Waiter
		for i := range 4 {
			w := NewWaiter(s, nil, nil)
			w.Start(func() { ran = append(ran, i) })
			all = append(all, w)
		}
		for _, w := range all[1:3] { // as if each gives up once it is out of the line
			w.gaveUp = true
		}
		synctest.Wait()
		all[0].Release()
		if got := started(&ran); !slices.Equal(got, []int{0, 3}) {
			t.Errorf("got %v", got)
		}
		all[3].Release()
		s.wantIdle(t, 1)
	})
}

// started waits in a bubble, and returns who has run since.
func started(ran *[]int) []int {
	synctest.Wait()
	list := *ran
	*ran = nil
	return list
}

// Waiters run in the order of Start, as many at a time as there are slots.
func TestWaiterOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSemaphore(2)
		var ran []int
		var all []*Waiter
		for i := range 6 {
			w := NewWaiter(s, nil, nil)
			if waits := w.Start(func() { ran = append(ran, i) }); waits != (i >= 2) {
				t.Errorf("%d waits: %v", i, waits)
			}
			synctest.Wait()
			all = append(all, w)
		}
		if got := started(&ran); !slices.Equal(got, []int{0, 1}) {
			t.Errorf("got %v", got)
		}
		if g, _, ok := all[3].GiveUp(); !ok || g != nil || s.length() != 3 {
			t.Errorf("got %v, %v, %d in line", g, ok, s.length())
		}
		for i, want := range [][]int{{2}, {4}, {5}} {
			all[i].Release()
			if got := started(&ran); !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		}
		for _, i := range []int{3, 4, 5} {
			all[i].Release()
		}
		s.wantIdle(t, 2)
	})
}

// ReleaseGroup lets others of the group run, and keeps the semaphore.
func TestReleaseGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, g := NewSemaphore(1), newGroup("table")
		var ran []int
		run := func(i int) func() { return func() { ran = append(ran, i) } }
		first, same, other := NewWaiter(s, g, nil), NewWaiter(s, nil, nil), NewWaiter(nil, g, nil)
		first.Start(run(0))
		same.Start(run(1))
		other.Start(run(2))
		if got := started(&ran); !slices.Equal(got, []int{0}) {
			t.Errorf("got %v", got)
		}
		for range 2 {
			first.ReleaseGroup()
		}
		if got := started(&ran); !slices.Equal(got, []int{2}) {
			t.Errorf("got %v", got)
		}
		first.Release()
		if got := started(&ran); !slices.Equal(got, []int{1}) {
			t.Errorf("got %v", got)
		}
		same.ReleaseGroup()
		if s.free != 0 {
			t.Error("a semaphore was released as a group")
		}
		same.Release()
		other.Release()
		s.wantIdle(t, 1)
		g.one.wantIdle(t, 1)
	})
}

func TestZeroWaiter(t *testing.T) {
	w := new(Waiter)
	w.ReleaseGroup()
	w.Release()
	done := make(chan struct{})
	if w.Start(func() { close(done) }) {
		t.Error("a waiter for nothing waits")
	}
	<-done
	if _, _, ok := w.GiveUp(); ok {
		t.Error("one that runs gave up")
	}
}

// Waiting takes no goroutine.
func TestWaitersTakeNoGoroutine(t *testing.T) {
	g := newGroup("table")
	holder := NewWaiter(nil, g, nil)
	held := make(chan struct{})
	holder.Start(func() { close(held) })
	<-held
	before := runtime.NumGoroutine()
	var all []*Waiter
	for range 1000 {
		w := NewWaiter(nil, g, nil)
		w.Start(func() { t.Error("two hold the group") })
		all = append(all, w)
	}
	if n := runtime.NumGoroutine(); n > before+10 {
		t.Errorf("%d goroutines, %d before", n, before)
	}
	for _, w := range all {
		if at, _, ok := w.GiveUp(); !ok || at != g {
			t.Errorf("got %v, %v", at, ok)
		}
	}
	holder.Release()
	g.one.wantIdle(t, 1)
}

// A stormMeter counts the holders of a semaphore.
type stormMeter struct{ now, most atomic.Int64 }

func (m *stormMeter) add(t *testing.T, slots int64) {
	n := m.now.Add(1)
	if n > slots {
		t.Errorf("%d hold, %d slots", n, slots)
	}
	m.most.Store(max(m.most.Load(), n))
}

// Waiters for semaphores and shared groups run, release the group early, and give
// up at any moment: each of them either runs or gives up, no slot has two holders,
// and none is lost.
func TestWaiterStorm(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 2))
			semaphores := []*Semaphore{NewSemaphore(1), NewSemaphore(3), nil}
			groups := []*Group{newGroup("a"), newGroup("b"), nil}
			var slots, held [3]stormMeter
			var ran, gaveUp atomic.Int64
			var wg sync.WaitGroup
			for range 400 {
				i, j := rng.IntN(3), rng.IntN(3)
				runs, keeps, waits := rng.IntN(8), rng.IntN(3), rng.IntN(300)
				w := NewWaiter(semaphores[i], groups[j], nil)
				ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
				wg.Add(1)
				w.Start(func() {
					defer wg.Done()
					defer w.Release()
					if semaphores[i] != nil {
						slots[i].add(t, int64(1+2*i))
						defer slots[i].now.Add(-1)
					}
					held[j].add(t, map[bool]int64{true: 1, false: 400}[groups[j] != nil])
					time.Sleep(ms(runs))
					held[j].now.Add(-1)
					if keeps > 0 { // as an answer waiting for room
						w.ReleaseGroup()
						time.Sleep(ms(keeps))
					}
					ran.Add(1)
				})
				go func() {
					time.Sleep(ms(waits))
					if _, _, ok := w.GiveUp(); ok {
						gaveUp.Add(1)
						wg.Done()
					}
				}()
				time.Sleep(ms(rng.IntN(3)))
			}
			wg.Wait()
			time.Sleep(time.Second) // the last to give up
			if ran.Load()+gaveUp.Load() != 400 || ran.Load() < 50 || gaveUp.Load() == 0 || slots[1].most.Load() != 3 {
				t.Errorf("%d ran, %d gave up, %d at a time", ran.Load(), gaveUp.Load(), slots[1].most.Load())
			}
			semaphores[0].wantIdle(t, 1)
			semaphores[1].wantIdle(t, 3)
			groups[0].one.wantIdle(t, 1)
			groups[1].one.wantIdle(t, 1)
		})
	}
}

// The same on real goroutines, for the race detector: waiters give up while they
// move on between semaphores.
func TestWaiterRaces(t *testing.T) {
	s, g := NewSemaphore(2), newGroup("table")
	var holders atomic.Int64
	var wg sync.WaitGroup
	for seed := range uint64(8) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, 3))
			for range 500 {
				w, over := NewWaiter(s, g, nil), make(chan struct{})
				w.Start(func() {
					defer close(over)
					defer w.Release()
					if holders.Add(1) != 1 {
						t.Error("two hold the group")
					}
					holders.Add(-1)
				})
				for range rng.IntN(4) {
					runtime.Gosched()
				}
				if _, _, ok := w.GiveUp(); !ok {
					<-over
				}
			}
		})
	}
	wg.Wait()
	s.wantIdle(t, 2)
	g.one.wantIdle(t, 1)
}
