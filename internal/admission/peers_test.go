package admission

import (
	"testing"
	"testing/synctest"
	"time"
)

// A bucket is full at first, refills evenly, and never has more than the tokens of a second.
func TestBucket(t *testing.T) {
	var b bucket
	now := time.Now()
	take := func() (n int) {
		for b.take(now, 10) {
			n++
		}
		return n
	}
	for i, step := range []struct {
		after time.Duration
		want  int
	}{{0, 10}, {99 * time.Millisecond, 0}, {time.Millisecond, 1}, {250 * time.Millisecond, 2}, {50 * time.Millisecond, 1}, {time.Second, 10}, {time.Hour, 10}, {-time.Minute, 0}} {
		now = now.Add(step.after)
		if got := take(); got != step.want {
			t.Errorf("step %d: %d tokens, want %d", i, got, step.want)
		}
	}
}

// Peers are counted apart, and nothing is left of one without connections.
func TestPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Peers
		p.Init(PeerLimits{Conns: 2, Waiting: 1, CallRate: 5})
		a, _ := p.Enter("a")
		b, ok := p.Enter("a")
		_, third := p.Enter("a")
		other, otherOK := p.Enter("b")
		if !ok || third || !otherOK {
			t.Fatalf("two connections of a peer are allowed; got %v, %v, %v", ok, third, otherOK)
		}
		if !a.wait() || b.wait() || !other.wait() {
			t.Error("one connection of a peer may wait")
		}
		a.waited()
		a.waited()
		if !b.wait() {
			t.Error("an admitted connection waits on")
		}
		b.waited()
		other.waited()
		b.Leave()
		calls := 0
		for a.TakeCall(time.Now()) {
			calls++
		}
		a.Leave()
		if a, _ = p.Enter("a"); calls != 5 || a.TakeCall(time.Now()) {
			t.Errorf("%d calls, and more by another connection", calls)
		}
		a.Leave()
		other.Leave()
		time.Sleep(time.Second)
		synctest.Wait()
		if n := len(p.byKey); n != 0 {
			t.Errorf("%d peers are left", n)
		}
	})
}
