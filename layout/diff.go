package layout

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// A Difference is one thing about a method that its two ends do not agree on.
type Difference struct {
	Place  string // "parameter 1, Order.Price"; "" for the method itself
	Client string // what the client has there; "" for nothing
	Server string // what the server has there; "" for nothing
}

// Words returns the difference without its place.
func (d Difference) Words() string {
	switch {
	case d.Client == "" && d.Server == "":
		return ""
	case d.Client == "":
		return "only on the server"
	case d.Server == "":
		return "only on the client"
	case strings.Contains(d.Client+d.Server, ", "):
		return "client " + d.Client + "; server " + d.Server
	}
	return "client " + d.Client + ", server " + d.Server
}

// String returns the difference with its place:
// "parameter 1, Order.Price: client int.le4, server uint.le8".
func (d Difference) String() string {
	if d.Place == "" || d.Words() == "" {
		return d.Place + d.Words()
	}
	return d.Place + ": " + d.Words()
}

// Bounds of a comparison: the server's text may be made to keep us busy.
const (
	maxDifferences = 32     // told; the others are counted
	maxDiffSteps   = 50_000 // pairs of types looked at
	maxDiffDepth   = 2 * MaxDepth
)

// Diff returns what two ends disagree on about a method, in the order of the
// client's types. Types that lead back to themselves are compared once. Where
// the two would carry the same bytes but are put together differently, and so
// have different texts, it returns the texts. Type names in places are the
// client's. What is above the bound of a message is counted in the last
// Difference, which has only a Place. Equal methods have no differences.
func Diff(client, server *Method) []Difference {
	d := &differ{seen: make(map[ends]bool)}
	d.name(client, server)
	d.lists(client, server, d.compare)
	if client.Oneway != server.Oneway {
		d.add("", answer(client.Oneway), answer(server.Oneway))
	}
	if d.count == 0 {
		d.lists(client, server, d.compareTexts)
	}
	return d.result()
}

func answer(oneway bool) string {
	if oneway {
		return "oneway"
	}
	return "not oneway"
}

// A differ collects the differences of one method.
type differ struct {
	found []Difference
	count int           // found, and those above the bound
	steps int           // spent
	seen  map[ends]bool // compared, or being compared
	tired bool          // not all was looked at
}

type ends struct{ client, server *Type }

// A branch is a layout with what is around it, where its ^n lead.
type branch struct {
	*Type
	outer *branch
}

// inner returns a part of n, or what the part leads back to.
func (n *branch) inner(part *Type) *branch {
	if part.Kind != Back {
		return &branch{part, n}
	}
	for range part.Len - 1 {
		n = n.outer
	}
	return n
}

func (d *differ) add(place, client, server string) {
	d.count++
	if !d.full() {
		d.found = append(d.found, Difference{place, client, server})
	}
}

func (d *differ) full() bool { return len(d.found) == maxDifferences }

// changed adds a place where both ends have something else.
func (d *differ) changed(at spot, c, s *Type) {
	if d.full() { // large texts cost time
		d.count++
		return
	}
	client, server := shortenBoth(c.String(), s.String())
	d.add(at.String(), client, server)
}

func (d *differ) result() []Difference {
	more := d.count - len(d.found)
	switch {
	case d.tired && more > 0:
		d.last(fmt.Sprintf("at least %d more differences", more))
	case d.tired:
		d.last("perhaps more differences: the types are too large to compare")
	case more > 0:
		d.last(fmt.Sprintf("%d more differences", more))
	}
	return d.found
}

// last adds the line that comes last, above the bound.
func (d *differ) last(text string) { d.found = append(d.found, Difference{Place: text}) }

func (d *differ) name(client, server *Method) {
	c, s := client.Service+"."+client.Name, server.Service+"."+server.Name
	if c != s {
		c, s = shortenBoth(c, s)
		d.add("name", c, s)
	}
}

// lists calls compare for each parameter and result that both ends have.
func (d *differ) lists(client, server *Method, compare func(at spot, c, s *branch)) {
	d.list("parameter", client.Params, server.Params, compare)
	d.list("result", client.Results, server.Results, compare)
}

func (d *differ) list(word string, client, server []*Type, compare func(at spot, c, s *branch)) {
	for i := range max(len(client), len(server)) {
		at := spot{root: fmt.Sprintf("%s %d", word, i+1)}
		switch {
		case i >= len(server):
			d.add(at.String(), shorten(client[i].String()), "")
		case i >= len(client):
			d.add(at.String(), "", shorten(server[i].String()))
		default:
			at.path, at.open = rootName(client[i]), true
			compare(at, &branch{client[i], nil}, &branch{server[i], nil})
		}
	}
}

// compareTexts adds a difference where only the texts differ.
func (d *differ) compareTexts(at spot, c, s *branch) {
	if c.String() != s.String() {
		d.changed(at, c.Type, s.Type)
	}
}

// compare adds the differences of c and s, neither of which is a ^n.
func (d *differ) compare(at spot, c, s *branch) {
	d.steps++
	if d.steps > maxDiffSteps || at.depth > maxDiffDepth {
		d.tired = true
		return
	}
	d.seen[ends{c.Type, s.Type}] = true
	if !sameHead(c.Type, s.Type) {
		d.changed(at, c.Type, s.Type)
	}
	if c.Kind != s.Kind {
		return
	}
	switch c.Kind {
	case Struct:
		d.structs(at, c, s)
	case Map:
		d.below(at.element(c.Type, "[key]"), c, s, c.Key, s.Key)
		d.below(at.element(c.Type, "[]"), c, s, c.Elem, s.Elem)
	case Slice, Array:
		d.below(at.element(c.Type, "[]"), c, s, c.Elem, s.Elem)
	case Pointer:
		d.below(at.element(c.Type, ""), c, s, c.Elem, s.Elem)
	}
}

// sameHead reports whether two layouts are the same but for their parts.
func sameHead(c, s *Type) bool {
	return c.Kind == s.Kind && c.Format == s.Format && c.Bytes == s.Bytes && c.Len == s.Len && c.Opaque == s.Opaque
}

// below compares a part of c and a part of s. A pair that a ^n led to has been
// told of already if it was seen; others may be told of again, at their place.
func (d *differ) below(at spot, c, s *branch, cPart, sPart *Type) {
	c, s = c.inner(cPart), s.inner(sPart)
	led := cPart.Kind == Back || sPart.Kind == Back
	if led && d.seen[ends{c.Type, s.Type}] {
		return
	}
	d.compare(at, c, s)
}

// structs adds the differences of two structs: field by field, then what only
// the server has, then the order of what both have.
func (d *differ) structs(at spot, c, s *branch) {
	partners := d.partners(c.Fields, s.Fields)
	if len(partners) == 0 && len(c.Fields) > 0 && len(s.Fields) > 0 {
		d.changed(at, c.Type, s.Type)
		return
	}
	taken, last, moved := make(map[int]bool), -1, false
	for i, f := range c.Fields {
		j, ok := partners[i]
		if !ok {
			d.add(at.field(f.Name).String(), shorten(f.Type.String()), "")
			continue
		}
		if name := s.Fields[j].Name; name != f.Name {
			d.add(at.field(f.Name).String(), "calls it "+shorten(f.Name), "calls it "+shorten(name)+" (renamed)")
		} else {
			d.below(at.field(f.Name), c, s, f.Type, s.Fields[j].Type)
		}
		taken[j] = true
		moved = moved || j < last
		last = j
	}
	for j, f := range s.Fields {
		if !taken[j] {
			d.add(at.field(shorten(f.Name)).String(), "", shorten(f.Type.String()))
		}
	}
	if moved {
		client, server := orders(c.Fields, s.Fields)
		d.add(at.String(), client, server)
	}
}

// partners finds the server's field for each of the client's: the one of the
// same name, or the one of the same layout at the same position if the name
// of neither is known at the other end.
func (d *differ) partners(client, server []Field) map[int]int {
	byName := make(map[string]int)
	for j, f := range server {
		byName[f.Name] = j
	}
	partners, taken := make(map[int]int), make(map[int]bool)
	for i, f := range client {
		if j, ok := byName[f.Name]; ok {
			partners[i] = j
			taken[j] = true
		}
	}
	for i, f := range client {
		if _, ok := partners[i]; !ok && i < len(server) && !taken[i] && d.sameText(f.Type, server[i].Type) {
			partners[i] = i
		}
	}
	return partners
}

func (d *differ) sameText(c, s *Type) bool {
	if !sameHead(c, s) {
		return false
	}
	text := c.String()
	d.steps += len(text) / 16
	return text == s.String()
}

// orders says the order of the fields of both ends. A long one begins with the
// last field before they part.
func orders(client, server []Field) (string, string) {
	c, s := fieldNames(client), fieldNames(server)
	if len(c) > longest || len(s) > longest {
		same := 0
		for client[same].Name == server[same].Name { // they part before either ends
			same++
		}
		same = max(same-1, 0)
		c, s = shorten(fieldNames(client[same:])), shorten(fieldNames(server[same:]))
		if same > 0 {
			c, s = "..., "+c, "..., "+s
		}
	}
	return "order " + c, "order " + s
}

func fieldNames(fields []Field) string {
	list := make([]string, len(fields))
	for i, f := range fields {
		list[i] = f.Name
	}
	return strings.Join(list, ", ")
}

// shortenBoth cuts two texts for a message so that it shows where they begin
// to differ.
func shortenBoth(a, b string) (string, string) {
	const lead = 40
	same := 0
	for same < min(len(a), len(b)) && a[same] == b[same] {
		same++
	}
	from := same - lead
	for from > 0 && !utf8.RuneStart(a[from]) {
		from--
	}
	if from <= 0 || max(len(a), len(b)) <= longest {
		return shorten(a), shorten(b)
	}
	return "..." + shorten(a[from:]), "..." + shorten(b[from:])
}
