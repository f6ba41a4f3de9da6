package transport

import (
	"runtime"
	"testing"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// The memory of a message grows to at most four times the bytes received.
func TestMessageMemoryGrows(t *testing.T) {
	const total, step = 13 << 20, 8 << 10
	var b receiveBuffer
	p := &reassembly{head: wire.Frame{Total: total}}
	before, chunk := heapBytes(), make([]byte, step)
	for n := 0; n < total; n += step {
		b.grow(p, step)
		// Counts all memory so far. Each allocation is four times the one before.
		if made, most := heapBytes()-before, uint64(max(firstBody, bodyGrowth*(n+step))*4/3+64<<10); made > most {
			t.Fatalf("%d bytes allocated for %d bytes received, want at most %d", made, n+step, most)
		}
		p.body = append(p.body, chunk...)
	}
	if cap(p.body) > total+total/8 {
		t.Errorf("a complete message of %d bytes takes %d", total, cap(p.body))
	}
}

// A message gets its memory at once if an equally long one was received before, but at most
// sixteen times the bytes received.
func TestMessageMemoryFollowsTheLongest(t *testing.T) {
	b := receiveBuffer{longest: 2 << 20}
	for _, tt := range []struct {
		total, arrived, want int
	}{
		{2 << 20, 128 << 10, 2 << 20},
		{1 << 20, 64 << 10, 1 << 20},
		{29 << 20, 128 << 10, 2 << 20},
		{1 << 20, 33 << 10, 128 << 10}, // which allow the rest
		{2 << 20, 4 << 10, 32 << 10},
		{2 << 20, 1, 4 << 10},
		{2 << 20, 0, 4 << 10},
	} {
		if got := b.roomFor(tt.total, tt.arrived); got < tt.want-tt.want/8 || got > tt.want+tt.want/8 {
			t.Errorf("%d bytes announced, %d received: %d allocated, want %d", tt.total, tt.arrived, got, tt.want)
		}
	}
}

// Each step of the memory is larger than the one before, whatever the sizes, and a message of a
// usual size is copied little.
func TestMessageMemoryOfUsualSizes(t *testing.T) {
	for total := 4 << 10; total < 3<<20; total += total/3 + 1 {
		for first := 1; first < total; first += first/3 + 1 {
			b := receiveBuffer{longest: 4 << 20}
			p := &reassembly{head: wire.Frame{Total: uint64(total)}}
			copied := 0
			for n := first; len(p.body) < total; n = 0 {
				copied += len(p.body)
				if b.grow(p, n); len(p.body)+n > cap(p.body) || len(p.body) == cap(p.body) {
					t.Fatalf("%d bytes of %d received, memory for %d", len(p.body)+n, total, cap(p.body))
				}
				p.body = p.body[:min(cap(p.body), total)]
			}
			if copied > total/4+firstBody {
				t.Errorf("%d bytes copied of %d, beginning with %d", copied, total, first)
			}
		}
	}
}

func heapBytes() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
