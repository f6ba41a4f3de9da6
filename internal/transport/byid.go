package transport

import "iter"

// A ByID has values by the ids of calls. A single one needs no map. Its zero value is ready to use.
type ByID[V any] struct {
	used bool // by id and value
	id   uint64
	one  V
	more map[uint64]V
}

// Len returns the number of values.
func (s *ByID[V]) Len() int {
	if s.used {
		return len(s.more) + 1
	}
	return len(s.more)
}

// Add adds a value. The id must be free.
func (s *ByID[V]) Add(id uint64, v V) {
	if !s.used {
		s.used, s.id, s.one = true, id, v
		return
	} else if s.more == nil {
		s.more = make(map[uint64]V)
	}
	s.more[id] = v
}

// Remove removes the value of an id, if it has one.
func (s *ByID[V]) Remove(id uint64) {
	if s.used && s.id == id {
		var none V
		s.used, s.one = false, none
		return
	}
	delete(s.more, id)
}

// Find returns the value of an id, or the zero value.
func (s *ByID[V]) Find(id uint64) V {
	if s.used && s.id == id {
		return s.one
	}
	return s.more[id]
}

// All returns all values, in any order.
func (s *ByID[V]) All() iter.Seq[V] {
	return func(yield func(V) bool) {
		if s.used && !yield(s.one) {
			return
		}
		for _, v := range s.more {
			if !yield(v) {
				return
			}
		}
	}
}
