// Package key has a type with an encoding of its own, for the test of bsrpc gen go.
package key

import "errors"

// An ID travels as its bytes.
type ID [4]byte

// MarshalBinary implements encoding.BinaryMarshaler.
func (k ID) MarshalBinary() ([]byte, error) { return k[:], nil }

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (k *ID) UnmarshalBinary(b []byte) error {
	if copy(k[:], b) != len(b) {
		return errors.New("too long")
	}
	return nil
}
