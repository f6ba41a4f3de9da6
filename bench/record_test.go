package main

import (
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// reportOf is a report of one round with these results.
func reportOf(workload string, rs ...result) *report {
	rep := &report{Results: rs}
	rep.Options.Workloads = []string{workload}
	for i := range rs {
		rs[i].Workload = workload
	}
	return rep
}

// figures is a result whose figures are all v.
func figures(peer string, v float64) result {
	return result{Peer: peer, Rate: v, P50: v, CPU: v, Allocs: v}
}

// TestRecordCheck: each ratio that is worse than recorded has its line, each
// in its direction, and no other has.
func TestRecordCheck(t *testing.T) {
	plain, typed := figures("plain", 1), figures("typed", 2)
	rec, err := newRecord(reportOf("small/1", plain, typed, figures("bsrpc", 4)))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		change func(*result)
		want   []string
	}{
		{"same", func(*result) {}, nil},
		{"a little worse", func(r *result) { r.P50 *= 1.14; r.Rate /= 1.14; r.CPU *= 1.14; r.Allocs += 0.5 }, nil},
		{"better", func(r *result) { r.P50 /= 2; r.Rate *= 2; r.CPU /= 2; r.Allocs = 0 }, nil},
		{"p50", func(r *result) { r.P50 = 5 }, []string{
			"small/1: p50 to typed: recorded 2.00, at worst 2.00, now 2.50: 25 % worse",
			"small/1: p50 to plain: recorded 4.00, at worst 4.00, now 5.00: 25 % worse",
		}},
		{"rate", func(r *result) { r.Rate = 3 }, []string{"small/1: calls/s of typed: recorded 2.00, at worst 2.00, now 1.50: 33 % worse"}},
		{"CPU", func(r *result) { r.CPU = 5 }, []string{"small/1: CPU to typed: recorded 2.00, at worst 2.00, now 2.50: 25 % worse"}},
		{"allocs", func(r *result) { r.Allocs = 5 }, []string{"small/1: allocs a call: recorded 4.00, at worst 4.00, now 5.00: 25 % worse"}},
	} {
		now := figures("bsrpc", 4)
		test.change(&now)
		testCheck(t, test.name, rec, reportOf("small/1", plain, typed, now), test.want)
	}
}

// TestRecordTolerance: what is just worse than the tolerance has a line.
func TestRecordTolerance(t *testing.T) {
	plain, typed := figures("plain", 1), figures("typed", 2)
	rec, err := newRecord(reportOf("small/1", plain, typed, figures("bsrpc", 4)))
	if err != nil {
		t.Fatal(err)
	}
	now := figures("bsrpc", 4)
	now.Rate /= 1.08
	rep := reportOf("small/1", plain, typed, now)
	for _, test := range []struct {
		tolerance float64
		want      string
	}{
		{1.1, "none of 5 ratios is more than 10 % worse than recorded\n"},
		{1.05, "small/1: calls/s of typed: recorded 2.00, at worst 2.00, now 1.85: 8 % worse\n"},
	} {
		var out strings.Builder
		found, compared := rec.check(rep, test.tolerance)
		if writeRegressions(&out, found, compared, test.tolerance); out.String() != test.want {
			t.Errorf("tolerance %v: got %q, want %q", test.tolerance, out.String(), test.want)
		}
	}
}

func testCheck(t *testing.T, name string, rec *record, rep *report, want []string) {
	var out strings.Builder
	found, compared := rec.check(rep, defaultTolerance)
	writeRegressions(&out, found, compared, defaultTolerance)
	if len(want) == 0 {
		want = []string{"none of 5 ratios is more than 15 % worse than recorded"}
	} else if len(found) != len(want) {
		t.Errorf("%s: finds %d, want %d", name, len(found), len(want))
	}
	if got := strings.TrimSpace(out.String()); got != strings.Join(want, "\n") {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, strings.Join(want, "\n"))
	}
}

// TestRecordSpread: what was as bad in the worst rounds of the record, but for one in four, is no regression.
func TestRecordSpread(t *testing.T) {
	var rounds []result
	for i, v := range []float64{4, 4, 4, 6, 5, 4, 4, 9, 4, 4, 9, 4, 4, 9, 4} {
		for _, r := range []result{figures("plain", 1), figures("typed", 2), figures("bsrpc", 4)} {
			if r.Round = i; r.Peer == "bsrpc" {
				r.P50 = v
			}
			rounds = append(rounds, r)
		}
	}
	rec, err := newRecord(reportOf("small/1", rounds...))
	if err != nil {
		t.Fatal(err)
	}
	plain, typed, now := figures("plain", 1), figures("typed", 2), figures("bsrpc", 4)
	now.P50 = 6
	testCheck(t, "as in the worst rounds", rec, reportOf("small/1", plain, typed, now), nil)
	now.P50 = 6.1
	testCheck(t, "worse", rec, reportOf("small/1", plain, typed, now), []string{
		"small/1: p50 to typed: recorded 2.00, at worst 3.00, now 3.05: 52 % worse",
		"small/1: p50 to plain: recorded 4.00, at worst 6.00, now 6.10: 52 % worse",
	})
	rates := ratios[1]
	if got := rates.recorded([]float64{3, 5, 4}); got != (recorded{4, 3}) {
		t.Errorf("of calls/s, where more is better: %v", got)
	}
}

// TestRecordGaps: what is missing on either side never passes for good.
func TestRecordGaps(t *testing.T) {
	full := reportOf("small/1", figures("plain", 1), figures("typed", 2), figures("bsrpc", 4))
	gap := reportOf("small/1", figures("plain", 1), figures("typed", 2), result{Peer: "bsrpc", Error: "gone"})
	if _, err := newRecord(gap); err == nil || !strings.Contains(err.Error(), "small/1: p50 to typed: bsrpc: gone") {
		t.Errorf("recorded with a gap: %v", err)
	}
	rec, err := newRecord(full)
	if err != nil {
		t.Fatal(err)
	}
	if found, _ := rec.check(gap, defaultTolerance); len(found) != len(ratios) {
		t.Errorf("not measured: %d of %d ratios", len(found), len(ratios))
	}
	if found, _ := new(record).check(full, defaultTolerance); len(found) != len(ratios) {
		t.Errorf("not recorded: %d of %d ratios", len(found), len(ratios))
	}
}

// TestRecordConfirm: a ratio counts as worse if it is so in three reports, and
// only what was worse is measured again.
func TestRecordConfirm(t *testing.T) {
	plain, typed := figures("plain", 1), figures("typed", 2)
	rec, err := newRecord(reportOf("small/1", plain, typed, figures("bsrpc", 4)))
	if err != nil {
		t.Fatal(err)
	}
	slow, large, both := figures("bsrpc", 4), figures("bsrpc", 4), figures("bsrpc", 4)
	slow.Rate, large.Allocs = 2, 9
	both.Rate, both.Allocs = 2, 9
	for _, test := range []struct {
		name  string
		runs  []result
		want  []string // the ratios
		spent int      // runs
	}{
		{"good", []result{figures("bsrpc", 4)}, nil, 1},
		{"once", []result{slow, figures("bsrpc", 4)}, nil, 2},
		{"twice", []result{slow, slow, figures("bsrpc", 4)}, nil, 3},
		{"always", []result{slow, slow, slow}, []string{"calls/s of typed"}, 3},
		{"another each time", []result{slow, large}, nil, 2},
		{"one of two", []result{both, both, large}, []string{"allocs a call"}, 3},
	} {
		found, _ := rec.check(reportOf("small/1", plain, typed, test.runs[0]), defaultTolerance)
		spent := 1
		found, err := rec.confirm(found, defaultTolerance, func(workloads []string) (*report, error) {
			if len(workloads) != 1 || workloads[0] != "small/1" {
				t.Errorf("%s: measures %q again", test.name, workloads)
			}
			spent++
			return reportOf("small/1", plain, typed, test.runs[spent-1]), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range found {
			got = append(got, r.ratio)
		}
		if !slices.Equal(got, test.want) || spent != test.spent {
			t.Errorf("%s: found %q in %d runs, want %q in %d", test.name, got, spent, test.want, test.spent)
		}
	}
}

// TestRecordFile records and checks as users do. The times are what they are.
func TestRecordFile(t *testing.T) {
	c := commandLine{tolerance: defaultTolerance, record: filepath.Join(t.TempDir(), "recorded.json")}
	c.options = options{Peers: strings.Split(echoPeers, ","), Workloads: []string{"small/4", "bulk/64B"}, Rounds: 1, Time: time.Millisecond, Network: "tcp"}
	if good, err := c.measure(io.Discard, io.Discard); err != nil || !good {
		t.Fatal(good, err)
	}
	c.check, c.record = c.record, ""
	var out strings.Builder
	good, err := c.measure(&out, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if good != strings.Contains(out.String(), "none of 10 ratios is more") {
		t.Errorf("good is %t after\n%s", good, &out)
	}
	c.Child = true
	if _, err := c.measure(io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "recorded with -network tcp -child=false") {
		t.Errorf("compared with what was measured in another way: %v", err)
	}
}

// TestRecorded: the file of make bench-check has all that it compares.
func TestRecorded(t *testing.T) {
	var rec record
	if err := readJSON("recorded.json", &rec); err != nil {
		t.Fatal(err)
	}
	ws, err := parseWorkloads([]string{"check"})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range ws {
		if got, want := len(rec.Ratios[w.String()]), len(ratiosOf(w)); got != want {
			t.Errorf("%s: %d ratios, want %d: go run . -record recorded.json", w, got, want)
		}
	}
}
