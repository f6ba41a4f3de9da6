package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// HashSize is the length of a method's hash.
const HashSize = 32

// A BindRequest is the body of a Bind frame: the methods of a service to bind,
// and the hashes of the client's contract for them.
type BindRequest struct {
	Service string
	Names   []string
	Hashes  [][HashSize]byte // one for each name; nil with the flag Describe or Texts
	Texts   []string         // with the flag Texts: one canonical text for each name
}

// NameSize returns the length of the i-th name with its hash or text.
func (r *BindRequest) NameSize(i int) int {
	size := 2 + len(r.Names[i])
	if r.Hashes != nil {
		size += 1 + HashSize
	}
	if r.Texts != nil {
		size += 4 + len(r.Texts[i])
	}
	return size
}

// Flags returns the flags of the frame.
func (r *BindRequest) Flags() Flags {
	switch {
	case r.Texts != nil:
		return Texts
	case r.Hashes != nil:
		return 0
	}
	return Describe
}

// Append appends the request's bytes.
func (r *BindRequest) Append(dst []byte) []byte {
	dst = AppendString16(dst, r.Service)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(r.Names)))
	for i, name := range r.Names {
		dst = AppendString16(dst, name)
		if r.Hashes != nil {
			dst = append(dst, HashSize)
			dst = append(dst, r.Hashes[i][:]...)
		}
		if r.Texts != nil {
			dst = AppendString32(dst, r.Texts[i])
		}
	}
	return dst
}

// ReadBindRequest reads the body of a Bind frame with these flags. A body with
// the flag Describe or Texts contains no hashes.
func ReadBindRequest(body []byte, flags Flags) (*BindRequest, error) {
	c := NewCursor(body)
	r := &BindRequest{Service: c.String16()}
	if flags == Describe|Texts {
		c.Fail("both flags, DESCRIBE and TEXTS")
	}
	for n := int(c.Uint16()); n > 0 && c.Err() == nil; n-- {
		r.Names = append(r.Names, c.String16())
		if flags&Describe != 0 {
			continue
		}
		if flags&Texts != 0 {
			r.Texts = append(r.Texts, c.String32())
			continue
		}
		if size := c.Uint8(); c.Err() == nil && size != HashSize {
			c.Fail("hash of %d bytes, want %d", size, HashSize)
		}
		var hash [HashSize]byte
		copy(hash[:], c.Next(HashSize))
		r.Hashes = append(r.Hashes, hash)
	}
	return r, c.Done()
}

// A BindStatus is the server's verdict on one method of a BindRequest.
type BindStatus uint8

// The statuses of a BindResult.
const (
	BindOK        BindStatus = iota // bound to Number
	BindDiffers                     // the hashes differ; Text is the server's
	BindUnknown                     // not a method of the service; Text lists similar names
	BindNoService                   // not a service of the server; Text of the first result lists similar names
)

// A BindResult is the response for one method of a BindRequest.
type BindResult struct {
	Status BindStatus
	Number uint16 // with BindOK
	Text   string // the method's canonical text, with BindDiffers or the flag Describe; similar names if unknown
}

// AppendBindResponse appends the response to a BindRequest, the body of a
// Response frame.
func AppendBindResponse(dst []byte, methods []BindResult) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(methods)))
	for _, m := range methods {
		dst = append(dst, byte(m.Status), byte(m.Number), byte(m.Number>>8))
		dst = AppendString32(dst, m.Text)
	}
	return dst
}

// BindResponseSize returns the length appended by AppendBindResponse.
func BindResponseSize(methods []BindResult) uint64 {
	n := uint64(2)
	for _, m := range methods {
		n += 1 + 2 + 4 + uint64(len(m.Text))
	}
	return n
}

// ReadBindResponse reads the response to a BindRequest of want methods.
func ReadBindResponse(body []byte, want int) ([]BindResult, error) {
	c := NewCursor(body)
	if n := int(c.Uint16()); c.Err() == nil && n != want {
		return nil, fmt.Errorf("response for %d methods, want %d", n, want)
	}
	// The count equals the number requested, so it is safe to allocate.
	methods := make([]BindResult, want)
	for i := range methods {
		methods[i] = BindResult{BindStatus(c.Uint8()), c.Uint16(), c.String32()}
		if methods[i].Status > BindNoService {
			c.Fail("unknown status %d", methods[i].Status)
		}
	}
	return methods, c.Done()
}

// ErrNoCode is the error of a failure whose code says that nothing has failed.
var ErrNoCode = errors.New("a failure with code 0")

// A Failure is the body of an Error or Close frame.
type Failure struct {
	Name    string // identifies the kind of error for programs; may be empty
	Message string
	LogID   string // identifies the entry in the sender's log; may be empty
}

// Append appends the failure's bytes.
func (f *Failure) Append(dst []byte) []byte {
	dst = AppendString16(dst, f.Name)
	dst = AppendString32(dst, f.Message)
	return AppendString16(dst, f.LogID)
}

// ReadFailure reads the body of an Error or Close frame.
func ReadFailure(body []byte) (Failure, error) {
	c := NewCursor(body)
	f := Failure{c.String16(), c.String32(), c.String16()}
	return f, c.Done()
}
