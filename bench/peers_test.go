package main

import (
	"log"
	"os"
	"testing"
	"time"
)

// TestMain lets the test be the child that serves.
func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) != "" {
		if err := runRole(os.Args[1:]); err != nil {
			log.Fatal(err)
		}
		return
	}
	os.Exit(m.Run())
}

// TestPeers runs every peer and every kind of workload for a moment: the calls
// check their replies.
func TestPeers(t *testing.T) {
	for _, p := range peers {
		for _, j := range []job{
			{Network: "tcp", Workloads: []string{"small/1", "small/64", "bulk/16B", "bulk/1MiB", "items/1", "items/4", "beside", "conns/3", "bare/2", "intercepted/2", "down", "downvalues", "up", "upvalues", "pingpong/1", "pingpong/3", "read/1GiB", "each"}},
			{Network: "unix", Child: true, Workloads: []string{"small/4", "bulk/64KiB", "items/2", "conns/2", "idle", "idle/2", "inflight/1", "inflight/64", "down", "idlestreams"}},
		} {
			j.Peer, j.Time, j.Reduced = p.name(), time.Millisecond, true
			t.Run(p.name()+"/"+j.Network, func(t *testing.T) {
				t.Parallel()
				testJob(t, p, j)
			})
		}
	}
}

func testJob(t *testing.T, p peer, j job) {
	var n int
	err := j.run(func(r result) error {
		w, err := parseWorkload(r.Workload)
		if err != nil {
			return err
		}
		n++
		switch {
		case (r.Error != "") != (p.cannot(w) != ""):
			t.Errorf("%s: %s", r.Workload, r.Error)
		case r.Error == "" && r.Calls == 0:
			t.Errorf("%s: no calls", r.Workload)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n != len(j.Workloads) {
		t.Errorf("%d results of %d workloads", n, len(j.Workloads))
	}
}

// TestChecks: the checks find what they are there for.
func TestChecks(t *testing.T) {
	b := makeBulk(1 << 20)
	other := func(change func(b []byte) []byte) error {
		return checkBulk(change(append([]byte(nil), b...)), b, 10)
	}
	for name, err := range map[string]error{
		"length": other(func(b []byte) []byte { return b[1:] }),
		"stamp":  other(func(b []byte) []byte { stamp(b, 9); return b }),
		"end":    other(func(b []byte) []byte { b[len(b)-1]++; return b }),
		"page":   other(func(b []byte) []byte { b[8192]++; return b }),
		"small":  checkSmall(Small{ID: 1}, Small{ID: 2}),
		"items":  checkItems(makeItems(2), makeItems(3)),
	} {
		if err == nil {
			t.Errorf("%s: a difference is not found", name)
		}
	}
	if err := other(func(b []byte) []byte { return b }); err != nil {
		t.Error(err)
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	for i := range 100_000 {
		h.record(time.Duration(i) * time.Microsecond)
	}
	for _, q := range []float64{0.01, 0.5, 0.99} {
		if got, want := h.quantile(q), q*100_000; got < 0.97*want || got > 1.03*want {
			t.Errorf("quantile %v: got %v, want about %v", q, got, want)
		}
	}
}

func TestWorkloadNames(t *testing.T) {
	for group := range groups {
		ws, err := parseWorkloads([]string{group})
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range ws {
			if again, err := parseWorkload(w.String()); err != nil || again != w {
				t.Errorf("%v reads as %v, %v", w, again, err)
			}
		}
	}
	for _, name := range []string{"small", "small/0", "small/5000", "bulk/1B", "bulk/65MiB", "bulk/x", "huge/1", "conns/0", "idle/x", "inflight/5000", "beside/2", "down/1", "pingpong/0", "read/2GiB", "idlestreams/5"} {
		if w, err := parseWorkload(name); err == nil {
			t.Errorf("%q reads as %v", name, w)
		}
	}
}
