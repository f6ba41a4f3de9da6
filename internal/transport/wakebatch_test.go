package transport

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Calls are parked, answered, and now and then unparked by somebody else. When
// the holder has waited, each that it has woken has run.
func TestWakeBatch(t *testing.T) {
	const callers, rounds = 16, 2000
	m := &wakeBatch{allResumed: make(chan struct{}, 1)}
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
					m.resumed()
				}
				if answered {
					k.state.Store(callRunning)
				}
			}
		})
	}
	var stop atomic.Bool
	var rouser sync.WaitGroup
	rouser.Go(func() { // the watchdog
		r := rand.New(rand.NewPCG(1, 1))
		for !stop.Load() {
			calls[r.IntN(callers)].unpark(callRunning)
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
		if !m.woke {
			runtime.Gosched()
			continue
		}
		m.wait()
		if m.woke || m.anyPending() {
			t.Fatalf("after the wait: called %v, %x", m.woke, m.pending.Load())
		}
	}
	wg.Wait()
	stop.Store(true)
	rouser.Wait()
	if v := m.pending.Load(); v != 0 || len(m.allResumed) != 0 {
		t.Errorf("at the end: %x, %d tokens", v, len(m.allResumed))
	}
}

// A caller that is woken and asks nothing more keeps nobody's request back.
func TestWakeBatchWithoutRequests(t *testing.T) {
	var m wakeBatch
	m.allResumed = make(chan struct{}, 1)
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
				m.resumed()
			}
		})
	}
	m.answered = parked
	m.wakeAnswered(time.Now())
	if !m.woke {
		t.Fatal("nobody has been woken")
	}
	m.wait()
	if n := ran.Load(); n != 8 {
		t.Errorf("%d of 8 have run", n)
	}
	wg.Wait()
}
