package wire

// A Body is the body of a message before it is sent: a buffer, and memory of
// others that belongs between its bytes.
type Body struct {
	Buf  []byte
	Cuts []Cut
}

// A Cut is a part of a Body outside its Buf.
type Cut struct {
	At    int    // Bytes belong before Buf[At:]
	Bytes []byte // the caller's memory
}

// Size returns the length of the whole body.
func (b *Body) Size() uint64 {
	n := uint64(len(b.Buf))
	for _, c := range b.Cuts {
		n += uint64(len(c.Bytes))
	}
	return n
}

// AppendBody appends the whole of b to dst.
//
// Like Segments it is not a method: types that embed a Body would have it too, and the
// linker keeps exported methods.
func AppendBody(dst []byte, b *Body) []byte {
	at := 0
	for _, c := range b.Cuts {
		dst = append(append(dst, b.Buf[at:c.At]...), c.Bytes...)
		at = c.At
	}
	return append(dst, b.Buf[at:]...)
}

// Segments returns the parts of b in order. They alias its memory.
func Segments(b *Body) (parts [][]byte) {
	at := 0
	for _, c := range b.Cuts {
		if c.At > at {
			parts = append(parts, b.Buf[at:c.At])
			at = c.At
		}
		parts = append(parts, c.Bytes)
	}
	if at < len(b.Buf) {
		parts = append(parts, b.Buf[at:])
	}
	return parts
}
