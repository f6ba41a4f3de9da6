package transport

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// A ByID does what a map does.
func TestByID(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var s ByID[int]
	model := make(map[uint64]int)
	for step := range 2000 {
		id := random.Uint64N(4)
		if _, taken := model[id]; !taken && random.IntN(2) == 0 {
			s.Add(id, step+1)
			model[id] = step + 1
		} else {
			s.Remove(id)
			delete(model, id)
		}
		for id := range uint64(4) {
			if s.Find(id) != model[id] {
				t.Fatalf("step %d: id %d has %d, want %d", step, id, s.Find(id), model[id])
			}
		}
		all := slices.Sorted(s.All())
		if s.Len() != len(model) || !slices.Equal(all, slices.Sorted(maps.Values(model))) {
			t.Fatalf("step %d: %d values %v, want %v", step, s.Len(), all, model)
		}
	}
}
