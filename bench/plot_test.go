package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// plotted is a report of all peers and growths, with figures that are made up:
// some are missing, some zero and below.
func plotted() *report {
	rep := new(report)
	rep.Options.Peers = strings.Split(allPeers(), ",")
	ws, err := parseWorkloads([]string{"growth", "all"})
	if err != nil {
		panic(err)
	}
	for i, w := range ws {
		rep.Options.Workloads = append(rep.Options.Workloads, w.String())
		for j, peer := range rep.Options.Peers {
			r := result{Peer: peer, Workload: w.String()}
			if i%5 == 4 && j%3 == 1 {
				r.Error = "cannot"
			} else if v := float64(100*(i+1)*(j+1)) - 300; v != 0 {
				r.Rate, r.MB, r.ClientHeap, r.ServerHeap = max(v, 1), max(v, 1), v, v
			}
			rep.Results = append(rep.Results, r)
		}
	}
	return rep
}

// TestPlots: each plot is there, is XML, and names its axes and peers.
func TestPlots(t *testing.T) {
	dir := plotDir(t, plotted())
	for _, g := range growths {
		testPlot(t, filepath.Join(dir, g.file), g.title, g.x, g.y, "bsrpc", "typed", "grpc-go", "net/rpc")
	}
	testPlot(t, filepath.Join(dir, "peers.svg"), "small/512", "bulk/1MiB", "times those of the peer", "typed", "connect-go")
}

// TestPlotsOfFew: what a run has no growth of is no plot, and no error.
func TestPlotsOfFew(t *testing.T) {
	dir := plotDir(t, reportOf("items/1", figures("plain", 1), figures("bsrpc", 2)))
	for _, g := range growths {
		if _, err := os.Stat(filepath.Join(dir, g.file)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is there, or %v", g.file, err)
		}
	}
}

func plotDir(t *testing.T, rep *report) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "results.json")
	if err := writeJSON(file, rep); err != nil {
		t.Fatal(err)
	}
	if err := plotFile(file, dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func testPlot(t *testing.T, file string, texts ...string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Error(err)
		return
	}
	for dec := xml.NewDecoder(strings.NewReader(string(b))); ; {
		if _, err := dec.Token(); err != nil {
			if err != io.EOF {
				t.Errorf("%s: %v", file, err)
			}
			break
		}
	}
	for _, text := range texts {
		if !strings.Contains(string(b), ">"+text) && !strings.Contains(string(b), text+"<") {
			t.Errorf("%s: no %q", file, text)
		}
	}
}

// TestWiden: an axis ends at steps.
func TestWiden(t *testing.T) {
	for _, test := range [][4]float64{
		{1, 100, 1, 100}, {3, 30, 2, 50}, {0.7, 1.5, 0.5, 2}, {12, 480, 10, 500}, {55, 2001, 50, 5000},
	} {
		if low, high := widen(test[0], test[1]); !near(low, test[2]) || !near(high, test[3]) {
			t.Errorf("%v to %v: got %v to %v, want %v to %v", test[0], test[1], low, high, test[2], test[3])
		}
	}
	var labels []string
	for _, tick := range logTicks(0.2, 5) {
		if tick.Label != "" {
			labels = append(labels, strings.TrimSpace(tick.Label))
		}
	}
	if got := strings.Join(labels, " "); got != "0.2 0.5 1 2 5" {
		t.Errorf("labels %s", got)
	}
}

func near(a, b float64) bool { return a > b*0.999 && a < b*1.001 }
