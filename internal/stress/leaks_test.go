package stress

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"
)

// A footprint is what a process has, while no call is open.
type footprint struct {
	heap       uint64
	goroutines int
}

func (f footprint) String() string {
	return fmt.Sprintf("heap %d KiB, %d goroutines", f.heap>>10, f.goroutines)
}

// compare reports growth from f to last.
func (f footprint) compare(t *testing.T, last footprint) {
	t.Helper()
	if last.heap > f.heap+f.heap/2+8<<20 || last.goroutines > f.goroutines+f.goroutines/2+20 {
		t.Errorf("%v after a quarter of the time, %v at the end", f, last)
	}
}

// footprints measures after a quarter of the time of a test and at its end. The epoch is
// read-locked by each call.
func footprints(ctx context.Context, epoch *sync.RWMutex, length time.Duration) func() (first, last footprint) {
	measure := func() footprint {
		epoch.Lock()
		defer epoch.Unlock()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return footprint{m.HeapAlloc, runtime.NumGoroutine()}
	}
	quarter := make(chan footprint, 1)
	go func() {
		pause(ctx, length/4)
		quarter <- measure()
	}()
	return func() (first, last footprint) { return <-quarter, measure() }
}

// awaitGoroutines waits until no more goroutines are left than before.
func awaitGoroutines(t *testing.T, before int) {
	t.Helper()
	for wait := 0; runtime.NumGoroutine() > before && wait < 200; wait++ {
		time.Sleep(10 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines at the end, %d before", n, before)
	}
}
