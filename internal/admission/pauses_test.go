package admission

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// paused returns how long a new handshake of a peer waits.
func paused(h *Handshakes[int], peer string, most time.Duration) time.Duration {
	e, _ := h.Enter(peer, 0)
	defer h.Leave(e)
	began := time.Now()
	h.Pause(e, most, nil)
	return time.Since(began)
}

// Twenty failures at once, and ten a second, cost nothing. Each further one adds to the pause of
// the peer, up to a second, and it is forgotten later.
func TestPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Handshakes[int]
		h.Init(100)
		fail := func(n int) {
			for range n {
				h.Failed("a")
			}
		}
		check := func(what, peer string, want time.Duration) {
			t.Helper()
			if d := paused(&h, peer, time.Hour); d != want {
				t.Errorf("%s: %v, want %v", what, d, want)
			}
		}
		check("a new peer", "a", 0)
		fail(forgiven)
		check("forgiven", "a", 0)
		fail(3)
		check("three more", "a", 3*failureTime)
		fail(1000)
		check("another peer", "b", 0)
		if d := paused(&h, "a", time.Millisecond); d != time.Millisecond {
			t.Errorf("limited: %v", d)
		}
		check("many", "a", maxPause-time.Millisecond)
		for range 50 {
			fail(1)
			time.Sleep(failureTime)
		}
		check("ten a second", "a", 0)
		time.Sleep(forgiven * failureTime)
		fail(forgiven)
		check("forgotten", "a", 0)
	})
}

// A dropped handshake does not wait, and a closing server does not either.
func TestPauseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Handshakes[int]
		h.Init(1)
		for range 100 {
			h.Failed("a")
		}
		began := time.Now()
		first, _ := h.Enter("a", 1)
		go func() {
			time.Sleep(time.Millisecond)
			h.Enter("a", 2)
		}()
		h.Pause(first, time.Hour, nil)
		if d := time.Since(began); d != time.Millisecond {
			t.Errorf("dropped after %v", d)
		}
		h.Pause(first, time.Hour, nil)
		stop := make(chan struct{})
		close(stop)
		third, _ := h.Enter("a", 3)
		h.Pause(third, time.Hour, stop)
		if d := time.Since(began); d != time.Millisecond {
			t.Errorf("stopped after %v", d)
		}
	})
}

// What is remembered of peers has a limit, and goes when it is over.
func TestPausesOfManyPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Handshakes[int]
		h.Init(1)
		for i := range 3 * maxFailing {
			h.Failed(fmt.Sprint(i))
		}
		if n := len(h.failures); n > maxFailing {
			t.Errorf("%d peers are remembered", n)
		}
		time.Sleep(time.Minute)
		for range 3 * maxFailing {
			h.Failed("a")
		}
		if n := len(h.failures); n > 2 {
			t.Errorf("%d peers are remembered for too long", n)
		}
	})
}
