package bsrpc

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/method"
)

// Marshal returns the encoding of v, the same bytes as of an argument of a call. Its
// type and tags determine them, see docs/tags.md. If v is a pointer, Marshal encodes
// the value it points to, without a presence byte.
//
// If the type has no wire format, the error lists all problems of the type. If the
// value does not fit its format, the error names the place in the value. A panic in a
// method of v, such as MarshalBinary, is not recovered.
//
// Marshal, Append and Unmarshal are safe for concurrent use. They compile each type
// once and cache the result.
func Marshal(v any) ([]byte, error) { return Append(nil, v) }

// Append appends the encoding of v to dst, as by Marshal, and returns the extended
// slice. If there is an error, it returns dst unchanged.
func Append(dst []byte, v any) ([]byte, error) {
	c, at, ok := codec.LookupCached(v)
	if !ok {
		var err error
		if c, at, err = toMarshal(v); err != nil {
			return dst, err
		}
	}
	dst, err := codec.Encode(c, dst, at)
	if err != nil {
		return dst, fmt.Errorf("bsrpc: %w", err)
	}
	return dst, nil
}

// toMarshal returns the codec of v and a reference to its value. A value other than a
// pointer is copied first, as a codec needs an address.
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

// compilePointed returns the codec of the value v points to, and a reference to it. v
// is a pointer and p its reflection. doing names the operation in errors.
func compilePointed(doing string, v any, p reflect.Value) (*codec.Codec, codec.Ref, error) {
	if c, at, ok := codec.LookupCached(v); ok { // toMarshal may have copied a known type
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

// Unmarshal decodes data into the value v points to. It sets every exported field, and
// allocates new memory for slices, maps and pointers. The result does not refer to
// data. If there is an error, the value may be partly set.
//
// Data from untrusted sources is safe to decode. Missing and surplus bytes are errors,
// as are wrong counts. Values nest at most 64 deep, and the memory allocated is
// limited to 16 times the length of data, or 64 MiB if that is more.
func Unmarshal(data []byte, v any) error {
	c, at, ok := codec.LookupCached(v)
	if !ok {
		var err error
		if c, at, err = toUnmarshal(v); err != nil {
			return err
		}
	}
	if err := codec.Decode(c, data, at); err != nil {
		return fmt.Errorf("bsrpc: %w", err)
	}
	return nil
}

// toUnmarshal returns the codec of the value v points to, and a reference to it.
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

// compileError returns the error for a type without a wire format.
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

// decode prepares d for decoding data within this end's limits. If own is true, the
// result may refer to data.
func (b *settings) decode(d *codec.Decoder, data []byte, own bool) {
	d.Data, d.Own, d.Lenient = data, own, false
	d.Budget, d.Depth, d.BudgetName = b.decodeBudget, b.maxDepth, "Limits.DecodeBudget"
}
