package layout

import (
	"fmt"
	"slices"
)

// Limits of a comparison. The server's text is untrusted: comparing two types
// may take exponential time in the length of their texts.
const (
	maxDifferences = 32     // listed; others are only counted
	maxDiffSteps   = 50_000 // steps: compared pairs of types, and long texts
	maxDiffDepth   = 2 * MaxDepth
)

// Diff returns the differences between a client's and a server's layout of a
// method, in the order of the client's types; nil if the methods are equal.
//
// Places use the client's type names. Fields are matched by name; a new name at
// the same position is reported as a rename. Recursive types are compared once.
// Two recursive types may encode to the same bytes although their texts, and so
// their hashes, differ: the difference then consists of the texts. At most 32
// differences are listed. If there are more, a last Difference with a Place
// alone contains their number.
func Diff(client, server *Method) []Difference {
	d := &differ{seen: make(map[pair]bool), marks: true}
	d.compareNames(client, server)
	d.compareLists(client, server, d.compare)
	if client.Oneway != server.Oneway {
		d.add("", onewayText(client.Oneway), onewayText(server.Oneway))
	}
	d.compareMarks("parameter", len(client.Params), len(server.Params), client.OptionalParams, server.OptionalParams)
	d.compareMarks("result", len(client.Results), len(server.Results), client.OptionalResults, server.OptionalResults)
	// No difference in structure: the texts may still differ, see above.
	if d.count == 0 {
		d.compareLists(client, server, d.compareTexts)
	}
	return d.result()
}

// compareMarks compares which of the parameters or results of both ends are optional.
func (d *differ) compareMarks(word string, client, server, cOptional, sOptional int) {
	for i := range min(client, server) {
		d.compareOptional(fmt.Sprintf("%s %d", word, i+1), i >= client-cOptional, i >= server-sOptional)
	}
}

// compareOptional adds a difference if one end alone is optional.
func (d *differ) compareOptional(place string, client, server bool) {
	if client != server {
		d.add(place, optionalText(client), optionalText(server))
	}
}

// A differ compares two methods and collects the differences.
type differ struct {
	found     []Difference
	count     int           // including those beyond the limit
	steps     int           // so far
	seen      map[pair]bool // compared or in progress; ends the recursion
	truncated bool          // a limit ended the comparison

	dir   direction // what is compared
	args  bool      // ... among arguments
	marks bool      // by Diff: one optional field is a difference
}

// A pair identifies two types by their nodes.
type pair struct {
	client, server *Type
	dir            direction
}

// A scoped is a type with its enclosing types, the targets of back references.
type scoped struct {
	*Type
	parent *scoped
}

// child returns a child of n, with back references resolved.
func (n *scoped) child(part *Type) *scoped {
	if part.Kind != BackRef {
		return &scoped{part, n}
	}
	for range part.Len - 1 {
		n = n.parent
	}
	return n
}

// add adds a difference, or only counts it beyond the limit.
func (d *differ) add(place, client, server string) { d.addFix(place, client, server, "") }

// addFix is add for a difference with a fix.
func (d *differ) addFix(place, client, server, fix string) {
	d.count++
	if !d.full() {
		d.found = append(d.found, Difference{place, client, server, fix})
	}
}

// full reports whether the limit of differences is reached.
func (d *differ) full() bool { return len(d.found) == maxDifferences }

// addChanged adds a difference between two types.
func (d *differ) addChanged(loc location, c, s *Type, fix string) {
	if d.full() { // spares the time for large texts
		d.count++
		return
	}
	client, server := truncatePair(c.String(), s.String())
	d.addFix(loc.String(), client, server, fix)
}

// result returns the differences, with a summary of those not listed.
func (d *differ) result() []Difference {
	more := d.count - len(d.found)
	switch {
	case d.truncated && more > 0:
		d.addSummary(fmt.Sprintf("at least %d more differences", more))
	case d.truncated && d.count == 0:
		d.addSummary("the types are too large to compare")
	case d.truncated:
		d.addSummary("possibly more differences: the types are too large to compare")
	case more > 0:
		d.addSummary(fmt.Sprintf("%d more differences", more))
	}
	return d.found
}

// addSummary adds the last line, exempt from the limit.
func (d *differ) addSummary(text string) { d.found = append(d.found, Difference{Place: text}) }

// compareNames compares the full names of the methods.
func (d *differ) compareNames(client, server *Method) {
	c, s := client.Service+"."+client.Name, server.Service+"."+server.Name
	if c != s {
		c, s = truncatePair(c, s)
		d.add("name", c, s)
	}
}

// compareLists calls compare for each pair of parameters and results. Those of
// one end alone are differences.
func (d *differ) compareLists(client, server *Method, compare func(loc location, c, s *scoped)) {
	d.compareList("parameter", client.Params, server.Params, compare)
	d.compareList("result", client.Results, server.Results, compare)
}

// compareList compares the parameters or the results.
func (d *differ) compareList(word string, client, server []*Type, compare func(loc location, c, s *scoped)) {
	for i := range max(len(client), len(server)) {
		loc := location{root: fmt.Sprintf("%s %d", word, i+1)}
		switch {
		case i >= len(server):
			d.add(loc.String(), truncate(client[i].String()), "")
		case i >= len(client):
			d.add(loc.String(), "", truncate(server[i].String()))
		default:
			loc.path, loc.inTypeName = rootName(client[i]), true
			compare(loc, &scoped{client[i], nil}, &scoped{server[i], nil})
		}
	}
}

// compareTexts adds a difference if the texts differ.
func (d *differ) compareTexts(loc location, c, s *scoped) {
	if c.String() != s.String() {
		d.addChanged(loc, c.Type, s.Type, "")
	}
}

// compare adds the differences between c and s. Neither is a back reference.
func (d *differ) compare(loc location, c, s *scoped) {
	d.steps++
	if d.steps > maxDiffSteps || loc.depth > maxDiffDepth {
		d.truncated = true
		return
	}
	// Mark the pair before its children: a back reference to it ends there.
	d.seen[pair{c.Type, s.Type, d.dir}] = true
	if d.dir == equal {
		if !equalShallow(c.Type, s.Type) {
			d.addChanged(loc, c.Type, s.Type, "")
		}
	} else {
		client, server := d.target(c, s)
		if ok, fix := d.fits(client.Type, server.Type); !ok {
			d.addChanged(loc, c.Type, s.Type, fix)
		}
		c, s = client, server
	}
	// Children are comparable for equal kinds only.
	if c.Kind != s.Kind {
		return
	}
	switch c.Kind {
	case Struct, Union:
		d.compareStructs(loc, c, s)
	case Map:
		dir := d.dir
		d.dir = equal // keys are in the order of their bytes
		d.compareChild(loc.elem(c.Type, "[key]"), c, s, c.Key, s.Key)
		d.dir = dir
		d.compareChild(loc.elem(c.Type, "[]"), c, s, c.Elem, s.Elem)
	case Slice, Array:
		d.compareChild(loc.elem(c.Type, "[]"), c, s, c.Elem, s.Elem)
	case Pointer, Stream:
		d.compareChild(loc.elem(c.Type, ""), c, s, c.Elem, s.Elem)
	case Func:
		d.compareFuncs(loc, c.Func, s.Func)
	}
}

// compareFuncs adds the differences between the parameters and results of two funcs.
func (d *differ) compareFuncs(loc location, c, s *Signature) {
	if d.dir != equal {
		dir, args := d.dir, d.args
		d.fitSignatures(loc.root+funcWord, c, s, dir.reverse())
		d.dir, d.args = dir, args
		return
	}
	if !equalShapes(c, s) {
		return
	}
	d.compareList(loc.root+funcWord+"parameter", c.Params, s.Params, d.compare)
	d.compareList(loc.root+funcWord+"result", c.Results, s.Results, d.compare)
}

// funcWord follows the place of a func in the places of its parameters and results.
const funcWord = ", func's "

// equalShapes reports whether two funcs are equal except for the types of their
// parameters and results. Both may be nil.
func equalShapes(c, s *Signature) bool {
	if c == nil || s == nil {
		return c == s
	}
	return len(c.Params) == len(s.Params) && len(c.Results) == len(s.Results) && c.Oneway == s.Oneway
}

// equalShallow reports whether two types are equal except for their children.
func equalShallow(c, s *Type) bool {
	return c.Kind == s.Kind && c.Format == s.Format && c.Bytes == s.Bytes && c.Len == s.Len && c.Opaque == s.Opaque && c.Const == s.Const && equalShapes(c.Func, s.Func)
}

// compareChild compares a child of c with a child of s. Pairs reached by a back
// reference are skipped if seen before: their differences are known. Other
// pairs are compared again, to report their differences at this place, too.
func (d *differ) compareChild(loc location, c, s *scoped, cPart, sPart *Type) {
	c, s = c.child(cPart), s.child(sPart)
	led := cPart.Kind == BackRef || sPart.Kind == BackRef
	if led && d.seen[pair{c.Type, s.Type, d.dir}] {
		return
	}
	d.compare(loc, c, s)
}

// compareStructs adds the differences between two structs or unions: the client's fields
// in order, the server's additional fields, and the order of the fields.
func (d *differ) compareStructs(loc location, c, s *scoped) {
	if d.dir != equal {
		d.fitStructs(loc, c, s)
		return
	}
	matches := d.matchFields(c.Fields, s.Fields)
	// Without any match these are different structs. One difference says more
	// than one per field.
	if !slices.ContainsFunc(matches, func(j int) bool { return j >= 0 }) && len(c.Fields) > 0 && len(s.Fields) > 0 {
		d.addChanged(loc, c.Type, s.Type, "")
		return
	}
	taken, last, moved := make([]bool, len(s.Fields)), -1, false
	for i, f := range c.Fields {
		j := matches[i]
		if j < 0 {
			d.add(loc.field(f.Name).String(), truncate(f.Type.String()), "")
			continue
		}
		if name := s.Fields[j].Name; name != f.Name {
			d.add(loc.field(f.Name).String(), "calls it "+truncate(f.Name), "calls it "+truncate(name)+" (renamed)")
		} else {
			d.compareChild(loc.field(f.Name), c, s, f.Type, s.Fields[j].Type)
			if d.marks {
				d.compareOptional(loc.field(f.Name).String(), f.Optional, s.Fields[j].Optional)
			}
		}
		taken[j] = true
		moved = moved || j < last
		last = j
	}
	for j, f := range s.Fields {
		if !taken[j] {
			d.add(loc.field(truncate(f.Name)).String(), "", truncate(f.Type.String()))
		}
	}
	if moved {
		client, server := fieldOrders(c.Fields, s.Fields)
		d.add(loc.String(), client, server)
	}
}

// matchFields returns the server's field for each of a client's, or -1: by name, or
// else, for a renamed field, by position if the types are equal and the server's field has
// no match by name.
func (d *differ) matchFields(client, server []Field) []int {
	var byKey map[string]int // only for fields in another order
	cKeys, sKeys := fieldKeys(client), fieldKeys(server)
	matches, taken := make([]int, len(client)), make([]bool, len(server))
	for i, key := range cKeys {
		j, ok := i, i < len(server) && sKeys[i] == key
		if !ok {
			if byKey == nil {
				byKey = make(map[string]int, len(server))
				for j, key := range sKeys {
					byKey[key] = j
				}
			}
			j, ok = byKey[key]
		}
		if matches[i] = -1; ok {
			matches[i], taken[j] = j, true
		}
	}
	for i, f := range client {
		if matches[i] < 0 && i < len(server) && !taken[i] && d.equalText(f.Type, server[i].Type) {
			matches[i] = i
		}
	}
	return matches
}

// equalText reports whether two types have the same text. Printing counts as
// steps.
func (d *differ) equalText(c, s *Type) bool {
	if !equalShallow(c, s) {
		return false
	}
	// Texts are exact and cheap for small types. A back reference has equal
	// text at equal depth, which is good enough to recognize a rename.
	text := c.String()
	d.steps += len(text) / 16
	return text == s.String()
}
