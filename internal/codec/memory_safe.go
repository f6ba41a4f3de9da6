//go:build bsrpc_safe || !(386 || amd64 || arm || arm64 || loong64 || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x || wasm)

package codec

import (
	"reflect"
	"strings"
)

// A Ref is the address of a value of a codec's type.
type Ref struct{ v reflect.Value }

// RefTo returns the address that ptr, a pointer that is not nil, holds.
func RefTo(ptr reflect.Value) Ref { return Ref{ptr.Elem()} }

// LookupCached finds nothing.
func LookupCached(any) (*Codec, Ref, bool) { return nil, Ref{}, false }

// StoreCached does nothing: there is no faster way to find a codec than Compile's.
func StoreCached(any, *Codec) {}

// ZeroSinglePointer leaves every value to reflection.
func (c *Codec) ZeroSinglePointer(Ref) bool { return false }

func fastWorks() bool { return false }

func (c *Codec) appendValue(w *writer, buf []byte, v Ref) ([]byte, *Error) {
	return w.reflectValue(buf, c.node, v.v, 0)
}

// appendFast leaves every value to the writer, readFast to the reader.
func (c *Codec) appendFast(*Encoder, Ref) bool { return false }
func (c *Codec) readFast(*Decoder, Ref) bool   { return false }

func (c *Codec) readValue(r *reader, v Ref) *Error { return r.reflectValue(c.node, v.v, 0) }

// An arena is memory that short strings share. A strings.Builder may hand out
// strings while it goes on being written.
type arena struct{ b *strings.Builder }

func (b *arena) avail() int {
	if b.b == nil {
		return 0
	}
	return b.b.Cap() - b.b.Len()
}

func (b *arena) reset(size int) {
	b.b = &strings.Builder{}
	b.b.Grow(size)
}

func (b *arena) add(text []byte) string {
	from := b.b.Len()
	b.b.Write(text)
	return b.b.String()[from:]
}
