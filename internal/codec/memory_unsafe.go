//go:build !bsrpc_safe && (386 || amd64 || arm || arm64 || loong64 || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x || wasm)

package codec

// The operations on memory that the fast executor stands on: all of the
// package's unsafe code. Each function takes the address of a whole, valid Go
// value of the type that its node has, or of a part of one; what else it
// relies on is said beside it. Addresses are handed down as arguments and
// kept nowhere, so they may point into a caller's stack.

import (
	"encoding/binary"
	"math/bits"
	"reflect"
	"sync/atomic"
	"time"
	"unsafe"
)

// An address is where a value lies.
type address = unsafe.Pointer

// A Ref is the address of a value of a codec's type.
type Ref struct{ p address }

// RefTo returns the address that ptr, a pointer that is not nil, holds.
func RefTo(ptr reflect.Value) Ref { return Ref{ptr.UnsafePointer()} }

// RefAt returns the address p of a value of the codec's type. Neither Append
// nor Read keeps p, so it may point into the caller's stack.
func RefAt(p unsafe.Pointer) Ref { return Ref{p} }

// recalled has some codecs by the type of pointers to their values: finding one
// here takes a tenth of the time that codecs takes.
var pointerCache [256]atomic.Pointer[cacheEntry]

type cacheEntry struct {
	typ   address // of a pointer to a value, as an interface has it
	codec *Codec
}

// Recall returns the codec that Remember has been told of for what v points to,
// and where that lies. ok is false if there is none, or v is nil.
func LookupCached(v any) (c *Codec, at Ref, ok bool) {
	typ, data := unpackInterface(&v)
	r := cacheSlot(typ).Load()
	if r == nil || r.typ != typ || data == nil {
		return nil, Ref{}, false
	}
	return r.codec, Ref{data}, true
}

// Remember lets Recall find c, the codec of what the pointer v points to, unless
// another has its place.
func StoreCached(v any, c *Codec) {
	typ, _ := unpackInterface(&v)
	if place := cacheSlot(typ); place.Load() == nil {
		place.CompareAndSwap(nil, &cacheEntry{typ, c})
	}
}

func cacheSlot(typ address) *atomic.Pointer[cacheEntry] {
	return &pointerCache[(uintptr(typ)>>5^uintptr(typ)>>13)%uintptr(len(pointerCache))]
}

// apart takes an interface apart: its type, and its value if that is a pointer,
// else where the value lies.
func unpackInterface(v *any) (typ, data address) {
	w := (*[2]address)(unsafe.Pointer(v))
	return w[0], w[1]
}

// ZeroAtOnce sets the value at v to its zero value if it is one pointer. Otherwise it
// reports false.
func (c *Codec) ZeroSinglePointer(v Ref) bool {
	if !c.singlePointer || c.node.size != unsafe.Sizeof(v.p) { // what does not travel may lie beside it
		return false
	}
	*pointerAt(v.p) = nil
	return true
}

// value returns the value at p as reflection has it. It must not be stored:
// it holds p.
func (n *node) value(p address) reflect.Value { return reflect.NewAt(n.typ, p).Elem() }

// at returns the address of a part of the value at p. The part is not empty
// and lies wholly inside, so the address never is one past the end.
func offset(p address, off uintptr) address { return unsafe.Add(p, off) }

// view returns the n bytes at p, which hold no pointers. It may be written to
// if all bit patterns are values of what lies there.
func bytesView(p address, n uintptr) []byte { return unsafe.Slice((*byte)(p), n) }

// The types of what lies at p are those of the functions' results, but for a
// name.

func boolAt(p address) *bool      { return (*bool)(p) }
func stringAt(p address) *string  { return (*string)(p) }
func bytesAt(p address) *[]byte   { return (*[]byte)(p) }
func timeAt(p address) *time.Time { return (*time.Time)(p) }

// textAt returns where the text of the string at p lies, and how many bytes it has.
func textAt(p address) (data address, size uintptr) {
	text := *stringAt(p)
	return unsafe.Pointer(unsafe.StringData(text)), uintptr(len(text))
}

// pointerAt is where a pointer lies, or a map, which is one.
func pointerAt(p address) *address { return (*address)(p) }

// The arrays below are bytes of a number, or of several, that lie as on the
// wire. Going by way of arrays asks for no alignment; on most machines it is
// one move.

func byteAt(p address) *byte        { return (*byte)(p) }
func array2At(p address) *[2]byte   { return (*[2]byte)(p) }
func array4At(p address) *[4]byte   { return (*[4]byte)(p) }
func array8At(p address) *[8]byte   { return (*[8]byte)(p) }
func array16At(p address) *[16]byte { return (*[16]byte)(p) }

// swap2, swap4 and swap8 copy a number with its bytes the other way round.

func swap2(to, from address) {
	binary.NativeEndian.PutUint16(array2At(to)[:], bits.ReverseBytes16(binary.NativeEndian.Uint16(array2At(from)[:])))
}

func swap4(to, from address) {
	binary.NativeEndian.PutUint32(array4At(to)[:], bits.ReverseBytes32(binary.NativeEndian.Uint32(array4At(from)[:])))
}

func swap8(to, from address) {
	binary.NativeEndian.PutUint64(array8At(to)[:], bits.ReverseBytes64(binary.NativeEndian.Uint64(array8At(from)[:])))
}

// dataOf returns where a buffer that has room begins. What is written behind
// its length is below its capacity.
func dataPtr(buf []byte) address { return unsafe.Pointer(unsafe.SliceData(buf)) }

// loadUint returns the size bytes of an integer or float at p as a number.
func loadUint(p address, size uintptr) uint64 {
	switch size {
	case 1:
		return uint64(*(*uint8)(p))
	case 2:
		return uint64(*(*uint16)(p))
	case 4:
		return uint64(*(*uint32)(p))
	}
	return *(*uint64)(p)
}

// storeUint sets the size bytes of an integer or float at p.
func storeUint(p address, size uintptr, u uint64) {
	switch size {
	case 1:
		*(*uint8)(p) = uint8(u)
	case 2:
		*(*uint16)(p) = uint16(u)
	case 4:
		*(*uint32)(p) = uint32(u)
	default:
		*(*uint64)(p) = u
	}
}

// sliceAt returns where the elements of the slice at p lie, and how many they
// are. Slices of all types have the same header; as a []byte it is only taken
// apart, and nothing is read through it.
func sliceAt(p address) (data address, count int) {
	s := *(*[]byte)(p)
	return unsafe.Pointer(unsafe.SliceData(s)), len(s)
}

// makeSlice sets the slice at p to count zero elements, as typed memory, and
// returns where they lie. Growing a nil slice in place makes no header on the
// heap, which reflect.MakeSlice does.
func (n *node) makeSlice(p address, count int) address {
	v := n.value(p)
	v.SetZero()
	v.Grow(count)
	v.SetLen(count)
	data, _ := sliceAt(p)
	return data
}

// setRawSlice sets the slice at p to count elements that lie as in b. They
// hold no pointers, so memory of numbers of the same width serves for them;
// it is not zeroed before it is copied to. The views of b may be misaligned:
// nothing but copy reads through them.
func (n *node) setRawSlice(p address, b []byte, count int) {
	from := address(unsafe.SliceData(b))
	switch n.elem.size {
	case 1:
		*(*[]uint8)(p) = cloneNumbers(unsafe.Slice((*uint8)(from), count))
	case 2:
		*(*[]uint16)(p) = cloneNumbers(unsafe.Slice((*uint16)(from), count))
	case 4:
		*(*[]uint32)(p) = cloneNumbers(unsafe.Slice((*uint32)(from), count))
	case 8:
		*(*[]uint64)(p) = cloneNumbers(unsafe.Slice((*uint64)(from), count))
	default:
		copy(bytesView(n.makeSlice(p, count), uintptr(len(b))), b)
	}
}

// clone copies s. The compiler sees that all of c is copied to and leaves out
// zeroing it.
func cloneNumbers[T uint8 | uint16 | uint32 | uint64](s []T) []T {
	c := make([]T, len(s))
	copy(c, s)
	return c
}

// make makes a zero value on the heap. An interface that is made of a variable
// holds a copy of it, which nobody else has; reflect.New takes longer, because it
// looks for the type of the pointer.
func (b *allocator) new() address {
	if !b.zero.IsValid() {
		return reflect.New(b.typ).UnsafePointer()
	}
	box := b.zero.Interface()
	_, fresh := unpackInterface(&box)
	return fresh
}

// make makes a zero value of size bytes, and returns where its room lies, which
// is written to once, for a string.
func (r *structWithText) new(size uintptr) (p, room address) {
	p = r.alloc.new()
	return p, offset(p, size)
}

// mapAt returns the map at p. It holds the map itself, not p, so it may be
// kept.
func (n *node) mapAt(p address) reflect.Value {
	return reflect.ValueOf(n.value(p).Interface())
}

// A block is memory that short strings share.
type arena struct {
	memory []byte
	used   int
}

func (b *arena) avail() int { return len(b.memory) - b.used }

func (b *arena) reset(size int) { b.memory, b.used = make([]byte, size), 0 }

// add returns text as a string in the block, which has room for it.
func (b *arena) add(text []byte) string {
	to := b.alloc(len(text))
	copyShort(to, dataPtr(text), uintptr(len(text)))
	return stringOf(to, uintptr(len(text)))
}

// take returns where the next size bytes of the block lie; there are as many, and
// size is not 0. Once they are a string they are never written to again.
func (b *arena) alloc(size int) address {
	to := unsafe.Pointer(&b.memory[b.used])
	b.used += size
	return to
}

// stringOf returns the size bytes at p as a string.
func stringOf(p address, size uintptr) string { return unsafe.String((*byte)(p), size) }
