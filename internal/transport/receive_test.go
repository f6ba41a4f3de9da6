package transport

import (
	"runtime"
	"testing"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// A message's memory grows to at most four times what has arrived, where it is
// made anew.
func TestMessageMemoryGrows(t *testing.T) {
	const total, step = 13 << 20, 8 << 10
	var in receiveBuffer
	p := &reassembly{head: wire.Frame{Total: total}}
	before, arrives := heapBytes(), make([]byte, step)
	for n := 0; n < total; n += step {
		in.grow(p, step)
		// All memory so far: each is four times the one before it.
		if made, most := heapBytes()-before, uint64(max(firstBody, bodyGrowth*(n+step))*4/3+64<<10); made > most {
			t.Fatalf("%d bytes have arrived, and %d have been made for them, want at most %d", n+step, made, most)
		}
		p.body = append(p.body, arrives...)
	}
	if cap(p.body) > total+total/8 {
		t.Errorf("a whole message of %d bytes takes %d", total, cap(p.body))
	}
}

// A peer that has sent a message as long is believed, and no longer one.
func TestMessageMemoryFollowsTheLongest(t *testing.T) {
	in := receiveBuffer{longest: 2 << 20}
	for total, want := range map[uint64]int{2 << 20: 2 << 20, 1 << 20: 1 << 20, 29 << 20: 2 << 20} {
		p := &reassembly{head: wire.Frame{Total: total}}
		in.grow(p, 1)
		if got := cap(p.body); got < want || got > want+want/8 {
			t.Errorf("%d bytes announced: %d made, want %d", total, got, want)
		}
	}
}

func heapBytes() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
