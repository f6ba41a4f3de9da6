package layout

import (
	"math/rand/v2"
	"testing"
)

// anyType returns a random type with back references to any enclosing type.
func anyType(r *rand.Rand, depth int) *Type {
	parts := func() []any {
		return []any{"A", anyType(r, depth+1), "B", anyType(r, depth+1), "C", anyType(r, depth+1)}[:2+2*r.IntN(3)]
	}
	k := r.IntN(10)
	if depth > 4 {
		k = 9
	}
	switch {
	case k < 4:
		return union("", parts()...)
	case k < 6:
		return structure("", parts()...)
	case k < 7:
		return array(1+r.IntN(2), anyType(r, depth+1))
	case k < 8:
		return []func(*Type) *Type{pointer, func(l *Type) *Type { return list(LE4, l) }, func(l *Type) *Type { return mapOf(LE4, LE4, &Type{Kind: Bool}, l) }}[r.IntN(3)](anyType(r, depth+1))
	case depth > 0 && r.IntN(4) > 0:
		return backRef(1 + r.IntN(depth))
	}
	return &Type{Kind: Bool}
}

// finiteTypes is a naive answer to which types of a tree have values of finite size: it adds
// types until there are no more.
func finiteTypes(l *Type) (finite map[*Type]bool, all int) {
	finite = map[*Type]bool{}
	for before := -1; before < len(finite); {
		before, all = len(finite), 0
		var visit func(l *Type, around []*Type) bool
		visit = func(l *Type, around []*Type) bool {
			if l.Kind == BackRef {
				return finite[around[len(around)-l.Len]]
			}
			all++
			around = append(around[:len(around):len(around)], l)
			every, some := true, false
			for _, f := range l.Fields {
				ok := visit(f.Type, around)
				every, some = every && ok, some || ok
			}
			if l.Elem != nil {
				every = visit(l.Elem, around)
			}
			if l.Key != nil {
				visit(l.Key, around)
			}
			if l.Kind == Union && some || l.Kind != Union && every || l.Kind == Slice || l.Kind == Map || l.Kind == Pointer {
				finite[l] = true
			}
			return finite[l]
		}
		visit(l, nil)
	}
	return finite, all
}

// Parse accepts the types in which every part has a value of finite size, and no others.
func TestFiniteTypes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 9))
	count := map[bool]int{}
	for range 5_000 {
		l := anyType(r, 0)
		_, err := Parse(l.String())
		finite, all := finiteTypes(l)
		if want := len(finite) == all; want != (err == nil) {
			t.Fatalf("%s: %v", l, err)
		}
		count[err == nil]++
	}
	if count[true] < 200 || count[false] < 200 {
		t.Errorf("accepted and refused: %v", count)
	}
}
