package transport

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

func TestTurnPass(t *testing.T) {
	var turn turn
	first, ok := turn.pass(0, leader)
	if !ok || first.holder() != leader || turn.now() != first {
		t.Fatalf("got %d, %v", first, ok)
	}
	second := turn.must(first, nobody)
	third, ok := turn.pass(second, leader)
	if !ok || third == first || third.holder() != leader {
		t.Errorf("a tenure of later has the stamp of an earlier: %d, %d", first, third)
	}
	if _, ok := turn.pass(first, nobody); ok {
		t.Error("an earlier tenure passed the turn on")
	}
	if third.holder() == nobody || deposed.holder() != nobody {
		t.Error("a tenure looks like that of the deposed")
	}
	defer func() {
		if recover() == nil {
			t.Error("must let an earlier tenure pass the turn on")
		}
	}()
	turn.must(second, caller)
}

// Many goroutines pass one turn around: one at a time has it.
func TestTurnIsExclusive(t *testing.T) {
	var turn turn
	var holding atomic.Int32
	var wg sync.WaitGroup
	got := 0 // whoever has the turn counts; the race detector watches
	for range 8 {
		wg.Go(func() {
			for n := 0; n < 5000; {
				s := turn.now()
				if s.holder() != nobody {
					runtime.Gosched()
					continue
				}
				if s, ok := turn.pass(s, caller); ok {
					if holding.Add(1) != 1 {
						t.Error("two have the turn")
					}
					got++
					n++
					holding.Add(-1)
					turn.must(s, nobody)
				}
			}
		})
	}
	wg.Wait()
	if got != 8*5000 {
		t.Errorf("the turn was had %d times, want %d", got, 8*5000)
	}
}
