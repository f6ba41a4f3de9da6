package bsrpc

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/bsrpc/bsrpc/internal/codec"
)

// Marshal returns the encoding of v, by the types and tags that methods go by.
// If v is a pointer, it is followed once, without a presence byte.
func Marshal(v any) ([]byte, error) { return Append(nil, v) }

// Append appends the encoding of v to dst, as Marshal makes it. On an error dst
// is returned as it was.
func Append(dst []byte, v any) ([]byte, error) {
	p := reflect.ValueOf(v)
	switch {
	case !p.IsValid():
		return dst, errors.New("bsrpc: marshal: nil has no type")
	case p.Kind() != reflect.Pointer:
		p = reflect.New(p.Type())
		p.Elem().Set(reflect.ValueOf(v))
	case p.IsNil():
		return dst, fmt.Errorf("bsrpc: marshal: nil %T", v)
	}
	c, err := codec.Compile(p.Type().Elem(), nil)
	if err != nil {
		return dst, compileError("marshal", p.Type().Elem(), err)
	}
	e := codec.Encoder{Buf: dst}
	if err := c.Append(&e, codec.RefTo(p)); err != nil {
		return dst, fmt.Errorf("bsrpc: %w", err)
	}
	return e.Buf, nil
}

// Unmarshal decodes data, all of it, into the value that v points to. It sets
// every exported field anew and reuses no memory that v refers to; what it
// sets refers to no memory of data. On an error the value is set in part.
func Unmarshal(data []byte, v any) error {
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return fmt.Errorf("bsrpc: unmarshal: %T, want a pointer to the value", v)
	}
	c, err := codec.Compile(p.Type().Elem(), nil)
	if err != nil {
		return compileError("unmarshal", p.Type().Elem(), err)
	}
	if err := c.Read(&codec.Decoder{Data: data}, codec.RefTo(p)); err != nil {
		return fmt.Errorf("bsrpc: %w", err)
	}
	return nil
}

// compileError is the error of a type that has no wire form.
func compileError(doing string, t reflect.Type, err error) error {
	var list codec.Problems
	if !errors.As(err, &list) {
		return fmt.Errorf("bsrpc: %s %v: %w", doing, t, err)
	}
	var problems []problem
	for _, p := range list {
		problems = append(problems, problem{p.Path, p.Text})
	}
	return problemsError(doing+" "+t.String(), problems)
}
