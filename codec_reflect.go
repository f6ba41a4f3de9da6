package bsrpc

import (
	"fmt"
	"reflect"
	"unicode"
	"unicode/utf8"

	"github.com/bsrpc/bsrpc/internal/method"
)

// The use of reflection at registration, and for keys of sessions. Methods are compiled
// in internal/method, types in internal/codec.

// serviceName returns the service name of a receiver, the name of its type.
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
	if !method.IsIdentifier(name) { // List[int]
		return "", fmt.Errorf("bsrpc: register %v: its type's name cannot be a service's; use RegisterName", of)
	}
	return name, nil
}

// funcOf returns fn if it is a func.
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

// contractType returns the type of a contract.
func contractType[C any]() reflect.Type { return reflect.TypeFor[C]() }

// isComparable reports whether a user's value can be a map's key.
func isComparable(v any) bool { return v == nil || reflect.ValueOf(v).Comparable() }
