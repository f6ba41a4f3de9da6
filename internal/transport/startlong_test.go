package transport

import "testing"

// The calls of a slow peer start long, and one in maxStartLong at least finds out whether it
// still is slow.
func TestStartsLong(t *testing.T) {
	table := new(callTable)
	starts := func(calls int) (long int) {
		for range calls {
			if table.startsLongLocked() {
				long++
			}
		}
		return long
	}
	if n := starts(10); n != 0 {
		t.Errorf("%d calls of a quick peer start long", n)
	}
	for i, want := range []int{0, 1, 3, 7, 15, 31, 63, 127, 255, 256, 256} {
		table.becameLongLocked()
		if n := starts(want + 1); n != want {
			t.Errorf("%d calls start long after %d that became long, want %d", n, i+1, want)
		}
	}
	if n := starts(10); n != 0 {
		t.Errorf("%d calls start long once the peer is quick", n)
	}
	table.becameLongLocked()
	if n := starts(10); n != 0 {
		t.Errorf("%d calls start long after a single one became long", n)
	}
}
