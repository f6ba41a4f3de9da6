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
		t.Errorf("two changes of the lease have the same epoch: %d, %d", first, third)
	}
	if _, ok := lease.pass(first, nobody); ok {
		t.Error("an old epoch changed the lease")
	}
	if third.holder() == nobody || leaseLost.holder() != nobody {
		t.Error("a valid epoch looks like leaseLost")
	}
	defer func() {
		if recover() == nil {
			t.Error("mustPass accepted an old epoch")
		}
	}()
	lease.mustPass(second, caller)
}

// With many goroutines competing for a lease, one at a time holds it.
func TestReadLeaseIsExclusive(t *testing.T) {
	var lease readLease
	var holding atomic.Int32
	var wg sync.WaitGroup
	held := 0 // written by the holder only, for the race detector
	for range 8 {
		wg.Go(func() {
			for n := 0; n < 5000; {
				e := lease.current()
				if e.holder() != nobody {
					runtime.Gosched()
					continue
				}
				if e, ok := lease.pass(e, caller); ok {
					if holding.Add(1) != 1 {
						t.Error("two goroutines hold the lease")
					}
					held++
					n++
					holding.Add(-1)
					lease.mustPass(e, nobody)
				}
			}
		})
	}
	wg.Wait()
	if held != 8*5000 {
		t.Errorf("the lease was held %d times, want %d", held, 8*5000)
	}
}
