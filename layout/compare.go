package layout

import (
	"fmt"
	"strings"
)

// The comparison of two versions goes through both trees at once, as that of Diff, and asks
// another question at each pair of types: not whether they are equal, but whether the reader
// can read what the writer writes. Parameters and results have different writers.

// Compare returns what keeps a client and a server with these layouts of a method from
// working together; nil if they fit. It is the verdict when a client binds a contract. Two
// methods fit if each end can read what the other writes:
//
//   - Fields of structs are matched by name, in any order. A field, last parameter or last
//     result of the reader alone must be optional there, and reads as zero. One of the writer
//     alone is dropped among results. Among arguments it must be optional at the writer, and
//     a call fails if it is not zero.
//   - The reader's format of a number covers the range of the writer's, as int.be4 does of
//     int.le2 and of uint.le3. Lengths and counts may differ in format.
//   - Members of unions are matched by name. A member of the writer alone must be optional
//     there, and the reader then has no member set.
//   - A pointer reads what its target reads.
//   - Constants are the same at both ends, in the same order.
//
// Everything else must be equal, and so must map keys. The parameters of a func are written
// by the server, its results by the client. Places are as in [Diff], and each difference has
// a Fix where a change at one end would do. Methods too large to compare do not fit.
func Compare(client, server *Method) []Difference {
	d := &differ{seen: make(map[pair]bool)}
	d.compareNames(client, server)
	d.fitSignatures("", client.signature(), server.signature(), toServer)
	if client.Oneway != server.Oneway {
		d.add("", onewayText(client.Oneway), onewayText(server.Oneway))
	}
	return d.result()
}

// A direction is what a comparison asks for: equal types, or an end that can read what the
// other writes.
type direction uint8

const (
	equal direction = iota
	toServer
	toClient
)

// reverse returns the direction of answers: results of a method, and arguments of a func
// that the callee calls.
func (dir direction) reverse() direction {
	if dir == toServer {
		return toClient
	}
	return toServer
}

// ends returns the names of the writer and the reader.
func (dir direction) ends() (writer, reader string) {
	if dir == toServer {
		return "client", "server"
	}
	return "server", "client"
}

// order returns what belongs to the client and the server as the writer's and the reader's.
// It is its own inverse.
func order[T any](dir direction, client, server T) (writer, reader T) {
	if dir == toServer {
		return client, server
	}
	return server, client
}

// fitSignatures adds what keeps the ends from working together. Parameters go in dir. whose
// is "" for a method, or names a func.
func (d *differ) fitSignatures(whose string, c, s *Signature, dir direction) {
	d.fitLists(whose+"parameter", c.Params, s.Params, c.OptionalParams, s.OptionalParams, dir, true)
	d.fitLists(whose+"result", c.Results, s.Results, c.OptionalResults, s.OptionalResults, dir.reverse(), false)
}

// fitLists compares parameters, which are arguments, or results, written in dir. The last
// ones are optional.
func (d *differ) fitLists(word string, client, server []*Type, cOptional, sOptional int, dir direction, args bool) {
	both := min(len(client), len(server))
	d.dir, d.args = dir, args
	d.compareList(word, client[:both], server[:both], d.compare)
	for i := both; i < max(len(client), len(server)); i++ {
		loc := location{root: fmt.Sprintf("%s %d", word, i+1)}
		if i < len(client) {
			d.addAlone(loc, client[i], dir == toServer, i >= len(client)-cOptional)
		} else {
			d.addAlone(loc, server[i], dir == toClient, i >= len(server)-sOptional)
		}
	}
}

// addAlone adds the difference of a field, parameter or result of one end alone, which
// writes it or reads it, unless it fits: a reader takes zero in its place, and a result is
// dropped. An argument must not be lost silently, so its writer must be ready for an error.
func (d *differ) addAlone(loc location, l *Type, writes, optional bool) {
	streamed := l.Kind == Stream || l.Kind == Reader
	if optional || writes && !d.args && !streamed {
		return
	}
	end, other := d.dir.ends()
	if !writes {
		end, other = other, end
	}
	// Tags reach fields, and whole parameters and results of methods.
	fix := "tag it optional at the " + end
	switch {
	case streamed:
		fix = "streams and readers are never optional: add a method"
	case loc.path == "" && strings.Contains(loc.root, funcWord): // without tags
		fix = ""
	case writes:
		fix += ", and only calls that set it fail"
	}
	if end == "client" {
		d.addFix(loc.String(), truncate(l.String()), "", fix)
	} else {
		d.addFix(loc.String(), "", truncate(l.String()), fix)
	}
}

// target returns c and s, or in place of the reader's pointer its target if the writer has
// no pointer. A pointer whose target is itself stays.
func (d *differ) target(c, s *scoped) (client, server *scoped) {
	w, r := order(d.dir, c, s)
	for i := 0; w.Kind != Pointer && r.Kind == Pointer && i < MaxDepth; i++ {
		r = r.child(r.Elem)
	}
	return order(d.dir, w, r)
}

// fits reports whether the reader of two types reads what the writer writes, apart from
// their children. The fix is a change that would do if not.
func (d *differ) fits(c, s *Type) (ok bool, fix string) {
	w, r := order(d.dir, c, s)
	_, reader := d.dir.ends()
	switch {
	// All unsigned numbers of a width are signed ones of the next, but no signed number is
	// sure to be unsigned.
	case w.Kind == r.Kind && w.Format != NoFormat && w.isNumber(), w.Kind == Uint && r.Kind == Int:
		least := w.Format.width()
		if r.Kind != w.Kind {
			least++ // for the sign
		}
		switch {
		case r.Format.width() >= least:
			return true, ""
		case least > LE8.width():
			return false, ""
		}
		return false, fmt.Sprintf("make it at least %d bytes wide at the %s", least, reader)
	// A pointer is nil sometimes, and a value has no nil.
	case w.Kind != r.Kind:
		// Only if their targets may fit: a back reference may be anything.
		if w.Kind == Pointer && (w.Elem.Kind == r.Kind || w.Elem.Kind == BackRef) {
			return false, "make it a pointer at the " + reader
		}
		return false, ""
	// A length may differ in format, while a fixed number of bytes is a limit of the type.
	case w.Kind == String || w.Kind == Bytes:
		if r.Format != NoFormat || w.Format == NoFormat && w.Len == r.Len {
			return true, ""
		}
		return false, "omit fixed= at the " + reader
	}
	return w.Len == r.Len && w.Opaque == r.Opaque && (w.Func == nil || w.Func.Oneway == r.Func.Oneway), ""
}

// isNumber reports whether the format of l is that of a number. Ranges alone are compared:
// byte order and varints do not matter to a reader.
func (l *Type) isNumber() bool { return l.Kind >= Int && l.Kind <= Complex }

// width returns the width in bytes of the widest number in f.
func (f Format) width() int {
	switch {
	case f >= Varint:
		return 8
	case f >= BE2:
		return int(f-BE2) + 2
	}
	return int(f)
}

// fitStructs compares two structs whose fields may differ in order and number. It adds
// what keeps the reader from reading the writer's struct.
func (d *differ) fitStructs(loc location, c, s *scoped) {
	matches, taken := d.matchFields(c.Fields, s.Fields), make([]bool, len(s.Fields))
	// Fields of one name fit by their types. A field of one end alone fits if it may be
	// absent; if not, it may be a field of the other end with another name.
	if client, server := constants(c.Fields), constants(s.Fields); client != server {
		client, server = truncatePair(client, server)
		d.add(loc.field(blankName).String(), client, server)
	}
	for i, f := range c.Fields {
		j := matches[i]
		if f.Name == blankName {
			continue
		}
		if j >= 0 && s.Fields[j].Name == f.Name {
			d.compareChild(loc.field(f.Name), c, s, f.Type, s.Fields[j].Type)
			taken[j] = true
			continue
		}
		before := d.count
		d.addField(loc, c.Kind, f, d.dir == toServer)
		if j >= 0 && d.addRenamed(loc, f.Name, s.Fields[j].Name, before) {
			taken[j] = true
		}
	}
	for j, f := range s.Fields {
		if !taken[j] && f.Name != blankName {
			d.addField(loc, c.Kind, f, d.dir == toClient)
		}
	}
}

// constants returns the types of the constants among fields, which both ends must have in
// common.
func constants(fields []Field) string {
	var list []string
	for _, f := range fields {
		if f.Name == blankName {
			list = append(list, f.Type.String())
		}
	}
	return strings.Join(list, ", ")
}

// addField is addAlone for a field of a struct, or a member of a union. The reader never
// misses a member. It reads one it lacks as none, so the writer must expect that.
func (d *differ) addField(loc location, k Kind, f Field, written bool) {
	at := loc.field(truncate(f.Name))
	switch {
	case k != Union:
		d.addAlone(at, f.Type, written, f.Optional)
	case written && !f.Optional:
		writer, reader := d.dir.ends()
		client, server := truncate(f.Type.String()), ""
		if d.dir == toClient {
			client, server = server, client
		}
		d.addFix(at.String(), client, server, "tag it optional at the "+writer+", and the "+reader+" reads a union without a member")
	}
}

// addRenamed replaces the difference after the first before by that of two fields alike but
// for their names, if it is listed.
func (d *differ) addRenamed(loc location, client, server string, before int) bool {
	if len(d.found) != before+1 {
		return false
	}
	d.found = d.found[:before]
	d.count = before
	client, server = truncate(client), truncate(server)
	d.addFix(loc.field(client).String(), "calls it "+client, "calls it "+server+" (renamed)", "give it the old name by name= in its tag")
	return true
}
