//go:build !bsrpc_safe

package recycle

import (
	"runtime"
	"testing"
	"time"
	"unsafe"
)

func TestMemoryClasses(t *testing.T) {
	last := 0
	for n := 1; n < 1<<30; n += 1 + n/1000 {
		c := classOfSize(n)
		size := classSize(c)
		if size < n || size > n+n/8+1 || classOfSize(size) != c || c < last {
			t.Fatalf("%d bytes: class %d of %d bytes, after class %d", n, c, size, last)
		}
		last = c
	}
}

// Long memory is used again when nobody refers to any part of it, and not
// before.
func TestBytesAreUsedAgain(t *testing.T) {
	const size = 3 << 20
	part, where := keepPart(size)
	for late := time.After(10 * time.Second); ; runtime.Gosched() {
		runtime.GC()
		if b := Bytes(size, 1); len(b) >= size && uintptr(unsafe.Pointer(&b[0])) == where[1] {
			clear(b)
			break
		}
		select {
		case <-late:
			t.Fatal("what nobody refers to has not been used again")
		default:
		}
	}
	if part[0] != 7 {
		t.Error("memory was used again that somebody refers to")
	}
}

// keepPart makes memory twice, keeps a part of the first, and tells where both
// are.
func keepPart(size int) (part []byte, where [2]uintptr) {
	kept, dropped := Bytes(size, size), Bytes(size, size)
	where = [2]uintptr{uintptr(unsafe.Pointer(&kept[0])), uintptr(unsafe.Pointer(&dropped[0]))}
	part = kept[size/2 : size/2+1]
	part[0] = 7
	return part, where
}

// Memory of the lengths that are used again has a class's, whatever has been
// asked for: that of a finalizer, and of whoever takes it next.
func TestBytesHaveTheLengthOfTheirClass(t *testing.T) {
	sizes := []int{1, 64 << 10, leastSize - 1, leastSize, leastSize + 4, 1<<20 + 4, 3 << 20, mostSize - 1, mostSize, mostSize + 4, 16<<20 + 4}
	for _, n := range sizes {
		for _, fresh := range sizes {
			b := Bytes(n, min(n, fresh))
			if len(b) != cap(b) || len(b) > n+n/8 || n <= fresh && len(b) < n {
				t.Errorf("Bytes(%d, %d): %d of %d bytes", n, fresh, len(b), cap(b))
			}
			if l := len(b); l >= leastSize && l <= mostSize && classSize(classOfSize(l)) != l {
				t.Errorf("Bytes(%d, %d): %d bytes, which no class has", n, fresh, l)
			}
			clear(b) // all of it is there
			Free(b)
		}
	}
	runtime.GC()
}

// What lies idle is bounded, and given up when nobody wants it.
func TestIdleMemoryIsBounded(t *testing.T) {
	d := depot{free: make(map[int][][]byte)}
	for range 80 {
		d.put(classOfSize(1<<20), make([]byte, 1<<20))
	}
	if d.bytes != mostIdle {
		t.Errorf("%d bytes lie idle", d.bytes)
	}
	d.put(classOfSize(2<<20), make([]byte, 2<<20))
	if d.bytes != 2<<20 {
		t.Errorf("%d bytes lie idle, when others came", d.bytes)
	}
	for range 62 {
		d.collected(classOfSize(1<<20), make([]byte, 1<<20))
	}
	d.used = true
	d.sweepIdle()
	if d.bytes != mostIdle {
		t.Errorf("%d bytes after a use", d.bytes)
	}
	d.sweepIdle()
	if d.bytes != 0 || len(d.free) != 0 || d.sweep != nil {
		t.Errorf("%d bytes after none", d.bytes)
	}
}
