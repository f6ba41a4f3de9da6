// Package weakcache shares values made from keys. A value stays as long as it is in use
// anywhere, and the most recent ones stay longer.
//
// A cache of a fixed size drops what is in use, and makes it again for the next user, so
// that many users of many values share nothing. A cache without a limit keeps what one peer
// made it keep. This one refers to all values by weak pointers, and to the most recent ones
// by ordinary ones, within a limit.
package weakcache

import (
	"container/list"
	"runtime"
	"sync"
	"weak"
)

// A Cache contains values by their keys. It is safe for concurrent use.
type Cache[K comparable, V any] struct {
	most int // bytes of values kept while they are not in use

	mu      sync.Mutex // guards the rest
	entries map[K]*entry[K, V]
	recent  *list.List // of *entry with kept values, the most recent first
	size    int        // of their values
}

// An entry is a value in the cache.
type entry[K comparable, V any] struct {
	key  K
	ref  weak.Pointer[V]
	kept *V // nil if the value is not among the recent ones
	size int
	at   *list.Element // in recent, if kept
}

// New returns an empty cache, which keeps values of most bytes in all.
func New[K comparable, V any](most int) *Cache[K, V] {
	return &Cache[K, V]{most: most, entries: make(map[K]*entry[K, V]), recent: list.New()}
}

// Get returns the value of k, nil if there is none.
func (c *Cache[K, V]) Get(k K) *V {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.getLocked(k)
}

func (c *Cache[K, V]) getLocked(k K) *V {
	e := c.entries[k]
	if e == nil {
		return nil
	}
	v := e.ref.Value()
	if v != nil {
		c.keepLocked(e, v)
	}
	return v
}

// Add adds a value of some bytes, and returns it, or the value added for k before.
func (c *Cache[K, V]) Add(k K, v *V, size int) *V {
	c.mu.Lock()
	defer c.mu.Unlock()
	if other := c.getLocked(k); other != nil {
		return other
	}
	e := &entry[K, V]{key: k, ref: weak.Make(v), size: size}
	c.entries[k] = e
	c.keepLocked(e, v)
	runtime.AddCleanup(v, c.remove, e)
	return v
}

// keepLocked refers to the value of e, so that it does not become garbage. It makes e the
// most recent entry, and no longer keeps the oldest ones beyond the
// limit.
func (c *Cache[K, V]) keepLocked(e *entry[K, V], v *V) {
	if e.kept != nil {
		c.recent.MoveToFront(e.at)
		return
	}
	e.kept, e.at = v, c.recent.PushFront(e)
	c.size += e.size
	for c.size > c.most {
		old := c.recent.Remove(c.recent.Back()).(*entry[K, V])
		old.kept, old.at = nil, nil
		c.size -= old.size
	}
}

// remove runs on a goroutine of the runtime, at some time after the value of e has become
// garbage. It removes e, whose value is garbage, unless its key has a new entry.
func (c *Cache[K, V]) remove(e *entry[K, V]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries[e.key] == e {
		delete(c.entries, e.key)
	}
}
