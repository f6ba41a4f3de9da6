package transport

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Calls are parked, answered, and now and then roused by somebody else. When
// the holder has waited, each that it has woken has run.
func TestMuster(t *testing.T) {
	const callers, rounds = 16, 2000
	m := &muster{whole: make(chan struct{}, 1)}
	var woken, ran [callers]atomic.Int64 // times; woken is the holder's
	var calls [callers]*Call
	var wg sync.WaitGroup
	for i := range calls {
		k := &Call{wake: make(chan bool, 1)}
		calls[i] = k
		wg.Go(func() {
			for ran[i].Load() < rounds {
				if !k.state.CompareAndSwap(callRunning, callParked) { // answered before it slept
					ran[i].Add(1)
					k.state.Store(callRunning)
					continue
				}
				counted := <-k.wake
				answered := k.answered()
				if answered {
					ran[i].Add(1)
				}
				if counted {
					m.ran()
				}
				if answered {
					k.state.Store(callRunning)
				}
			}
		})
	}
	var stop atomic.Bool
	var rouser sync.WaitGroup
	rouser.Go(func() { // the tick
		r := rand.New(rand.NewPCG(1, 1))
		for !stop.Load() {
			calls[r.IntN(callers)].rouse(callRunning)
			runtime.Gosched()
		}
	})
	r := rand.New(rand.NewPCG(2, 2))
	for left := callers * rounds; left > 0; {
		var chosen []int
		for i, k := range calls {
			if woken[i].Load() < rounds && ran[i].Load() == woken[i].Load() && !k.answered() && r.IntN(2) == 0 {
				chosen = append(chosen, i)
				woken[i].Add(1)
				m.answered = append(m.answered, k)
			}
		}
		left -= len(chosen)
		m.wakeAnswered(time.Now())
		if len(m.answered) > 0 {
			t.Fatal("calls are left that have not been woken")
		}
		if !m.called {
			runtime.Gosched()
			continue
		}
		m.wait()
		if m.called || m.anyWoken() {
			t.Fatalf("after the wait: called %v, %x", m.called, m.word.Load())
		}
	}
	wg.Wait()
	stop.Store(true)
	rouser.Wait()
	if v := m.word.Load(); v != 0 || len(m.whole) != 0 {
		t.Errorf("at the end: %x, %d tokens", v, len(m.whole))
	}
}

// A caller that is woken and asks nothing more keeps nobody's request back.
func TestMusterOfIdlers(t *testing.T) {
	var m muster
	m.whole = make(chan struct{}, 1)
	var parked []*Call
	var ran atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		k := &Call{wake: make(chan bool, 1)}
		k.state.Store(callParked)
		parked = append(parked, k)
		wg.Go(func() {
			counted := <-k.wake
			ran.Add(1)
			if counted {
				m.ran()
			}
		})
	}
	m.answered = parked
	m.wakeAnswered(time.Now())
	if !m.called {
		t.Fatal("nobody has been woken")
	}
	m.wait()
	if n := ran.Load(); n != 8 {
		t.Errorf("%d of 8 have run", n)
	}
	wg.Wait()
}
