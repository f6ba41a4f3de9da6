// Package record encodes and decodes values without calls: alone, and as records one behind
// another in files and on serial lines, without anything between them.
//
// A [Source] decodes a record twice at most. The fast executor tries the buffered bytes
// first. If these are too few, and waiting for the missing ones has not doubled them,
// the reflect executor continues with the reader, without a second attempt: many small
// reads of a long record would otherwise take quadratic time.
package record

import (
	"errors"
	"fmt"
	"io"

	"github.com/bsrpc/bsrpc/internal/codec"
)

const (
	firstBuffer = 4 << 10
	keptBuffer  = 64 << 10 // a longer buffer is released after its record
	maxEmpty    = 100      // reads without bytes and error in succession
)

// A Source reads records from R through a buffer. It calls Read only for bytes that the
// next record lacks. It is not safe for concurrent use.
type Source struct {
	R io.Reader

	buf     []byte // the bytes before from are consumed, the others wait
	from    int    // of the next record in buf
	offset  int64  // of the next record in the stream
	max     int    // limit for the bytes of a record, at least 1
	toEnd   bool   // the record goes on to the end of the stream
	pending error  // by the reader, with its last bytes
	err     error  // the reason for too few bytes: by the reader, or errTooLong
	decoder codec.Decoder
}

// errTooLong is the reason for a record that needs more than Source.max bytes.
var errTooLong = errors.New("record too long")

// Decode decodes the next record into v. It returns io.EOF if the stream ends before its
// first byte. After any other error the record is still the next one, and its bytes
// remain buffered. A record of more than limit bytes is an error; name is the option
// for limit.
func (s *Source) Decode(c *codec.Codec, v codec.Ref, limit int, name string) error {
	s.max, s.toEnd = limit, c.ToEnd()
	if !s.fill(1) {
		if s.err == io.EOF {
			return io.EOF
		}
		return fmt.Errorf("reading failed: %w, offset %d", s.err, s.offset)
	}
	n, err := s.attempt(c, v)
	switch {
	case err != nil:
		return s.explain(err, name)
	case n == 0:
		return fmt.Errorf("%v takes no bytes, and a record takes at least one, offset %d", c.Type(), s.offset)
	}
	s.consume(n)
	return nil
}

// attempt decodes the next record, from the buffer or with further bytes of the reader.
func (s *Source) attempt(c *codec.Codec, v codec.Ref) (int, error) {
	d := &s.decoder
	*d = codec.Decoder{}
	for !c.ToEnd() {
		d.Data = s.buffered()
		n, err := c.ReadStart(d, v)
		e, wrong := err.(*codec.Error)
		if !wrong || e.Need == 0 {
			return n, err
		}
		// Only here the bytes may be moved: nothing refers to them.
		s.compact()
		if !s.fill(e.Need) {
			return n, err
		}
		if len(s.buffered())/2 < len(d.Data) {
			break
		}
	}
	d.Data, d.More = s.buffered(), s.more
	n, err := c.ReadStart(d, v)
	// A value up to the end of the stream has been read as if it ended here.
	if c.ToEnd() && err == nil && s.err != nil && s.err != io.EOF {
		err = &codec.Error{Offset: n, Need: n + 1}
	}
	return n, err
}

// explain completes the error of a record.
func (s *Source) explain(err error, name string) error {
	e, ok := err.(*codec.Error)
	if !ok {
		return err
	}
	e.Base = s.offset
	switch {
	case e.Need == 0 || s.err == nil || s.err == io.EOF:
	case s.err == errTooLong:
		e.Text, e.Err = fmt.Sprintf("the record exceeds %s (%d)", name, s.max), codec.ErrLimit
	default:
		e.Text, e.Err = "reading failed: "+s.err.Error(), s.err
	}
	return e
}

// buffered returns the bytes of the next record, and any after it, up to the limit.
func (s *Source) buffered() []byte {
	b := s.buf[s.from:]
	n := min(len(b), s.max)
	return b[:n:n]
}

// more returns the buffered bytes after waiting for n of them, for codec.Decoder.
func (s *Source) more(n int) []byte {
	s.fill(n)
	return s.buffered()
}

// fill waits until n bytes of the next record are buffered, and reports whether they
// are. Otherwise err is the reason. It does not move bytes within their memory.
func (s *Source) fill(n int) bool {
	// A record up to the end of the stream may have all of max bytes: whether it ends there
	// shows the next byte.
	peek := s.toEnd && n-1 == s.max
	if s.err = nil; n > s.max && !peek {
		s.err = errTooLong
		return false
	}
	for empty := 0; len(s.buf)-s.from < n; {
		if s.pending != nil {
			s.err, s.pending = s.pending, nil
			return false
		}
		s.reserve()
		k, err := readGuarded(s.R, s.buf[len(s.buf):cap(s.buf)])
		s.buf, s.pending = s.buf[:len(s.buf)+k], err
		if empty++; k > 0 {
			empty = 0
		}
		if err == nil && empty == maxEmpty {
			s.pending = io.ErrNoProgress
		}
	}
	if peek {
		s.err = errTooLong
	}
	return !peek
}

// reserve ensures room in buf. The buffer doubles with the bytes that have arrived,
// whatever the size announced by the record.
func (s *Source) reserve() {
	if len(s.buf) < cap(s.buf) {
		return
	}
	have := len(s.buf) - s.from
	grown := make([]byte, have, max(firstBuffer, 2*have))
	copy(grown, s.buf[s.from:])
	s.buf, s.from = grown, 0
}

// compact moves the buffered bytes to the start of the buffer.
func (s *Source) compact() {
	s.buf = s.buf[:copy(s.buf, s.buf[s.from:])]
	s.from = 0
}

// consume ends a record of n bytes.
func (s *Source) consume(n int) {
	s.from += n
	s.offset += int64(n)
	switch rest := len(s.buf) - s.from; {
	case cap(s.buf) > keptBuffer && rest <= keptBuffer/2:
		s.buf = append(make([]byte, 0, max(firstBuffer, 2*rest)), s.buf[s.from:]...)
		s.from = 0
	case rest == 0:
		s.buf, s.from = s.buf[:0], 0
	}
}

// readGuarded reads into p. A panic of the reader, and a count that cannot be true,
// become errors.
func readGuarded(r io.Reader, p []byte) (n int, err error) {
	defer recovered(&n, &err, "Read")
	n, err = r.Read(p)
	return checkCount(n, len(p), err, "Read")
}

// write writes b to w, all of it or with an error. A panic of the writer, and a count
// that cannot be true, become errors.
func write(w io.Writer, b []byte) (n int, err error) {
	defer recovered(&n, &err, "Write")
	n, err = w.Write(b)
	if n, err = checkCount(n, len(b), err, "Write"); n < len(b) && err == nil {
		err = io.ErrShortWrite
	}
	return n, err
}

// checkCount returns the results of a Read or Write of up to most bytes.
func checkCount(n, most int, err error, method string) (int, error) {
	if n < 0 || n > most {
		return 0, fmt.Errorf("%s returned %d for %d bytes", method, n, most)
	}
	return n, err
}

// recovered makes a panic in a user's method the error of a call to it.
func recovered(n *int, err *error, method string) {
	if p := recover(); p != nil {
		*n, *err = 0, codec.PanicError(method, p)
	}
}
