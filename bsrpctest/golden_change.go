package bsrpctest

// Two versions of a method, side by side. layout.Compare finds what does not fit, this file
// what is new or gone in versions that do.

import (
	"fmt"

	"github.com/bsrpc/bsrpc/layout"
)

// A change is a field, parameter or result that one of two versions of a method lacks.
type change struct {
	place  string // "parameter 1, Order.Note"
	of     string // the struct with the field, see typeName; "" for a parameter or result
	field  string
	added  bool
	member bool // of a union
	flow
}

// A flow is who writes a value, and what for.
type flow struct {
	arg      bool // of a call or a callback
	byClient bool // the client writes it
}

// changesOf returns the fields, parameters and results that one of two versions of a method
// lacks. The versions fit.
func changesOf(old, now *layout.Method) []change {
	var w walk
	w.list("parameter", old.Params, now.Params, flow{arg: true, byClient: true})
	w.list("result", old.Results, now.Results, flow{})
	return w.changes
}

// A walk collects changes.
type walk struct {
	changes []change
	flow    // of the types being compared
}

// list compares parameters or results.
func (w *walk) list(word string, old, now []*layout.Type, f flow) {
	for i := range max(len(old), len(now)) {
		w.flow = f
		place := fmt.Sprintf("%s %d", word, i+1)
		if i >= len(old) || i >= len(now) {
			w.changes = append(w.changes, change{place: place, added: i >= len(old), flow: f})
			continue
		}
		w.compare(place, "", old[i], now[i])
	}
}

// compare compares two types. A back reference ends it: its type has been compared. A
// pointer fits its target.
func (w *walk) compare(root, path string, old, now *layout.Type) {
	for old.Kind == layout.Pointer {
		old = old.Elem
	}
	for now.Kind == layout.Pointer {
		now = now.Elem
	}
	if old.Kind != now.Kind {
		return
	}
	switch {
	case now.Func != nil: // the server calls it
		w.list(root+", func's parameter", old.Func.Params, now.Func.Params, flow{arg: true})
		w.list(root+", func's result", old.Func.Results, now.Func.Results, flow{byClient: true})
	case now.Elem != nil: // keys of maps are equal
		if path != "" && now.Kind != layout.Stream {
			path += "[]"
		}
		w.compare(root, path, old.Elem, now.Elem)
	case now.Fields != nil || old.Fields != nil:
		if path == "" {
			path = now.GoType
		}
		if path != "" {
			path += "."
		}
		w.fields(root, path, old, now)
	}
}

// fields compares the fields of two structs, or the members of two unions. First come the
// fields now, in their order, then those that are gone.
func (w *walk) fields(root, path string, old, now *layout.Type) {
	for _, f := range now.Fields {
		if before := fieldOf(old, f.Name); before != nil {
			w.compare(root, path+f.Name, before.Type, f.Type)
		} else {
			w.changes = append(w.changes, change{root + ", " + path + f.Name, typeName(now), f.Name, true, now.Kind == layout.Union, w.flow})
		}
	}
	for _, f := range old.Fields {
		if fieldOf(now, f.Name) == nil {
			w.changes = append(w.changes, change{root + ", " + path + f.Name, typeName(now), f.Name, false, now.Kind == layout.Union, w.flow})
		}
	}
}

// fieldOf returns the field of a name, nil for none.
func fieldOf(l *layout.Type, name string) *layout.Field {
	for i := range l.Fields {
		if l.Fields[i].Name == name {
			return &l.Fields[i]
		}
	}
	return nil
}

// typeName returns the name of a struct's Go type, or its layout: a server does not know
// the names. Two types of one name in different packages count as one, which is good enough
// for a note.
func typeName(l *layout.Type) string {
	if l.GoType != "" {
		return l.GoType
	}
	return l.String()
}

// bothWays returns the names of the structs that clients send and receive. A callback turns
// the direction: what the server passes to it, the client receives.
func bothWays(d *described) map[string]bool {
	sent, received := make(map[string]bool), make(map[string]bool)
	var add func(types []*layout.Type, to, back map[string]bool)
	add = func(types []*layout.Type, to, back map[string]bool) {
		for _, l := range types {
			switch {
			case l.Func != nil:
				add(l.Func.Params, back, to)
				add(l.Func.Results, to, back)
			case l.Fields != nil:
				to[typeName(l)] = true
				for _, f := range l.Fields {
					add([]*layout.Type{f.Type}, to, back)
				}
			case l.Elem != nil:
				add([]*layout.Type{l.Elem}, to, back)
			}
		}
	}
	for _, m := range d.methods {
		add(m.layout.Params, sent, received)
		add(m.layout.Results, received, sent)
	}
	for name := range sent {
		if !received[name] {
			delete(sent, name)
		}
	}
	return sent
}

// withGoTypes returns a copy of an old text with the names of the Go types now, for the
// places in differences.
func withGoTypes(old, now *layout.Method) *layout.Method {
	named := *old
	named.Params = nameTypes(old.Params, now.Params)
	named.Results = nameTypes(old.Results, now.Results)
	return &named
}

// nameTypes returns old with the names of Go types from now, for places in texts.
func nameTypes(old, now []*layout.Type) []*layout.Type {
	list := make([]*layout.Type, len(old))
	for i, l := range old {
		list[i] = l
		if i < len(now) {
			list[i] = nameType(l, now[i])
		}
	}
	return list
}

// nameType returns a copy of old with the names of now, down to the first struct: a place
// has no others.
func nameType(old, now *layout.Type) *layout.Type {
	if old.Kind != now.Kind {
		return old
	}
	named := *old
	named.GoType = now.GoType
	if old.Elem != nil && now.Elem != nil {
		named.Elem = nameType(old.Elem, now.Elem)
	}
	return &named
}
