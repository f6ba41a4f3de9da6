//go:build bsrpc_safe || !(386 || amd64 || arm || arm64 || loong64 || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x || wasm)

package codec

import (
	"reflect"
	"strings"
)

// A Ref refers to a value of a codec's type.
type Ref struct{ v reflect.Value }

// RefTo returns a Ref to the target of ptr, a non-nil pointer.
func RefTo(ptr reflect.Value) Ref { return Ref{ptr.Elem()} }

// CopyOf returns a pointer to a copy of the value at r.
func CopyOf(c *Codec, r Ref) any {
	to := reflect.New(c.Type())
	to.Elem().Set(r.v)
	return to.Interface()
}

// valueAt returns the value at r.
func (c *Codec) valueAt(r Ref) reflect.Value { return r.v }

// LookupCached always misses: without unsafe code there is no cache.
func LookupCached(any) (*Codec, Ref, bool) { return nil, Ref{}, false }

// StoreCached does nothing.
func StoreCached(any, *Codec) {}

// ZeroSinglePointer returns false: callers use reflection.
func (c *Codec) ZeroSinglePointer(Ref) bool { return false }

func fastWorks() bool { return false }

func (c *Codec) appendValue(w *writer, buf []byte, v Ref) ([]byte, *Error) {
	return reflectAppendValue(w, buf, c.node, v.v, 0)
}

// Append appends the encoding of v to e.Buf and e.Cuts. Errors are of type *Error and leave
// both unchanged.
func (c *Codec) Append(e *Encoder, v Ref) error { return c.appendSlow(e, v) }

// There are no fast paths.
func (c *Codec) appendFast(*Encoder, Ref) bool { return false }
func (c *Codec) readFast(*Decoder, Ref) bool   { return false }

func fastAppendAt(w *writer, buf []byte, n *node, p reflect.Value, depth int) ([]byte, *Error) {
	return reflectAppendValue(w, buf, n, p.Elem(), depth)
}

func fastReadTo(r *reader, n *node, p reflect.Value, depth int) *Error {
	return reflectReadValue(r, n, p.Elem(), depth)
}

func (c *Codec) readValue(r *reader, v Ref) *Error   { return reflectReadValue(r, c.node, v.v, 0) }
func (c *Codec) reflectRead(r *reader, v Ref) *Error { return reflectReadValue(r, c.node, v.v, 0) }

// An arena holds short strings in a shared allocation. A strings.Builder
// returns strings that share its memory and may be extended afterwards.
type arena struct{ b *strings.Builder }

func (a *arena) avail() int {
	if a.b == nil {
		return 0
	}
	return a.b.Cap() - a.b.Len()
}

func (a *arena) reset(size int) {
	a.b = &strings.Builder{}
	a.b.Grow(size)
}

func (a *arena) add(text []byte) string {
	from := a.b.Len()
	a.b.Write(text)
	return a.b.String()[from:]
}
