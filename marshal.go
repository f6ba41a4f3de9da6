package bsrpc

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/method"
)

// Marshal returns the encoding of v, the same bytes that v has as an argument of
// a call: types and tags decide, docs/tags.md has them. If v is a pointer, it is
// followed once, without a presence byte. A type without a wire form is an error
// that lists all problems, a value that does not fit one that names its place.
//
// A method of v's own that panics, such as MarshalBinary, panics in Marshal's caller.
//
// Marshal, Append and Unmarshal are safe for concurrent use. What they learn of a
// type they keep for the next time.
func Marshal(v any) ([]byte, error) { return Append(nil, v) }

// Append appends the encoding of v to dst, as Marshal makes it. On an error dst
// is returned as it was.
func Append(dst []byte, v any) ([]byte, error) {
	c, at, ok := codec.LookupCached(v)
	if !ok {
		var err error
		if c, at, err = toMarshal(v); err != nil {
			return dst, err
		}
	}
	dst, err := c.Encode(dst, at)
	if err != nil {
		return dst, fmt.Errorf("bsrpc: %w", err)
	}
	return dst, nil
}

// toMarshal returns the codec of v, or of what it points to, and where that is.
func toMarshal(v any) (*codec.Codec, codec.Ref, error) {
	p := reflect.ValueOf(v)
	switch {
	case !p.IsValid():
		return nil, codec.Ref{}, errors.New("bsrpc: marshal: nil has no type")
	case p.Kind() != reflect.Pointer:
		p = reflect.New(p.Type())
		p.Elem().Set(reflect.ValueOf(v))
		v = p.Interface()
	case p.IsNil():
		return nil, codec.Ref{}, fmt.Errorf("bsrpc: marshal: nil %T", v)
	}
	return compilePointed("marshal", v, p)
}

// compilePointed returns the codec of what v, whose reflection is p, points to.
func compilePointed(doing string, v any, p reflect.Value) (*codec.Codec, codec.Ref, error) {
	if c, at, ok := codec.LookupCached(v); ok { // v may be a copy's address
		return c, at, nil
	}
	t := p.Type().Elem()
	c, err := codec.Compile(t, nil)
	if err != nil {
		return nil, codec.Ref{}, compileError(doing, t, err)
	}
	codec.StoreCached(v, c)
	return c, codec.RefTo(p), nil
}

// Unmarshal decodes data, all of it, into the value that v points to. It sets
// every exported field anew and reuses no memory that v refers to; what it
// sets refers to no memory of data. On an error the value is set in part.
//
// The data may come from anybody: bytes that are cut off, left over or lie about
// their number are an error, values nest at most 64 deep, and no more memory is
// made than 16 times the data, or 64 MiB where that is more.
func Unmarshal(data []byte, v any) error {
	c, at, ok := codec.LookupCached(v)
	if !ok {
		var err error
		if c, at, err = toUnmarshal(v); err != nil {
			return err
		}
	}
	if err := c.Decode(data, at); err != nil {
		return fmt.Errorf("bsrpc: %w", err)
	}
	return nil
}

// toUnmarshal returns the codec of what v points to, and where that is.
func toUnmarshal(v any) (*codec.Codec, codec.Ref, error) {
	p := reflect.ValueOf(v)
	switch {
	case !p.IsValid():
		return nil, codec.Ref{}, errors.New("bsrpc: unmarshal: nil, want a pointer to the value")
	case p.Kind() != reflect.Pointer:
		return nil, codec.Ref{}, fmt.Errorf("bsrpc: unmarshal: %T, want a pointer to the value", v)
	case p.IsNil():
		return nil, codec.Ref{}, fmt.Errorf("bsrpc: unmarshal: nil %T, want a pointer to the value", v)
	}
	return compilePointed("unmarshal", v, p)
}

// compileError is the error of a type that has no wire form.
func compileError(doing string, t reflect.Type, err error) error {
	var list codec.Problems
	if !errors.As(err, &list) {
		return fmt.Errorf("bsrpc: %s %v: %w", doing, t, err)
	}
	var problems []method.Problem
	for _, p := range list {
		problems = append(problems, method.Problem{Path: p.Path, Text: p.Text})
	}
	return method.ProblemsError(doing+" "+t.String(), problems)
}
