package main

import (
	"io"
	"strings"
	"testing"
	"time"
)

// TestReport runs the command as users do, with processes, and reads what it
// writes.
func TestReport(t *testing.T) {
	o := options{
		Peers:     []string{"plain", "typed", "ttrpc"},
		Workloads: []string{"small/1", "small/4", "bulk/64B", "bulk/4MiB"},
		Rounds:    2,
		Time:      time.Millisecond,
		Network:   "unix",
		Procs:     3,
	}
	rep, err := o.run(io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(rep.Results), len(o.Peers)*len(o.Workloads)*o.Rounds; got != want {
		t.Errorf("%d results, want %d", got, want)
	}
	var out strings.Builder
	rep.writeTables(&out)
	for _, want := range []string{"GOMAXPROCS 3", "medians of 2 rounds of 1ms", "### small/4", "| plain | ", "| ttrpc | cannot: messages end at 4 MiB |"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

// TestMissing: what a process that ended has not measured is an error, not a gap.
func TestMissing(t *testing.T) {
	o := options{Time: time.Millisecond, Network: "no network"}
	ws := []workload{{kind: "small", callers: 1}, {kind: "items", callers: 1}}
	for _, r := range o.runJob("plain", ws, 0) {
		if r.Error == "" {
			t.Errorf("%s: no error", r.Workload)
		}
	}
	if n := len(o.runJob("nobody", ws, 0)); n != len(ws) {
		t.Errorf("%d results, want %d", n, len(ws))
	}
}

// TestRatio compares neighbours in time.
func TestRatio(t *testing.T) {
	w := workload{kind: "small", callers: 1}
	rep := &report{Results: []result{
		{Peer: "a", Workload: w.String(), Round: 0, Rate: 50},
		{Peer: "b", Workload: w.String(), Round: 0, Rate: 100},
		{Peer: "a", Workload: w.String(), Round: 1, Rate: 5},
		{Peer: "b", Workload: w.String(), Round: 1, Rate: 10},
		{Peer: "b", Workload: w.String(), Round: 2, Error: "gone"},
	}}
	if got := rep.ratio("a", "b", w, func(r result) float64 { return r.Rate }); got != 0.5 {
		t.Errorf("got %v", got)
	}
}
