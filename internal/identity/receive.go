package identity

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/errtree"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A Received is the cause of an error reported by the peer: the errors of its identities,
// where this end knows them.
type Received struct {
	ids   []byte  // all, to be passed on; for wire.ReadIdentities
	known []error // outermost first
}

// Error returns the names of the identities.
func (r *Received) Error() string {
	var names []string
	ids, _ := wire.ReadIdentities(r.ids)
	for _, id := range ids {
		names = append(names, id.Name)
	}
	return strings.Join(names, ", ")
}

// Is is called by errors.Is. A user's type may match reserved errors with a method of its
// own, as if this end had cancelled or closed. So those match only themselves.
func (r *Received) Is(target error) bool {
	reserved := isReserved(target)
	for _, err := range r.known {
		if reserved && err == target || !reserved && errors.Is(err, target) {
			return true
		}
	}
	return false
}

// As is called by errors.As.
func (r *Received) As(target any) bool {
	for _, err := range r.known {
		if errors.As(err, target) {
			return true
		}
	}
	return false
}

// Caused returns the error of a call of method with the errors of its identities as its cause. b
// limits the decoding of their fields.
func Caused(l *List, err error, b *codec.Bounds, log *report.Log, method string) error {
	f, ok := err.(*fault.Fault)
	if !ok || !f.Remote {
		return err
	}
	cause := Receive(l, f.Name, f.Identities, log, method, func(d *codec.Decoder, fields []byte) { b.Begin(d, fields, false) })
	if cause == nil {
		return err
	}
	caused := *f
	caused.Err = cause
	return &caused
}

// Receive returns the cause of an error with this name and these identities, which
// wire.ReadIdentities has accepted; nil for none. The name is an identity too, if it is that
// of a listed value. prepare sets the limits of a decoder for the fields.
//
// Receive is not a method: the linker keeps the exported methods of types in a server.
func Receive(l *List, name string, encoded []byte, log *report.Log, method string, prepare func(d *codec.Decoder, fields []byte)) *Received {
	ids, _ := wire.ReadIdentities(encoded)
	if e := named(l.all(), name); e != nil && e.value != nil && !e.standard && len(ids) < wire.MaxIdentities &&
		!slices.ContainsFunc(ids, func(id wire.Identity) bool { return id.Name == name }) {
		ids = append(ids, wire.Identity{Name: name})
		encoded = wire.AppendIdentity(slices.Clip(encoded), &ids[len(ids)-1])
	}
	if len(ids) == 0 {
		return nil
	}
	r := &Received{ids: encoded}
	for i := range ids {
		if err := receiveOne(l, &ids[i], log, method, prepare); err != nil {
			r.known = append(r.known, err)
		}
	}
	return r
}

// receiveOne returns the error of one identity, or nil.
func receiveOne(l *List, id *wire.Identity, log *report.Log, method string, prepare func(*codec.Decoder, []byte)) error {
	e := named(l.all(), id.Name)
	switch {
	case e == nil:
		return nil
	case e.value != nil:
		return e.value
	case id.Hash == nil:
		return nil // the peer has logged the reason, or knows a value by this name
	case !bytes.Equal(id.Hash, e.hash[:]):
		e.logOnce(log, "bsrpc: an error has another layout at the peer, and arrives without its fields", method)
		return nil
	}
	var d codec.Decoder
	prepare(&d, id.Fields)
	err, problem := e.decode(&d, log, method)
	if problem != nil {
		e.logOnce(log, "bsrpc: the fields of an error cannot be decoded", method, "err", problem)
		return nil
	}
	return err
}

// decode returns an error of the type of e. The decoder of a user's type may panic.
func (e *entry) decode(d *codec.Decoder, log *report.Log, method string) (decoded, problem error) {
	defer func() {
		if what := recover(); what != nil {
			log.AddPanic(report.Panic, "bsrpc: panic while decoding", what, "method", method, "type", d.UserType)
			decoded, problem = nil, errors.New("panic")
		}
	}()
	p := reflect.New(e.codec.Type())
	if err := e.codec.Read(d, codec.RefTo(p)); err != nil {
		return nil, err
	}
	if e.typ.Kind() != reflect.Pointer {
		p = p.Elem()
	}
	return errtree.Bounded(p.Interface().(error)), nil
}
