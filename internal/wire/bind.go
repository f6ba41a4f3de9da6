package wire

import (
	"encoding/binary"
	"fmt"
)

// HashSize is the length of a method's hash.
const HashSize = 32

// BindRequest is the body of a Bind frame: which methods of a service the
// client means to call, and by which contract.
type BindRequest struct {
	Service string
	Names   []string
	Hashes  [][HashSize]byte // one for each name; none in a Bind that describes
}

// BoundSize is the length that one more name takes in a BindRequest.
func BoundSize(name string) int { return 2 + len(name) + 1 + HashSize }

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
	}
	return dst
}

// ReadBindRequest reads a Bind frame's body, whose flags say whether there are
// hashes in it.
func ReadBindRequest(body []byte, flags Flags) (*BindRequest, error) {
	c := NewCursor(body)
	r := &BindRequest{Service: c.String16()}
	for n := int(c.Uint16()); n > 0 && c.Err() == nil; n-- {
		r.Names = append(r.Names, c.String16())
		if flags&Describe != 0 {
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

// BoundStatus is what a server says of a method that a client wants to bind.
type BoundStatus uint8

// The answers to a Bind, one for each method.
const (
	Bound     BoundStatus = iota // Number calls it
	Differs                      // the hashes are not equal; Text is the server's
	Unknown                      // the service has no such method; Text has names that are alike
	NoService                    // the server has no such service; Text of the first has names that are alike
)

// A BoundMethod is the answer for one method of a Bind.
type BoundMethod struct {
	Status BoundStatus
	Number uint16 // where Bound
	Text   string // the method's canonical text, where it differs or was asked for; names that are alike, where there is none
}

// AppendBound appends the answer to a Bind, the body of a Response.
func AppendBound(dst []byte, methods []BoundMethod) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(methods)))
	for _, m := range methods {
		dst = append(dst, byte(m.Status), byte(m.Number), byte(m.Number>>8))
		dst = AppendString32(dst, m.Text)
	}
	return dst
}

// BoundsSize is how many bytes AppendBound appends.
func BoundsSize(methods []BoundMethod) uint64 {
	n := uint64(2)
	for _, m := range methods {
		n += 1 + 2 + 4 + uint64(len(m.Text))
	}
	return n
}

// ReadBound reads the answer to a Bind of want methods.
func ReadBound(body []byte, want int) ([]BoundMethod, error) {
	c := NewCursor(body)
	if n := int(c.Uint16()); c.Err() == nil && n != want {
		return nil, fmt.Errorf("answer for %d methods, want %d", n, want)
	}
	methods := make([]BoundMethod, want)
	for i := range methods {
		methods[i] = BoundMethod{BoundStatus(c.Uint8()), c.Uint16(), c.String32()}
		if methods[i].Status > NoService {
			c.Fail("unknown status %d", methods[i].Status)
		}
	}
	return methods, c.Done()
}

// A Failure is the body of an Error frame, and of Close.
type Failure struct {
	Name    string // of the error, for the caller to tell it by
	Message string
	LogID   string // of the line in the sender's log
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
