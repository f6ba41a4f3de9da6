package codec

import (
	"fmt"
	"reflect"
	"slices"
)

// The places of values tagged secret, for the description of a method. The word is neither in
// the layout nor in the nodes, so they are found in the types.

// maxSecrets limits the places in one parameter or result. With more, it is secret as a whole.
const maxSecrets = 256

// Secrets returns the places tagged secret in a list of parameters or results, word saying
// which: "parameter 1.Users[].Token". A field has its name on the wire, "[]" is each element of
// a list or value of a map, and "[key]" each key. Where a type contains itself, the inner one is
// secret as a whole, and so is a func with secrets. tags may be nil.
func Secrets(word string, types []reflect.Type, tags []*Tag) (places []string) {
	for i, t := range types {
		place := fmt.Sprintf("%s %d", word, i+1)
		f := secretFinder{}
		if i < len(tags) && tags[i] != nil && tags[i].Secret {
			f.found = []string{place}
		} else if f.walk(t, place); f.tooMuch() {
			f.found, f.again = []string{place}, nil
		}
		if len(f.found) > 0 {
			places = append(append(places, f.found...), f.again...)
		}
	}
	return places
}

// A secretFinder walks through the types of one parameter or result.
type secretFinder struct {
	found []string
	again []string       // where a type contains itself: secret if anything is
	on    []reflect.Type // the types around the current place
	steps int            // types walked: one may be in very many places
}

// tooMuch reports whether the walk has ended early.
func (f *secretFinder) tooMuch() bool { return len(f.found) > maxSecrets || f.steps > 1<<16 }

// walk adds the places in a value of type t.
func (f *secretFinder) walk(t reflect.Type, place string) {
	if f.steps++; f.tooMuch() {
		return
	}
	if slices.Contains(f.on, t) {
		f.again = append(f.again, place)
		return
	}
	f.on = append(f.on, t)
	defer func() { f.on = f.on[:len(f.on)-1] }()
	switch t.Kind() {
	case reflect.Pointer:
		f.walk(t.Elem(), place)
	case reflect.Slice, reflect.Array:
		f.walk(t.Elem(), place+"[]")
	case reflect.Map:
		f.walk(t.Key(), place+"[key]")
		f.walk(t.Elem(), place+"[]")
	case reflect.Func:
		f.fn(t, place)
	case reflect.Struct:
		for i := range t.NumField() {
			f.field(t.Field(i), place)
		}
	}
}

// fn adds the place of a func with secrets, or the places in the items of an iterator.
func (f *secretFinder) fn(t reflect.Type, place string) {
	if IsIterator(t) {
		f.walk(t.In(0).In(0), place+"[]")
		return
	}
	inner := secretFinder{on: f.on, steps: f.steps}
	for i := range t.NumIn() {
		inner.walk(t.In(i), "")
	}
	for i := range t.NumOut() {
		inner.walk(t.Out(i), "")
	}
	if f.steps = inner.steps; len(inner.found) > 0 {
		f.found = append(f.found, place)
	}
}

// field adds the place of a field, or the places in it.
func (f *secretFinder) field(field reflect.StructField, place string) {
	tag, skip, err := ParseFieldTag(field.Tag.Get("bsrpc"))
	if err != nil || skip || !field.IsExported() {
		return
	}
	at := place + "." + tag.name(field.Name)
	if tag.Secret {
		f.found = append(f.found, at)
	} else {
		f.walk(field.Type, at)
	}
}
