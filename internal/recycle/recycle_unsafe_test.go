//go:build !bsrpc_safe

package recycle

import (
	"runtime"
	"testing"
	"time"
	"unsafe"
)

func TestSizeClasses(t *testing.T) {
	last := 0
	for n := 1; n < 1<<30; n += 1 + n/1000 {
		c := sizeToClass(n)
		size := classToSize(c)
		if size < n || size > n+n/8+1 || sizeToClass(size) != c || c < last {
			t.Fatalf("%d bytes: class %d of %d bytes, after class %d", n, c, size, last)
		}
		last = c
	}
}

// Memory is reused once no part of it is reachable, and not before.
func TestBytesAreReused(t *testing.T) {
	const size = 3 << 20
	part, where := allocTwo(size)
	for late := time.After(10 * time.Second); ; runtime.Gosched() {
		runtime.GC()
		if b := Bytes(size, 1); len(b) >= size && uintptr(unsafe.Pointer(&b[0])) == where[1] {
			clear(b)
			break
		}
		select {
		case <-late:
			t.Fatal("unreachable memory was not reused")
		default:
		}
	}
	if part[0] != 7 {
		t.Error("reachable memory was reused")
	}
}

// allocTwo allocates twice. It returns a part of the first allocation, keeping
// it reachable, and the addresses of both.
func allocTwo(size int) (part []byte, where [2]uintptr) {
	kept, dropped := Bytes(size, size), Bytes(size, size)
	where = [2]uintptr{uintptr(unsafe.Pointer(&kept[0])), uintptr(unsafe.Pointer(&dropped[0]))}
	part = kept[size/2 : size/2+1]
	part[0] = 7
	return part, where
}

// Reusable memory has the exact size of a class, for any request: finalizers
// and later users depend on it.
func TestBytesHaveClassSize(t *testing.T) {
	sizes := []int{1, 64 << 10, minSize - 1, minSize, minSize + 4, 1<<20 + 4, 3 << 20, maxSize - 1, maxSize, maxSize + 4, 16<<20 + 4}
	for _, n := range sizes {
		for _, fresh := range sizes {
			b := Bytes(n, min(n, fresh))
			if len(b) != cap(b) || len(b) > n+n/8 || n <= fresh && len(b) < n {
				t.Errorf("Bytes(%d, %d): %d of %d bytes", n, fresh, len(b), cap(b))
			}
			if l := len(b); l >= minSize && l <= maxSize && classToSize(sizeToClass(l)) != l {
				t.Errorf("Bytes(%d, %d): %d bytes, not the size of a class", n, fresh, l)
			}
			clear(b) // faults if it is shorter than its length
			Free(b)
		}
	}
	runtime.GC()
}

// The free list is bounded, and dropped after a period without use.
func TestIdleMemoryIsBounded(t *testing.T) {
	d := freeList{lists: make(map[int][][]byte)}
	for range 80 {
		d.put(sizeToClass(1<<20), make([]byte, 1<<20))
	}
	if d.bytes != maxIdle {
		t.Errorf("%d bytes in the list", d.bytes)
	}
	d.put(sizeToClass(2<<20), make([]byte, 2<<20))
	if d.bytes != 2<<20 {
		t.Errorf("%d bytes in the list after an eviction", d.bytes)
	}
	for range 62 {
		d.reclaim(sizeToClass(1<<20), make([]byte, 1<<20))
	}
	d.used = true
	d.sweepIdle()
	if d.bytes != maxIdle {
		t.Errorf("%d bytes after a use", d.bytes)
	}
	d.sweepIdle()
	if d.bytes != 0 || len(d.lists) != 0 || d.sweep != nil {
		t.Errorf("%d bytes after none", d.bytes)
	}
}
