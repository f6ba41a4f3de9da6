package stress

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/rounds"
)

// Programs of calls agree with the model. The environment chooses them:
//
//	BSRPC_SEED=17     the program of this seed only
//	BSRPC_STRESS=60s  programs of new seeds for this time, for each test
//
// The name of a failed test contains its seed. Without either the seeds are fixed.
func TestPrograms(t *testing.T) {
	forSeeds(t, rounds.Of(2, 4), func(t *testing.T, seed uint64) {
		synctest.Test(t, func(t *testing.T) { newWorld(seed, true).run(t) })
	})
}

// The same over sockets, in real time.
func TestProgramsOverSockets(t *testing.T) {
	forSeeds(t, rounds.Of(1, 2), func(t *testing.T, seed uint64) { newWorld(seed, false).run(t) })
}

// forSeeds runs the programs of fixed seeds, or those that the environment chooses. It stops
// at the first that fails.
func forSeeds(t *testing.T, n int, run func(t *testing.T, seed uint64)) {
	first, end := uint64(1), time.Time{}
	if s := os.Getenv("BSRPC_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, n = seed, 1
	} else if s := os.Getenv("BSRPC_STRESS"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatal(err)
		}
		first, end = uint64(time.Now().UnixNano()), time.Now().Add(d)
	}
	seed := first
	for ; seed < first+uint64(n) || time.Now().Before(end); seed++ {
		if !t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { run(t, seed) }) {
			t.Fatalf("run it with BSRPC_SEED=%d", seed)
		}
	}
	t.Logf("%d programs, seeds from %d on", seed-first, first)
}
