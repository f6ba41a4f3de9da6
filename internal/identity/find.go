package identity

import (
	"io"
	"reflect"
	"slices"

	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// maxTree is how many errors of one tree are visited: each is compared with all listed ones.
const maxTree = 1000

// A Found is the result of Find: the identities of an error, outermost first.
type Found struct {
	IDs   []byte   // for wire.ReplyMetadata
	Names []string // of IDs
	Key   string   // the first name listed by the user; "" for none

	list    *List
	log     *report.Log // nil leaves out fields
	method  string
	depth   int // Encoder.Depth
	room    int // bytes of IDs
	visited int
}

// Find returns the identities of err, the error of a handler of method, and of the errors
// in it, in the order of errors.Is. io.EOF counts only if err is io.EOF. A nil log leaves
// out the fields of types. depth limits the nesting of fields, and room the bytes of all
// identities, see wire.IdentityRoom.
func (l *List) Find(err error, log *report.Log, method string, depth, room int) *Found {
	f := &Found{list: l, log: log, method: method, depth: depth, room: room}
	if err == io.EOF {
		f.add(&wire.Identity{Name: eofName})
	}
	f.visit(err)
	return f
}

// visit adds the identities of a tree.
func (f *Found) visit(err error) {
	for err != nil && f.visited < maxTree && len(f.Names) < wire.MaxIdentities {
		f.visited++
		if r, ok := err.(*Received); ok {
			f.addReceived(r)
			return
		}
		f.match(err)
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		case interface{ Unwrap() []error }:
			for _, err := range e.Unwrap() {
				f.visit(err)
			}
			return
		default:
			return
		}
	}
}

// match adds the identities of err itself: first by its value and type, and then by its
// methods Is and As.
func (f *Found) match(err error) {
	comparable, typ := reflect.ValueOf(err).Comparable(), reflect.TypeOf(err)
	for _, e := range f.list.all() {
		switch {
		case isReserved(e.value):
		case e.typ != nil && e.typ == typ:
			f.addType(e, reflect.ValueOf(err))
		case e.typ == nil && comparable && e.value == err:
			f.addValue(e)
		}
	}
	is, _ := err.(interface{ Is(error) bool })
	as, _ := err.(interface{ As(any) bool })
	if is == nil && as == nil {
		return
	}
	for _, e := range f.list.all() {
		switch {
		case isReserved(e.value), slices.Contains(f.Names, e.name):
		case e.typ != nil && as != nil:
			if v := reflect.New(e.typ); as.As(v.Interface()) {
				f.addType(e, v.Elem())
			}
		case e.typ == nil && is != nil && is.Is(e.value):
			f.addValue(e)
		}
	}
}

func (f *Found) addValue(e *entry) { f.addKnown(e, &wire.Identity{Name: e.name}) }

// addType adds an error of a listed type with its fields. A nil pointer has none.
func (f *Found) addType(e *entry, v reflect.Value) {
	if slices.Contains(f.Names, e.name) {
		return
	}
	if v.Kind() != reflect.Pointer {
		p := reflect.New(v.Type())
		p.Elem().Set(v)
		v = p
	}
	id := &wire.Identity{Name: e.name}
	if !v.IsNil() && f.log != nil {
		id.Hash = e.hash[:]
		room := f.room - len(wire.AppendIdentity(f.IDs, id))
		enc := codec.Encoder{Max: max(room, 1), Depth: f.depth}
		if err := e.codec.Append(&enc, codec.RefTo(v)); err != nil {
			id.Hash = nil
			e.logOnce(f.log, "bsrpc: the fields of an error cannot be sent", f.method, "err", err, "room", room)
		}
		id.Fields = enc.Buf
	}
	f.addKnown(e, id)
}

// addKnown adds an identity of this end.
func (f *Found) addKnown(e *entry, id *wire.Identity) {
	if f.add(id); f.Key == "" && !e.standard {
		f.Key = e.name
	}
}

// addReceived adds the identities of an error of a further call, known or not. That of
// io.EOF counts only if the handler returns the error of the call as it is.
func (f *Found) addReceived(r *Received) {
	ids, _ := wire.ReadIdentities(r.ids)
	wrapped := f.visited > 2 // the error of the call, and r as its cause
	for i := range ids {
		if ids[i].Name != eofName || !wrapped {
			f.add(&ids[i])
		}
	}
}

// add adds an identity, without its fields if there is no room for them.
func (f *Found) add(id *wire.Identity) {
	if len(f.Names) == wire.MaxIdentities || slices.Contains(f.Names, id.Name) {
		return
	}
	ids := wire.AppendIdentity(f.IDs, id)
	if len(ids) > f.room {
		ids = wire.AppendIdentity(f.IDs, &wire.Identity{Name: id.Name})
	}
	if len(ids) <= f.room {
		f.IDs, f.Names = ids, append(f.Names, id.Name)
	}
}
