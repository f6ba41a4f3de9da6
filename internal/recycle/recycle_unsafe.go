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

// The memory of long messages is used again, without a rule for users: a
// finalizer hands it back when the collector has found that nobody refers to any
// part of it. Making and collecting it anew for each message would cost more
// than sending it.
//
// The one unsafe thing here is to turn the first byte of such memory into the
// whole of it. The invariant: the pointer that a finalizer of class c gets is to
// the beginning of an allocation of at least classSize(c) bytes, because nothing
// else sets those finalizers.

const (
	leastSize = 64 << 10         // of memory that is used again
	mostSize  = 8 << 20          // likewise: longer memory is cold when it comes back, and a finalizer keeps it for a collection more
	mostIdle  = 32 << 20         // bytes that lie idle in a process
	idleTime  = 10 * time.Second // without a use, until they are given up
)

// Memory has sizes of classes, eight to a doubling, so that an eighth is the
// most that is wasted.
const (
	classBits = 3
	classes   = 64 << classBits
)

// classOfSize returns the class of the least size that holds n bytes.
func classOfSize(n int) int {
	shift := max(bits.Len(uint(n-1))-classBits-1, 0)
	return shift<<classBits + (n-1)>>shift + 1
}

// classSize returns the size of the memory of a class.
func classSize(c int) int {
	shift := max((c-1)>>classBits-1, 0)
	return (c - shift<<classBits) << shift
}

// A depot keeps memory that nobody uses.
type depot struct {
	mu    sync.Mutex
	free  map[int][][]byte // by class
	bytes int
	used  bool        // since the last sweep
	sweep *time.Timer // set while there is anything
}

var idleMemory = depot{free: make(map[int][][]byte)}

// Bytes returns memory for n bytes, which is not zeroed, and of which at most
// fresh bytes are newly made: where nothing lies idle, it is shorter. Its user
// writes before it reads, and lets nobody else see what has not been written.
//
// Nobody may set a finalizer on the memory's first byte: it has one.
func Bytes(n, fresh int) []byte {
	if fresh >= n-n/8 {
		fresh = n
	}
	if n < leastSize || fresh > mostSize {
		return dirtyMemory(min(n, fresh))
	}
	c := classOfSize(n)
	if b := idleMemory.take(c); b != nil {
		return b
	}
	if fresh < n {
		c = classOfSize(fresh+1) - 1 // the greatest that is not above
	}
	if classSize(c) < leastSize {
		return dirtyMemory(fresh)
	}
	b := dirtyMemory(classSize(c))
	runtime.SetFinalizer(&b[0], recyclers()[c])
	return b
}

// Free gives memory back that Bytes has returned, and that nobody refers to.
func Free(b []byte) {
	b = b[:cap(b)]
	c := classOfSize(len(b))
	if len(b) < leastSize || len(b) > mostSize || classSize(c) != len(b) { // a finalizer of a greater class would reach beyond it
		return
	}
	runtime.SetFinalizer(&b[0], nil)
	idleMemory.put(c, b)
}

// dirtyMemory makes memory that is not zeroed: its user writes before it reads.
func dirtyMemory(n int) []byte {
	var b strings.Builder
	b.Grow(n)
	b.WriteByte(0)
	return unsafe.Slice(unsafe.StringData(b.String()), n)
}

// take returns memory of a class, nil if none lies idle.
func (d *depot) take(c int) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := d.free[c]
	if len(list) == 0 {
		return nil
	}
	b := list[len(list)-1]
	list[len(list)-1] = nil
	d.free[c] = list[:len(list)-1]
	d.bytes -= len(b)
	d.used = true
	runtime.SetFinalizer(&b[0], recyclers()[c])
	return b
}

// put keeps memory that nobody refers to, if there is not too much.
func (d *depot) put(c int, b []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for other := range d.free {
		if other != c && d.bytes+len(b) > mostIdle {
			d.dropLocked(other) // makes room for what is wanted now
		}
	}
	if d.bytes+len(b) > mostIdle {
		return
	}
	d.free[c] = append(d.free[c], b)
	d.bytes += len(b)
}

// collected is put for a finalizer.
func (d *depot) collected(c int, b []byte) {
	d.put(c, b)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sweep == nil { // a finalizer's timer is nobody's in virtual time
		d.sweep = time.AfterFunc(idleTime, d.sweepIdle)
	}
}

func (d *depot) dropLocked(c int) {
	for _, b := range d.free[c] {
		d.bytes -= len(b)
	}
	delete(d.free, c)
}

// sweepIdle gives up what nobody has used for a while.
func (d *depot) sweepIdle() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.used {
		d.used = false
		d.sweep.Reset(idleTime)
		return
	}
	clear(d.free)
	d.bytes, d.sweep = 0, nil
}

// recyclers are the finalizers, by class.
var recyclers = sync.OnceValue(func() *[classes]func(*byte) {
	list := new([classes]func(*byte))
	for c := range list {
		list[c] = func(first *byte) { idleMemory.collected(c, unsafe.Slice(first, classSize(c))) }
	}
	return list
})
