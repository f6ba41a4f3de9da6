package bsrpc

import (
	"fmt"
	"reflect"
	"unicode"
	"unicode/utf8"

	"github.com/bsrpc/bsrpc/internal/method"
)

// Reflection at registration, and for keys of sessions. Methods are compiled in
// internal/method, types in internal/codec.

// serviceName returns the default name of the service of rcvr: the name of its type, or
// of the type made by a Factory.
func serviceName(rcvr any) (string, error) {
	t := reflect.TypeOf(rcvr)
	if f, ok := rcvr.(Factory); ok && f.factory != nil {
		t = f.factory.typ
	}
	of := t
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name := t.Name()
	if first, _ := utf8.DecodeRuneInString(name); !unicode.IsUpper(first) {
		return "", fmt.Errorf("bsrpc: register %v: its type has no exported name; use RegisterName", of)
	}
	if !method.IsIdentifier(name) { // a generic type, List[int]
		return "", fmt.Errorf("bsrpc: register %v: the name of its type is not a valid service name; use RegisterName", of)
	}
	return name, nil
}

// funcOf returns the reflection of fn, or an error if fn is not a func or nil. name is
// the method to register, for the error.
func funcOf(name string, fn any) (reflect.Value, error) {
	v := reflect.ValueOf(fn)
	switch {
	case fn == nil:
		return v, fmt.Errorf("bsrpc: register %s: nil func", name)
	case v.Kind() != reflect.Func:
		return v, fmt.Errorf("bsrpc: register %s: %T is not a func", name, fn)
	case v.IsNil():
		return v, fmt.Errorf("bsrpc: register %s: nil %T", name, fn)
	}
	return v, nil
}

// contractType returns the type of the contract C.
func contractType[C any]() reflect.Type { return reflect.TypeFor[C]() }

// isComparable reports whether v can be the key of a map.
func isComparable(v any) bool { return v == nil || reflect.ValueOf(v).Comparable() }
