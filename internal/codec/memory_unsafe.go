//go:build !bsrpc_safe && (386 || amd64 || arm || arm64 || loong64 || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x || wasm)

package codec

// The memory operations of the fast executor: all unsafe code of the package.
//
// Invariants: an address points to a complete, valid value of its node's type,
// or to a part of one at an offset within its size. Addresses are only passed
// as arguments and never stored, so values may be on a caller's stack. Memory
// with pointers is allocated with its type and only written through typed
// pointers, so that the garbage collector sees every pointer. Bytes are only
// copied into memory without pointers for which all bit patterns are valid.
// Further requirements are stated at the functions.

import (
	"encoding/binary"
	"math/bits"
	"reflect"
	"sync/atomic"
	"time"
	"unsafe"
)

// An address is the address of a value.
type address = unsafe.Pointer

// A Ref refers to a value of a codec's type.
type Ref struct{ p address }

// RefTo returns a Ref to the target of ptr, a non-nil pointer.
func RefTo(ptr reflect.Value) Ref { return Ref{ptr.UnsafePointer()} }

// RefAt returns a Ref to the value of the codec's type at p. Append and Read do
// not retain p, so it may point to the caller's stack.
func RefAt(p unsafe.Pointer) Ref { return Ref{p} }

// CopyOf returns a pointer to a copy of the value at r.
func CopyOf(c *Codec, r Ref) any {
	to := reflect.New(c.Type())
	to.Elem().Set(reflect.NewAt(c.Type(), r.p).Elem())
	return to.Interface()
}

// pointerCache is a direct-mapped cache of codecs, ten times faster than the
// map of Compile. The first codec in a slot stays.
var pointerCache [256]atomic.Pointer[cacheEntry]

// A cacheEntry is immutable.
type cacheEntry struct {
	typ   address // type word of an interface with a pointer to a value
	codec *Codec
}

// LookupCached returns the codec stored for the pointer type of v and a Ref to
// its target. It returns false if there is none or v is nil.
func LookupCached(v any) (c *Codec, target Ref, ok bool) {
	typ, data := unpackInterface(&v)
	r := cacheSlot(typ).Load()
	if r == nil || r.typ != typ || data == nil {
		return nil, Ref{}, false
	}
	return r.codec, Ref{data}, true
}

// StoreCached stores c, the codec of the target of the pointer v, unless its
// slot is occupied.
func StoreCached(v any, c *Codec) {
	typ, _ := unpackInterface(&v)
	if slot := cacheSlot(typ); slot.Load() == nil {
		slot.CompareAndSwap(nil, &cacheEntry{typ, c})
	}
}

// cacheSlot returns the slot for a type. Its hash uses the address of the type.
func cacheSlot(typ address) *atomic.Pointer[cacheEntry] {
	return &pointerCache[(uintptr(typ)>>5^uintptr(typ)>>13)%uintptr(len(pointerCache))]
}

// unpackInterface returns the two words of an interface: its type, and its
// value if that is a pointer, or else the address of the value.
func unpackInterface(v *any) (typ, data address) {
	w := (*[2]address)(unsafe.Pointer(v))
	return w[0], w[1]
}

// ZeroSinglePointer sets the value at v to nil if it is a single pointer, or
// else returns false.
func (c *Codec) ZeroSinglePointer(v Ref) bool {
	if !c.singlePointer || c.node.size != unsafe.Sizeof(v.p) { // there may be skipped fields, too
		return false
	}
	*pointerAt(v.p) = nil
	return true
}

// value returns the value at p for reflection. It contains p and must not be
// stored.
func (n *node) value(p address) reflect.Value { return reflect.NewAt(n.typ, p).Elem() }

// valueAt returns the value at r.
func (c *Codec) valueAt(r Ref) reflect.Value { return c.node.value(r.p) }

// offset returns the address of a part of the value at p. The part must not be
// empty, so that the address is never past the end of an allocation.
func offset(p address, off uintptr) address { return unsafe.Add(p, off) }

// bytesView returns the n bytes at p, without pointers in them. It may be
// written to only if all bit patterns are valid.
func bytesView(p address, n uintptr) []byte { return unsafe.Slice((*byte)(p), n) }

// These return typed pointers. The value at p must have the type or its
// underlying type.

func boolAt(p address) *bool      { return (*bool)(p) }
func stringAt(p address) *string  { return (*string)(p) }
func bytesAt(p address) *[]byte   { return (*[]byte)(p) }
func timeAt(p address) *time.Time { return (*time.Time)(p) }

// textAt returns the address and size of the text of the string at p.
func textAt(p address) (data address, size uintptr) {
	text := *stringAt(p)
	return unsafe.Pointer(unsafe.StringData(text)), uintptr(len(text))
}

// pointerAt returns the address of a pointer, a map or a func, the latter two
// represented as a pointer.
func pointerAt(p address) *address { return (*address)(p) }

// These access the bytes of numbers. Byte arrays need no alignment, and the
// compiler turns their copies into single loads and stores on most platforms.

func byteAt(p address) *byte        { return (*byte)(p) }
func array2At(p address) *[2]byte   { return (*[2]byte)(p) }
func array4At(p address) *[4]byte   { return (*[4]byte)(p) }
func array8At(p address) *[8]byte   { return (*[8]byte)(p) }
func array16At(p address) *[16]byte { return (*[16]byte)(p) }

// swap2 copies two bytes in reverse order.
func swap2(to, from address) {
	binary.NativeEndian.PutUint16(array2At(to)[:], bits.ReverseBytes16(binary.NativeEndian.Uint16(array2At(from)[:])))
}

// swap4 copies four bytes in reverse order.
func swap4(to, from address) {
	binary.NativeEndian.PutUint32(array4At(to)[:], bits.ReverseBytes32(binary.NativeEndian.Uint32(array4At(from)[:])))
}

// swap8 copies eight bytes in reverse order.
func swap8(to, from address) {
	binary.NativeEndian.PutUint64(array8At(to)[:], bits.ReverseBytes64(binary.NativeEndian.Uint64(array8At(from)[:])))
}

// dataPtr returns the address of buf. Callers write up to its capacity only.
func dataPtr(buf []byte) address { return unsafe.Pointer(unsafe.SliceData(buf)) }

// loadUint returns the bits of the integer or float of size bytes at p.
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

// storeUint sets the bits of the integer or float of size bytes at p.
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

// sliceAt returns the address and number of the elements of the slice at p.
// Slices of all types have the same header; no element is accessed as a byte.
func sliceAt(p address) (data address, count int) {
	s := *(*[]byte)(p)
	return unsafe.Pointer(unsafe.SliceData(s)), len(s)
}

// makeSlice sets the slice at p to count zero elements, allocated with their
// type, and returns their address. Unlike reflect.MakeSlice, growing a nil
// slice in place does not allocate a slice header.
func (n *node) makeSlice(p address, count int) address {
	v := n.value(p)
	v.SetZero()
	v.Grow(count)
	v.SetLen(count)
	data, _ := sliceAt(p)
	return data
}

// setRawSlice sets the slice at p to count elements copied from b. Raw elements
// contain no pointers, so memory allocated for numbers of the same width is
// valid for them, and the compiler omits zeroing it. The views of b may be
// misaligned: only copy reads through them.
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

// cloneNumbers returns a copy of s. The compiler recognizes this pattern of
// make and copy and does not zero the memory.
func cloneNumbers[T uint8 | uint16 | uint32 | uint64](s []T) []T {
	c := make([]T, len(s))
	copy(c, s)
	return c
}

// new allocates a zero value. Converting a variable to an interface copies it
// to a new allocation with the right type. This is faster than reflect.New,
// because of the latter's lookup of the pointer type.
func (a *allocator) new() address {
	if !a.zero.IsValid() {
		return reflect.New(a.typ).UnsafePointer()
	}
	box := a.zero.Interface()
	_, p := unpackInterface(&box)
	return p
}

// new allocates a struct of size bytes and returns its address and the address
// of the space for its string. The space is written once, before the string
// exists.
func (s *structWithText) new(size uintptr) (p, room address) {
	p = s.alloc.new()
	return p, offset(p, size)
}

// mapAt returns the map at p. Unlike value it does not contain p.
func (n *node) mapAt(p address) reflect.Value {
	return reflect.ValueOf(n.value(p).Interface())
}

// An arena holds short strings in a shared allocation. Memory is never written
// again once it is part of a string.
type arena struct {
	memory []byte
	used   int
}

func (a *arena) avail() int { return len(a.memory) - a.used }

func (a *arena) reset(size int) { a.memory, a.used = make([]byte, size), 0 }

// add copies text to the arena and returns it as a string. It must fit and must
// not be empty.
func (a *arena) add(text []byte) string {
	to := a.alloc(len(text))
	copyShort(to, dataPtr(text), uintptr(len(text)))
	return stringOf(to, uintptr(len(text)))
}

// alloc returns the address of size bytes of the arena. They must fit, and size
// must not be 0.
func (a *arena) alloc(size int) address {
	to := unsafe.Pointer(&a.memory[a.used])
	a.used += size
	return to
}

// stringOf returns the size bytes at p as a string, without a copy.
func stringOf(p address, size uintptr) string { return unsafe.String((*byte)(p), size) }
