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
		total         uint64
		arrived, want int
	}{
		{2 << 20, 128 << 10, 2 << 20},
		{1 << 20, 64 << 10, 1 << 20},
		{29 << 20, 128 << 10, 2 << 20},
		{2 << 20, 4 << 10, 64 << 10},
		{2 << 20, 1, 4 << 10},
		{2 << 20, 0, 4 << 10},
	} {
		p := &reassembly{head: wire.Frame{Total: tt.total}}
		b.grow(p, tt.arrived)
		if got := cap(p.body); got < tt.want || got > tt.want+tt.want/8 {
			t.Errorf("%d bytes announced, %d received: %d allocated, want %d", tt.total, tt.arrived, got, tt.want)
		}
	}
}

func heapBytes() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
