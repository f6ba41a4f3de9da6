package admission

import (
	"slices"
	"testing"
	"testing/synctest"
)

// connsOf returns the connections of handshakes, sorted.
func connsOf(list []*Handshake[int]) (conns []int) {
	for _, e := range list {
		conns = append(conns, e.Conn)
	}
	slices.Sort(conns)
	return conns
}

// The victim is the oldest of the peer with the most; among peers with equally many, the
// oldest of all.
func TestHandshakesVictims(t *testing.T) {
	var h Handshakes[int]
	h.Init(3)
	enter := func(peer string, conn, want int) *Handshake[int] {
		t.Helper()
		e, dropped := h.Enter(peer, conn)
		if dropped == nil && want != 0 || dropped != nil && dropped.Conn != want {
			t.Errorf("%d from %s: dropped %v, want %d", conn, peer, dropped, want)
		}
		if dropped != nil {
			dropped.Interrupted()
		}
		return e
	}
	first := enter("a", 1, 0)
	enter("b", 2, 0)
	enter("b", 3, 0)
	enter("c", 4, 2) // b has the most
	d := enter("d", 5, 1)
	if !h.Leave(first) || h.Leave(d) || h.Leave(d) {
		t.Error("only the first has been dropped")
	}
	enter("c", 6, 0)
	enter("c", 7, 4)
	if conns := connsOf(h.DropAll()); !slices.Equal(conns, []int{3, 6, 7}) || h.n != 0 {
		t.Errorf("left: %v, counted as %d", conns, h.n)
	}
}

// A limit of one keeps the newest.
func TestHandshakesOfOne(t *testing.T) {
	var h Handshakes[int]
	h.Init(1)
	for i := range 3 {
		if _, dropped := h.Enter("a", i); (dropped != nil) != (i > 0) || dropped != nil && dropped.Conn != i-1 {
			t.Errorf("%d: dropped %v", i, dropped)
		}
	}
}

// A handshake is dropped or settled, and not both. DropAll returns the settled ones too, and does
// not drop them.
func TestHandshakesSettle(t *testing.T) {
	var h Handshakes[int]
	h.Init(1)
	first, _ := h.Enter("a", 1)
	if err := h.Settle(first); err != nil {
		t.Error(err)
	}
	second, dropped := h.Enter("a", 2)
	if dropped != nil {
		t.Errorf("%d is dropped", dropped.Conn)
	}
	if _, dropped = h.Enter("a", 3); dropped != second {
		t.Errorf("dropped %v, want the second", dropped)
	}
	if err := h.Settle(second); err != ErrDropped {
		t.Errorf("settling a dropped one: %v", err)
	}
	all := h.DropAll()
	if conns := connsOf(all); !slices.Equal(conns, []int{1, 3}) {
		t.Errorf("left: %v", conns)
	}
	for _, e := range append(all, second) {
		e.Interrupted()
		if h.Leave(e) != (e != first) {
			t.Errorf("%d: dropped %v", e.Conn, e == first)
		}
	}
	if all = h.DropAll(); all != nil {
		t.Errorf("left: %v", connsOf(all))
	}
}

// The end of a handshake waits for each interrupt of it: a later one would hit the connection.
func TestLeaveWaitsForInterrupts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Handshakes[int]
		h.Init(1)
		e, _ := h.Enter("a", 1)
		if err := h.Settle(e); err != nil {
			t.Fatal(err)
		}
		h.DropAll() // Shutdown
		h.DropAll() // and Close
		left := make(chan bool, 1)
		go func() { left <- h.Leave(e) }()
		for range 2 {
			synctest.Wait()
			if len(left) > 0 {
				t.Error("left before an interrupt")
			}
			e.Interrupted()
		}
		if <-left {
			t.Error("a settled handshake is not dropped")
		}
	})
}

// Without descriptors the older half of the peer with the most goes, and no only one.
func TestHandshakesRelieve(t *testing.T) {
	var h Handshakes[int]
	h.Init(9)
	if list := h.Relieve(); list != nil {
		t.Errorf("of none: %v", list)
	}
	for i, peer := range []string{"a", "b", "b", "b", "b", "b"} {
		h.Enter(peer, i)
	}
	for _, want := range [][]int{{1, 2}, {3}, {4}, nil} {
		var conns []int
		for _, e := range h.Relieve() {
			e.Interrupted()
			if conns = append(conns, e.Conn); !h.Leave(e) {
				t.Errorf("%d is not dropped", e.Conn)
			}
		}
		if !slices.Equal(conns, want) {
			t.Errorf("dropped %v, want %v", conns, want)
		}
	}
	if n := h.Count(); n != 2 || len(h.DropAll()) != 2 {
		t.Errorf("%d counted, want 2", n)
	}
}
