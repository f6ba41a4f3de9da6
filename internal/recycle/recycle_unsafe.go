//go:build !bsrpc_safe

package recycle

import (
	"math/bits"
	"runtime"
	"strings"
	"sync"
	"time"
	"unsafe"
)

// A finalizer on the first byte of an allocation returns it to the free list
// when no part of it is reachable any more. Allocating and collecting memory
// for each long message would cost more than sending the message.
//
// Two operations are unsafe: allocating without zeroing, and recovering the
// slice from its first byte. Invariant: the finalizer of class c receives a
// pointer to the start of an allocation of at least classToSize(c) bytes. It
// holds because only Bytes and get set these finalizers, and Free ignores
// memory of other sizes.

const (
	minSize     = 64 << 10         // smaller allocations are not reused
	maxSize     = 8 << 20          // nor are larger ones: they are cold in the cache when they return, and a finalizer delays their collection by a cycle
	maxIdle     = 32 << 20         // bytes in the free list of the process
	maxIdleTime = 10 * time.Second // without a use, before the free list is dropped
)

// Allocations have the size of a class. There are eight classes per power of
// two, so at most an eighth of an allocation is wasted.
const (
	classBits  = 3
	numClasses = 64 << classBits
)

// sizeToClass returns the smallest class for n bytes.
func sizeToClass(n int) int {
	shift := max(bits.Len(uint(n-1))-classBits-1, 0)
	return shift<<classBits + (n-1)>>shift + 1
}

// classToSize returns the size of class c.
func classToSize(c int) int {
	shift := max((c-1)>>classBits-1, 0)
	return (c - shift<<classBits) << shift
}

// A freeList holds unused memory by size class, up to maxIdle bytes.
type freeList struct {
	mu    sync.Mutex       // guards the rest
	lists map[int][][]byte // by class
	bytes int
	used  bool        // since the last sweep
	sweep *time.Timer // non-nil while a sweep is scheduled
}

var idle = freeList{lists: make(map[int][][]byte)}

// Bytes returns a slice of at least n bytes from the free list, or else a new
// one of about fresh bytes, so that memory for a message grows with the bytes
// received rather than with the announced length.
//
// The slice is not zeroed. It may contain bytes of earlier messages: callers
// must write before reading, and must not expose unwritten bytes. Its first
// byte has a finalizer, so callers must not set another.
func Bytes(n, fresh int) []byte {
	if fresh >= n-n/8 {
		fresh = n
	}
	if n < minSize || fresh > maxSize {
		return makeNoZero(min(n, fresh))
	}
	c := sizeToClass(n)
	if b := idle.get(c); b != nil {
		return b
	}
	if fresh < n {
		c = sizeToClass(fresh+1) - 1 // the largest class within fresh
	}
	if classToSize(c) < minSize {
		return makeNoZero(fresh)
	}
	if b := idle.get(c); b != nil {
		return b
	}
	b := makeNoZero(classToSize(c))
	runtime.SetFinalizer(&b[0], finalizers()[c])
	return b
}

// Free returns memory from Bytes to the free list at once. The caller must hold
// the only reference.
func Free(b []byte) {
	b = b[:cap(b)]
	c := sizeToClass(len(b))
	if len(b) < minSize || len(b) > maxSize || classToSize(c) != len(b) { // the finalizer of a larger class would exceed its bounds
		return
	}
	runtime.SetFinalizer(&b[0], nil)
	idle.put(c, b)
}

// makeNoZero allocates n bytes without zeroing them.
func makeNoZero(n int) []byte {
	var b strings.Builder
	b.Grow(n)
	b.WriteByte(0)
	return unsafe.Slice(unsafe.StringData(b.String()), n)
}

// get removes memory of class c from the list. It returns nil if there is none.
func (f *freeList) get(c int) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := f.lists[c]
	if len(list) == 0 {
		return nil
	}
	b := list[len(list)-1]
	list[len(list)-1] = nil
	f.lists[c] = list[:len(list)-1]
	f.bytes -= len(b)
	f.used = true
	runtime.SetFinalizer(&b[0], finalizers()[c])
	return b
}

// put adds unreachable memory to the list. If the list is full it evicts other
// classes, as the recent class is the likeliest to be needed next.
func (f *freeList) put(c int, b []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for other := range f.lists {
		if other != c && f.bytes+len(b) > maxIdle {
			f.dropLocked(other) // evict
		}
	}
	if f.bytes+len(b) > maxIdle {
		return
	}
	f.lists[c] = append(f.lists[c], b)
	f.bytes += len(b)
}

// reclaim is put for a finalizer. It also schedules a sweep.
func (f *freeList) reclaim(c int, b []byte) {
	f.put(c, b)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sweep == nil { // set here only: a timer set by a user would belong to its synctest bubble
		f.sweep = time.AfterFunc(maxIdleTime, f.sweepIdle)
	}
}

// dropLocked removes class c. It requires f.mu.
func (f *freeList) dropLocked(c int) {
	for _, b := range f.lists[c] {
		f.bytes -= len(b)
	}
	delete(f.lists, c)
}

// sweepIdle empties the list if it was not used since the last sweep.
func (f *freeList) sweepIdle() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.used {
		f.used = false
		f.sweep.Reset(maxIdleTime)
		return
	}
	clear(f.lists)
	f.bytes, f.sweep = 0, nil
}

// finalizers returns a finalizer for each class.
func finalizers() *[numClasses]func(*byte) {
	finalizersOnce.Do(func() {
		for c := range finalizerOf {
			finalizerOf[c] = func(first *byte) { idle.reclaim(c, unsafe.Slice(first, classToSize(c))) }
		}
	})
	return &finalizerOf
}

var (
	finalizersOnce sync.Once
	finalizerOf    [numClasses]func(*byte)
)
