// Package identity knows errors by names which both ends of a connection have agreed on.
// It finds them in the error of a handler, encodes them for an ERROR frame, and makes
// errors of them at the caller. It knows neither calls nor connections.
//
// Methods of users' errors and types may panic. Find does not recover, Receive does.
package identity

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/errtree"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A List contains the errors one end knows by name. A nil List contains the standard ones.
// It is immutable and safe for concurrent use.
type List struct{ entries []*entry }

// An entry is an error with a name: a value, for errors.Is, or a type, for errors.As.
type entry struct {
	name     string
	standard bool                // not listed by the user
	value    error               // nil for a type
	typ      reflect.Type        // nil for a value
	codec    *codec.Codec        // of typ, or of the target of a pointer
	hash     [wire.HashSize]byte // of the codec's layout
	logged   atomic.Bool         // one line about fields that do not travel
}

// standard are the errors every end knows. io.EOF is special: see isReserved and Find.
var standard = []*entry{
	{name: "fs.ErrNotExist", standard: true, value: fs.ErrNotExist},
	{name: "fs.ErrExist", standard: true, value: fs.ErrExist},
	{name: "fs.ErrPermission", standard: true, value: fs.ErrPermission},
	{name: "fs.ErrInvalid", standard: true, value: fs.ErrInvalid},
	{name: "fs.ErrClosed", standard: true, value: fs.ErrClosed},
	{name: "io.ErrUnexpectedEOF", standard: true, value: io.ErrUnexpectedEOF},
	{name: "errors.ErrUnsupported", standard: true, value: errors.ErrUnsupported},
	{name: eofName, standard: true, value: io.EOF},
}

const eofName = "io.EOF"

// isReserved reports whether err has a meaning of its own at each end, which an error of
// the other end must not match.
func isReserved(err error) bool {
	switch err {
	case context.Canceled, context.DeadlineExceeded, io.EOF, fault.ErrClosed, fault.ErrServerClosed:
		return true
	}
	return false
}

// MaxName is the most bytes of the name of a listed error.
const MaxName = 64

// New returns the list of errs, by name, and of the standard errors. It also returns why
// errors cannot be listed; the list is valid without them.
func New(errs map[string]error) (l *List, problems []string) {
	if len(errs) == 0 {
		return nil, nil
	}
	l = new(List)
	for _, name := range slices.Sorted(maps.Keys(errs)) {
		e := &entry{name: name}
		found := e.set(errs[name], l.entries)
		for _, p := range found {
			problems = append(problems, fmt.Sprintf("key %q: %s", fault.Cut(name, MaxName), p))
		}
		if found == nil {
			l.entries = append(l.entries, e)
		}
	}
	l.entries = append(l.entries, standard...)
	return l, problems
}

// all returns the entries of l.
func (l *List) all() []*entry {
	if l == nil {
		return standard
	}
	return l.entries
}

// named returns the entry of a name, or nil.
func named(list []*entry, name string) *entry {
	for _, e := range list {
		if e.name == name {
			return e
		}
	}
	return nil
}

// set makes e the entry of err. listed are the entries so far. It returns why err cannot be
// listed by this name.
func (e *entry) set(err error, listed []*entry) (problems []string) {
	switch {
	case !isName(e.name):
		problems = append(problems, fmt.Sprintf("want 1 to %d letters, digits, \"_\", \"-\" or \".\"", MaxName))
	case named(standard, e.name) != nil:
		problems = append(problems, "the name of a standard error, which needs no entry")
	}
	if err == nil {
		return append(problems, "nil; want an error, or a nil pointer of its type")
	}
	switch v := reflect.ValueOf(err); {
	case isReserved(err):
		return append(problems, "this error has a meaning of its own at each end; use another one")
	case v.IsZero():
		if err := e.setType(v.Type()); err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				problems = append(problems, line+"; a field with the tag \"-\" does not travel")
			}
			return problems
		}
	case v.Kind() == reflect.Pointer && isZeroWithFields(v.Elem()):
		return append(problems, fmt.Sprintf("pointer to a zero %[1]v; use (*%[1]v)(nil) for the type", v.Type().Elem()))
	case !v.Comparable():
		return append(problems, fmt.Sprintf("a %[1]v cannot be compared; use the zero %[1]v for the type", v.Type()))
	default:
		if sound := errtree.Sound(err); sound != err {
			return append(problems, sound.Error())
		}
		e.value = err
	}
	if other := e.double(standard); other != nil {
		problems = append(problems, fmt.Sprintf("a standard error, which travels as %q without an entry", other.name))
	} else if other := e.double(listed); other != nil {
		problems = append(problems, fmt.Sprintf("the same error as key %q; keep one of them", other.name))
	}
	return problems
}

// setType makes e the entry of a type. Errors are of type codec.Problems.
func (e *entry) setType(t reflect.Type) (err error) {
	target := t
	if t.Kind() == reflect.Pointer {
		target = t.Elem()
	}
	if e.codec, err = codec.Compile(target, nil); err != nil {
		return err
	}
	if err = e.codec.Standalone(); err != nil { // the fields of an error travel in answers
		return err
	}
	e.typ = t
	e.hash = sha256.Sum256([]byte("bsrpc error 1\n" + e.codec.Layout().String()))
	return nil
}

// double returns the entry in list with the value or type of e, or nil.
func (e *entry) double(list []*entry) *entry {
	for _, other := range list {
		if e.typ == other.typ && e.value == other.value {
			return other
		}
	}
	return nil
}

// isZeroWithFields reports whether v is a zero struct with exported fields.
func isZeroWithFields(v reflect.Value) bool {
	if v.Kind() != reflect.Struct || !v.IsZero() {
		return false
	}
	for i := range v.NumField() {
		if v.Type().Field(i).IsExported() {
			return true
		}
	}
	return false
}

// isName reports whether s can be the name of an identity.
func isName(s string) bool {
	for _, c := range []byte(s) {
		if c != '_' && c != '-' && c != '.' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return s != "" && len(s) <= MaxName
}

// logOnce logs the first line about errors of e whose fields do not travel.
func (e *entry) logOnce(log *report.Log, text, method string, args ...any) {
	if !e.logged.Swap(true) {
		log.Add(report.Result, slog.LevelWarn, text, append([]any{"name", e.name, "method", method}, args...)...)
	}
}
