package limits

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

func begun(turn <-chan struct{}) bool {
	if turn == nil {
		return true
	}
	select {
	case <-turn:
		return true
	default:
		return false
	}
}

// There is a turn for each processor, and one less for a second after a read of others.
func TestTurnsLeaveAProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	synctest.Test(t, func(t *testing.T) {
		var turns Turns
		for i := range 4 {
			if turns.Full() != (i >= 3) {
				t.Errorf("%d turns: full is %v", i, turns.Full())
			}
			if !begun(turns.Begin()) {
				t.Fatalf("turn %d waits", i)
			}
		}
		fifth := turns.Begin()
		if begun(fifth) {
			t.Fatal("five turns on four processors")
		}
		turns.Note(Monotonic())
		turns.End()
		if begun(fifth) {
			t.Fatal("no processor is left for others")
		}
		turns.End()
		if !begun(fifth) {
			t.Fatal("the fifth waits on")
		}
		time.Sleep(noteTime)
		if !begun(turns.Begin()) {
			t.Error("a processor stays free without others")
		}
		for range 4 {
			turns.End()
		}
		if turns.Full() || turns.running != 0 {
			t.Errorf("%d turns are left, full is %v", turns.running, turns.Full())
		}
	})
}

// A reader that has had a turn waits behind all in line, on one processor as well.
func TestTurnsAreInOrder(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var turns Turns
	turns.Begin()
	var line []<-chan struct{}
	for range 10 {
		line = append(line, turns.Begin())
	}
	for range 100 {
		line = append(line, turns.Next())
		for i, turn := range line {
			if begun(turn) != (i == 0) {
				t.Fatalf("the turn at %d of the line: %v", i, begun(turn))
			}
		}
		line = line[1:]
	}
	for range 11 {
		turns.End()
	}
	if turns.running != 0 || turns.Full() {
		t.Errorf("%d turns are left, full is %v", turns.running, turns.Full())
	}
}

// A reader sleeps if others have much to do, one at a time.
func TestTurnsRest(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	synctest.Test(t, func(t *testing.T) {
		var turns Turns
		lasted := time.Duration(0)
		rest := func(reads int) time.Duration {
			for range reads {
				turns.Note(Monotonic())
			}
			began := time.Now()
			turns.Rest(MonotonicAt(began) - lasted)
			return time.Since(began)
		}
		for reads, want := range []time.Duration{0, 0, TurnTime, TurnTime} {
			if got := rest(reads); got != want {
				t.Errorf("after %d reads of others it sleeps for %v", reads, got)
			}
		}
		for _, lasted = range []time.Duration{TurnTime / 2, 3 * TurnTime, 2 * maxRest} {
			if got := rest(2); got != min(max(lasted, TurnTime), maxRest) {
				t.Errorf("after a turn of %v it sleeps for %v", lasted, got)
			}
		}
		lasted = 0
		go rest(2)
		synctest.Wait()
		if got := rest(2); got != 0 {
			t.Errorf("two sleep at a time, for %v", got)
		}
		time.Sleep(TurnTime)
	})
}
