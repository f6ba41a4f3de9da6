package reconnect

import (
	"math/rand/v2"
	"testing"
	"time"
)

// The gaps stay within their bounds, grow, and begin again after a connection that lived.
func TestBackoffGaps(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		b := backoff{rand: r.Float64}
		var before time.Duration
		for i := range 20 {
			base := b.gap
			gap := b.next()
			switch {
			case i == 0 && (gap < firstLeast || gap >= firstMost):
				t.Fatal("the first gap is", gap)
			case gap < leastGap || gap > mostGap:
				t.Fatal("gap", i, "is", gap)
			case i > 0 && (float64(gap) > 1.6*1.3*float64(base)+1 || gap > 200*time.Millisecond && float64(gap) < 0.7*float64(min(time.Duration(1.6*float64(base)), 7*time.Second))-1):
				t.Fatal("gap", i, "is", gap, "after", base)
			}
			before = gap
		}
		if before < 5*time.Second {
			t.Fatal("the last gap is", before)
		}
		if b.lived(9 * time.Second); b.next() < time.Second {
			t.Fatal("a connection of 9 s reset the gap")
		}
		if b.lived(livedLong); b.next() >= firstMost {
			t.Fatal("a connection of 10 s did not reset the gap")
		}
	}
}

// At most a tenth of the calls of the last ten seconds is sent again, and at least ten.
func TestBudget(t *testing.T) {
	var b budget
	spend := func(now time.Duration) (n int) {
		for b.spend(now) {
			n++
		}
		return n
	}
	if n := spend(0); n != 10 {
		t.Fatal(n, "without calls")
	}
	b.calls.add(time.Second, 1000)
	if n := spend(2 * time.Second); n != 90 {
		t.Fatal(n, "after 1,000 calls and 10 spent")
	}
	if n := spend(9 * time.Second); n != 0 {
		t.Fatal(n, "within ten seconds")
	}
	if n := spend(30 * time.Second); n != 10 {
		t.Fatal(n, "after a pause")
	}
}
