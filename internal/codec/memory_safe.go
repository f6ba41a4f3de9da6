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

// Recall finds nothing.
func Recall(any) (*Codec, Ref, bool) { return nil, Ref{}, false }

// Remember does nothing: there is no faster way to find a codec than Compile's.
func Remember(any, *Codec) {}

// ZeroAtOnce leaves every value to reflection.
func (c *Codec) ZeroAtOnce(Ref) bool { return false }

func useFast() bool { return false }

func (c *Codec) run(w *writer, buf []byte, v Ref) ([]byte, *Error) {
	return w.plain(buf, c.node, v.v, 0)
}

// appendAtOnce leaves every value to the writer, readAtOnce to the reader.
func (c *Codec) appendAtOnce(*Encoder, Ref) bool { return false }
func (c *Codec) readAtOnce(*Decoder, Ref) bool   { return false }

func (c *Codec) runBack(r *reader, v Ref) *Error { return r.plain(c.node, v.v, 0) }

// A block is memory that short strings share. A strings.Builder may hand out
// strings while it goes on being written.
type block struct{ b *strings.Builder }

func (b *block) free() int {
	if b.b == nil {
		return 0
	}
	return b.b.Cap() - b.b.Len()
}

func (b *block) renew(size int) {
	b.b = &strings.Builder{}
	b.b.Grow(size)
}

func (b *block) add(text []byte) string {
	from := b.b.Len()
	b.b.Write(text)
	return b.b.String()[from:]
}
