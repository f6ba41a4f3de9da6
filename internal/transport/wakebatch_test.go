package transport

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/bsrpc/bsrpc/internal/limits"
)

// Calls are parked, answered, and now and then woken by another goroutine. After wait,
// each call woken by the batch has run.
func TestWakeBatch(t *testing.T) {
	const callers, rounds = 16, 2000
	var b wakeBatch
	b.init(nil)
	var woken, ran [callers]atomic.Int64 // how often; woken is written by the lease holder
	var calls [callers]*Call
	var wg sync.WaitGroup
	for i := range calls {
		call := NewCall()
		calls[i] = call
		wg.Go(func() {
			for ran[i].Load() < rounds {
				if !call.state.CompareAndSwap(callRunning, callParked) { // answered before it slept
					ran[i].Add(1)
					call.state.Store(callRunning)
					continue
				}
				counted := <-call.wake
				answered := call.answered()
				if answered {
					ran[i].Add(1)
				}
				if counted {
					b.resumed()
				}
				if answered {
					call.state.Store(callRunning)
				}
			}
		})
	}
	var stop atomic.Bool
	var others sync.WaitGroup
	others.Go(func() { // as the watchdog does
		r := rand.New(rand.NewPCG(1, 1))
		for !stop.Load() {
			calls[r.IntN(callers)].unpark(callRunning)
			runtime.Gosched()
		}
	})
	r := rand.New(rand.NewPCG(2, 2))
	for left := callers * rounds; left > 0; {
		chosen := 0
		for i, call := range calls {
			if woken[i].Load() < rounds && ran[i].Load() == woken[i].Load() && !call.answered() && r.IntN(2) == 0 {
				chosen++
				woken[i].Add(1)
				b.answered = append(b.answered, call)
			}
		}
		left -= chosen
		b.wakeAll(limits.Monotonic())
		if len(b.answered) > 0 {
			t.Fatal("answered calls were not woken")
		}
		if !b.woke {
			runtime.Gosched()
			continue
		}
		b.wait()
		if b.woke || b.anyPending() {
			t.Fatalf("after wait: woke %v, pending %x", b.woke, b.pending.Load())
		}
	}
	wg.Wait()
	stop.Store(true)
	others.Wait()
	if v := b.pending.Load(); v != 0 || len(b.allResumed) != 0 {
		t.Errorf("at the end: pending %x, %d tokens", v, len(b.allResumed))
	}
}

// wait does not wait for requests: a woken caller may make none.
func TestWakeBatchWithoutRequests(t *testing.T) {
	var b wakeBatch
	b.init(nil)
	var parked []*Call
	var ran atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		call := NewCall()
		call.state.Store(callParked)
		parked = append(parked, call)
		wg.Go(func() {
			counted := <-call.wake
			ran.Add(1)
			if counted {
				b.resumed()
			}
		})
	}
	b.answered = parked
	b.wakeAll(limits.Monotonic())
	if !b.woke {
		t.Fatal("no call was woken")
	}
	b.wait()
	if n := ran.Load(); n != 8 {
		t.Errorf("%d of 8 have run", n)
	}
	wg.Wait()
}
