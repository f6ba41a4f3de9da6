package codec

import (
	"reflect"
	"slices"

	"github.com/bsrpc/bsrpc/layout"
)

// Unions: structs of pointers, their members, marked by a blank field. The nodes of the
// members are those of the pointers' targets: the number of the member takes the place of a
// presence byte.

// A union is a node and its place, for checkUnions.
type union struct {
	node *node
	loc  location
}

// unionMarks is the problem of the word union in another place.
const unionMarks = "union marks a struct, as the tag of a blank field without a size: _ struct{}"

// isMarker reports whether f is a blank field without a size.
func isMarker(f reflect.StructField) bool { return f.Name == "_" && f.Type.Size() == 0 }

// isUnion reports whether a blank field marks the struct t as a union.
func isUnion(t reflect.Type) bool {
	for i := range t.NumField() {
		f := t.Field(i)
		if !isMarker(f) {
			continue
		}
		if tag, skip, err := ParseFieldTag(f.Tag.Get("bsrpc")); err == nil && !skip && tag.Union {
			return true
		}
	}
	return false
}

// unionOf completes a union. Each member is compiled with the tag on it.
func (c *compiler) unionOf(n *node, loc location) {
	n.op, n.kind = opUnion, layout.Union
	if loc.inKey {
		c.problemf(loc, "%s is a union of pointers, and map keys must not contain pointers", typeName(n.typ))
		return
	}
	// Unlike in a struct, an unexported field is an error: a value with this member set
	// could not be sent.
	before := len(c.problems)
	for i := range n.typ.NumField() {
		f := n.typ.Field(i)
		sound := len(c.problems)
		tag, skip := c.fieldTag(f, loc)
		switch {
		case !skip && f.Name == "_":
			c.problemf(loc.in("._"), "a union has neither constants nor padding; declare them in a struct around it")
		case tag == nil || f.Name == "_" || len(c.problems) > sound: // skipped, the marker, or reported
		case skip:
			c.problemf(loc.in("."+f.Name), `not exported, but a member of a union; export it, or tag it "-"`)
		default:
			if t := c.memberType(f, loc); t != nil {
				c.addField(n, f, t, tag, loc)
			}
		}
	}
	// Without members because of their problems is no further problem.
	switch k := len(n.fields); {
	case len(c.problems) > before:
	case k == 0:
		c.problemf(loc, "%s is a union without members; declare them as pointers", typeName(n.typ))
	case k > layout.MaxMembers:
		c.problemf(loc, "%s has %d members; a union has at most %d", typeName(n.typ), k, layout.MaxMembers)
	}
	c.unions = append(c.unions, union{n, loc})
}

// memberType returns the type of a union's member, the target of f. If f is not a pointer
// it reports that and returns nil.
func (c *compiler) memberType(f reflect.StructField, loc location) reflect.Type {
	if f.Type.Kind() != reflect.Pointer {
		c.problemf(loc.in("."+f.Name), "the members of a union are pointers; declare it as *%s", typeName(f.Type))
		return nil
	}
	return f.Type.Elem()
}

// checkUnions reports unions without a value of finite size, because each member contains
// the union itself. Unlike a pointer in a struct, no member can be nil to end the recursion.
// It runs last, as a recursive member is incomplete before.
func (c *compiler) checkUnions() {
	// Each round adds unions with a member of finite size by the unions known before, until
	// a round adds none.
	finite := map[*node]bool{}
	for known := -1; known < len(finite); {
		known = len(finite)
		for _, u := range c.unions {
			if slices.ContainsFunc(u.node.fields, func(m field) bool { return m.node.isFinite(finite) }) {
				finite[u.node] = true
			}
		}
	}
	for _, u := range c.unions {
		if len(u.node.fields) > 0 && !finite[u.node] {
			c.problemf(u.loc, "a value of %s is infinite, as each member contains another one; add a member without, or make one a slice", typeName(u.node.typ))
		}
	}
}

// isFinite reports whether there are values of n of finite size, as far as that of the
// unions in them is known.
func (n *node) isFinite(unions map[*node]bool) bool {
	switch n.op {
	case opStruct:
		return !slices.ContainsFunc(n.fields, func(f field) bool { return !f.node.isFinite(unions) })
	case opArray:
		return n.length == 0 || n.elem.isFinite(unions)
	case opUnion:
		return unions[n]
	}
	return true
}
