package weakcache

import (
	"runtime"
	"testing"
)

type value struct {
	n int
	_ *value // so that it is not a tiny allocation
}

func TestSharesValues(t *testing.T) {
	c := New[int, value](100)
	if v := c.Get(1); v != nil {
		t.Fatalf("%v in an empty cache", v)
	}
	v := &value{n: 1}
	if got := c.Add(1, v, 10); got != v {
		t.Fatalf("added %p, have %p", v, got)
	}
	if got := c.Add(1, &value{n: 2}, 10); got != v {
		t.Fatalf("a second value for a key: %v", got)
	}
	if got := c.Get(1); got != v {
		t.Fatalf("have %p, want %p", got, v)
	}
}

// Values in use stay, whatever the limit; others leave in the order of their last use.
func TestKeepsRecentValues(t *testing.T) {
	c := New[int, value](25)
	used := c.Add(0, &value{n: 0}, 10)
	for k := 1; k < 4; k++ {
		c.Add(k, &value{n: k}, 10)
		c.Get(1)
	}
	collect(c, 3)
	for k, want := range []bool{true, true, false, true} {
		if have := c.Get(k) != nil; have != want {
			t.Errorf("value %d: %v, want %v", k, have, want)
		}
	}
	runtime.KeepAlive(used)
}

// A value beyond the limit is shared while it is in use.
func TestTooLargeToKeep(t *testing.T) {
	c := New[int, value](25)
	v := c.Add(1, &value{n: 1}, 26)
	if c.Get(1) != v || c.recent.Len() > 0 || c.size > 0 {
		t.Errorf("%d kept values of %d bytes", c.recent.Len(), c.size)
	}
	runtime.KeepAlive(v)
	collect(c, 0)
	c.Add(1, &value{n: 2}, 10)
	if got := c.Get(1); got == nil || got.n != 2 {
		t.Errorf("a new value: %v", got)
	}
}

// collect runs the garbage collector until there are n entries.
func collect(c *Cache[int, value], n int) {
	for range 1000 {
		runtime.GC()
		c.mu.Lock()
		have := len(c.entries)
		c.mu.Unlock()
		if have <= n {
			return
		}
		runtime.Gosched()
	}
}
