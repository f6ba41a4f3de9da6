package bsrpc

import (
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"

	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/record"
)

// Marshal returns the encoding of v, the same bytes as of an argument of a call. Its
// type and tags determine them, see docs/tags.md. If v is a pointer, Marshal encodes
// the value it points to, without a presence byte.
//
// If the type has no wire format, the error lists all problems of the type. If the
// value does not fit its format, the error names the place in the value. A panic in a
// method of v, such as MarshalBinary, is not recovered, but in those of a value tagged
// raw it is an error.
//
// Marshal, Append, Unmarshal and Decode are safe for concurrent use. They compile each type
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

// Decode decodes the value at the start of data into the value v points to, like
// Unmarshal, and returns the bytes after it: a part of data, for the next Decode of
// records one behind another. If there is an error, it returns data unchanged; the error
// of data that ends within the value matches io.ErrUnexpectedEOF.
func Decode(data []byte, v any) (rest []byte, err error) {
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

// A Decoder reads records from an io.Reader: values one behind another, as in files and
// on serial lines. Create one with [NewDecoder]. A Decoder is not safe for concurrent use.
type Decoder struct {
	// MaxRecord limits the bytes of one record. Zero means 16 MiB; NoLimit is allowed.
	MaxRecord int

	source record.Source
}

// NewDecoder returns a Decoder of the records in r. It takes from r whatever a read
// returns, so r may have been read further than the last record; those bytes are for
// later calls of Decode.
func NewDecoder(r io.Reader) *Decoder { return &Decoder{source: record.Source{R: r}} }

// defaultMaxRecord is the limit for a record by default.
const defaultMaxRecord = 16 << 20

// Decode decodes the next record into the value v points to, with the rules and limits
// of [Unmarshal], memory included: 16 times the bytes of the record, or 64 MiB. It reads
// no further than needed to complete the record, and waits for the rest of a record that
// has arrived in part. One tagged rest goes on to the end of r. Records may have different types. A record takes at least one
// byte.
//
// At the end of r it returns io.EOF between records, and within one an error that
// matches io.ErrUnexpectedEOF. Errors contain the offset from the first byte of r. After
// an error the record is still the next one, with all of its bytes: Decode may read it
// into another type, or go on once the reader has more, as after a timeout. A reader
// that returns 100 times neither bytes nor an error makes it io.ErrNoProgress. A panic
// in r is an error, too.
func (d *Decoder) Decode(v any) error {
	limit := d.MaxRecord
	switch {
	case limit == 0:
		limit = defaultMaxRecord
	case limit == NoLimit:
		limit = math.MaxInt
	case limit < 0:
		return fmt.Errorf("bsrpc: MaxRecord is %d; want a number of bytes, 0 or NoLimit", limit)
	}
	c, at, err := toDecode(v)
	if err != nil {
		return err
	}
	err = d.source.Decode(c, at, limit, "MaxRecord")
	if err == nil || err == io.EOF {
		return err
	}
	return fmt.Errorf("bsrpc: %w", err)
}

// An Encoder writes records to an io.Writer: values one behind another, without anything
// between them. Create one with [NewEncoder]. An Encoder is not safe for concurrent use.
type Encoder struct {
	w      io.Writer
	buf    []byte
	broken error // by a write that ended within a record
}

// NewEncoder returns an Encoder of records to w.
func NewEncoder(w io.Writer) *Encoder { return &Encoder{w: w} }

// Encode writes the encoding of v, as by [Marshal], in one call of Write. If v cannot be
// encoded, it writes nothing. After a write of a part of a record, all calls return the
// error of that write: later records could not be found. A panic in w is an error.
func (e *Encoder) Encode(v any) error {
	if e.broken != nil {
		return e.broken
	}
	buf, err := Append(e.buf[:0], v)
	if err != nil {
		return err
	}
	if e.buf = buf; cap(buf) > 64<<10 {
		e.buf = nil
	}
	n, err := record.Write(e.w, buf)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("bsrpc: writing failed after %d of %d bytes: %w", n, len(buf), err)
	if n > 0 && n < len(buf) {
		e.broken = err
	}
	return err
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
