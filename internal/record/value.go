package record

import (
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"

	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/method"
)

// Append appends the encoding of v, or of the value v points to, to dst. If there is an error, it
// returns dst unchanged. Errors are those of users, as everywhere in this file.
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

// Decode decodes data, all of it, into the value v points to.
func Decode(data []byte, v any) error {
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

// DecodeStart decodes the value at the start of data, and returns the bytes after it. If there is
// an error, it returns data.
func DecodeStart(data []byte, v any) (rest []byte, err error) {
	c, at, err := toDecode(v)
	if err != nil {
		return data, err
	}
	n, err := codec.DecodeStart(c, data, at)
	if err != nil {
		return data, fmt.Errorf("bsrpc: %w", err)
	}
	return data[n:], nil
}

// toDecode returns the codec of the value v points to, and a reference to it.
func toDecode(v any) (*codec.Codec, codec.Ref, error) {
	if c, at, ok := codec.LookupCached(v); ok {
		return c, at, nil
	}
	return toUnmarshal(v)
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

const (
	defaultMaxRecord = 16 << 20 // of an option MaxRecord that is 0
	noLimit          = -1       // the value of options without a limit
)

// Next decodes the next record into the value v points to. most is the option MaxRecord. At the end
// of the reader it returns io.EOF.
func (s *Source) Next(v any, most int) error {
	switch {
	case most == 0:
		most = defaultMaxRecord
	case most == noLimit:
		most = math.MaxInt
	case most < 0:
		return fmt.Errorf("bsrpc: MaxRecord is %d; want a number of bytes, 0 or NoLimit", most)
	}
	c, at, err := toDecode(v)
	if err != nil {
		return err
	}
	err = s.Decode(c, at, most, "MaxRecord")
	if err == nil || err == io.EOF {
		return err
	}
	return fmt.Errorf("bsrpc: %w", err)
}

// A Sink writes records to W. It is not safe for concurrent use.
type Sink struct {
	W io.Writer

	buf    []byte
	broken error // by a write that ended within a record
}

// Write writes the encoding of v in one call of Write, or nothing if v cannot be encoded. After a
// write of a part of a record, all calls return the error of that write.
func (s *Sink) Write(v any) error {
	if s.broken != nil {
		return s.broken
	}
	buf, err := Append(s.buf[:0], v)
	if err != nil {
		return err
	}
	if s.buf = buf; cap(buf) > keptBuffer {
		s.buf = nil
	}
	n, err := write(s.W, buf)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("bsrpc: writing failed after %d of %d bytes: %w", n, len(buf), err)
	if n > 0 && n < len(buf) {
		s.broken = err
	}
	return err
}
