package transport

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

func TestReadLeasePass(t *testing.T) {
	var lease readLease
	first, ok := lease.pass(0, leader)
	if !ok || first.holder() != leader || lease.current() != first {
		t.Fatalf("got %d, %v", first, ok)
	}
	second := lease.mustPass(first, nobody)
	third, ok := lease.pass(second, leader)
	if !ok || third == first || third.holder() != leader {
		t.Errorf("a tenure of later has the stamp of an earlier: %d, %d", first, third)
	}
	if _, ok := lease.pass(first, nobody); ok {
		t.Error("an earlier tenure passed the turn on")
	}
	if third.holder() == nobody || leaseLost.holder() != nobody {
		t.Error("a tenure looks like that of the deposed")
	}
	defer func() {
		if recover() == nil {
			t.Error("must let an earlier tenure pass the turn on")
		}
	}()
	lease.mustPass(second, caller)
}

// Many goroutines pass one turn around: one at a time has it.
func TestReadLeaseIsExclusive(t *testing.T) {
	var lease readLease
	var holding atomic.Int32
	var wg sync.WaitGroup
	got := 0 // whoever has the lease counts; the race detector watches
	for range 8 {
		wg.Go(func() {
			for n := 0; n < 5000; {
				s := lease.current()
				if s.holder() != nobody {
					runtime.Gosched()
					continue
				}
				if s, ok := lease.pass(s, caller); ok {
					if holding.Add(1) != 1 {
						t.Error("two have the turn")
					}
					got++
					n++
					holding.Add(-1)
					lease.mustPass(s, nobody)
				}
			}
		})
	}
	wg.Wait()
	if got != 8*5000 {
		t.Errorf("the turn was had %d times, want %d", got, 8*5000)
	}
}
