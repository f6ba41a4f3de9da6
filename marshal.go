package bsrpc

import (
	"io"

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
func Append(dst []byte, v any) ([]byte, error) { return record.Append(dst, v) }

// Unmarshal decodes data into the value v points to. It sets every exported field, and
// allocates new memory for slices, maps and pointers. The result does not refer to
// data. If there is an error, the value may be partly set.
//
// Data from untrusted sources is safe to decode. Missing and surplus bytes are errors,
// as are wrong counts. Values nest at most 64 deep, and the memory allocated is
// limited to 16 times the length of data, or 64 MiB if that is more.
func Unmarshal(data []byte, v any) error { return record.Decode(data, v) }

// Decode decodes the value at the start of data into the value v points to, like
// Unmarshal, and returns the bytes after it: a part of data, for the next Decode of
// records one behind another. If there is an error, it returns data unchanged; the error
// of data that ends within the value matches io.ErrUnexpectedEOF.
func Decode(data []byte, v any) (rest []byte, err error) { return record.DecodeStart(data, v) }

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
func (d *Decoder) Decode(v any) error { return d.source.Next(v, d.MaxRecord) }

// An Encoder writes records to an io.Writer: values one behind another, without anything
// between them. Create one with [NewEncoder]. An Encoder is not safe for concurrent use.
type Encoder struct{ sink record.Sink }

// NewEncoder returns an Encoder of records to w.
func NewEncoder(w io.Writer) *Encoder { return &Encoder{record.Sink{W: w}} }

// Encode writes the encoding of v, as by [Marshal], in one call of Write. If v cannot be
// encoded, it writes nothing. After a write of a part of a record, all calls return the
// error of that write: later records could not be found. A panic in w is an error.
func (e *Encoder) Encode(v any) error { return e.sink.Write(v) }
