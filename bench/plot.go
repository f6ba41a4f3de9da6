package main

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// A growth is one plot: a figure of one kind of workload against its size.
type growth struct {
	file, title, x, y string
	kind              string
	at                func(workload) int
	figure            func(result) float64
	ticks             func(int) string
}

var growths = []growth{
	{
		file: "callers.svg", title: "Small calls on one connection", x: "callers", y: "calls/s",
		kind: "small", at: callersOf, figure: rateOf, ticks: count,
	},
	{
		file: "conns.svg", title: "Small calls on many connections, 1 caller on each", x: "connections", y: "calls/s",
		kind: "conns", at: callersOf, figure: rateOf, ticks: count,
	},
	{
		file: "sizes.svg", title: "Bytes there and back, 1 caller", x: "size of a message", y: "MB/s, one way",
		kind: "bulk", at: sizeOf, figure: func(r result) float64 { return r.MB }, ticks: formatSize,
	},
	{
		file: "memory-conns.svg", title: "Memory of an idle connection", x: "connections", y: "KiB a connection, mean of both ends",
		kind: "idle", at: sizeOf, figure: func(r result) float64 { return heapOf(r) / 2 }, ticks: count,
	},
	{
		file: "memory-inflight.svg", title: "Memory of a call that waits in its handler", x: "calls in flight on one connection", y: "KiB a call, both ends together",
		kind: "inflight", at: callersOf, figure: heapOf, ticks: count,
	},
}

func callersOf(w workload) int { return w.callers }
func sizeOf(w workload) int    { return w.size }
func rateOf(r result) float64  { return r.Rate }
func heapOf(r result) float64  { return (r.ClientHeap + r.ServerHeap) / (1 << 10) } // KiB
func count(n int) string       { return thousands(int64(n)) }

// plotFile makes the plots of a report, those that it has results for.
func plotFile(file, dir string) error {
	if file == "" {
		return errors.New("which results? Say -json file")
	}
	var rep report
	if err := readJSON(file, &rep); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for _, g := range growths {
		if err := g.plot(&rep, filepath.Join(dir, g.file)); err != nil {
			return err
		}
	}
	return plotPeers(&rep, filepath.Join(dir, "peers.svg"))
}

// leastGrowth is more sizes than a run without growth has: it would overwrite
// plots with its few.
const leastGrowth = 4

func (g growth) plot(rep *report, file string) error {
	ws := g.workloads(rep)
	if len(ws) < leastGrowth {
		return nil
	}
	p := newChart(g.title, g.x, g.y)
	p.X.Scale = plot.LogScale{}
	var ticks plot.ConstantTicks
	for _, w := range ws {
		ticks = append(ticks, plot.Tick{Value: float64(g.at(w)), Label: g.ticks(g.at(w))})
	}
	p.X.Tick.Marker = ticks
	p.Add(plotter.NewGrid())
	var bold, dashed []plot.Plotter // the others are below them
	for _, peer := range rep.Options.Peers {
		points := g.points(rep, ws, peer)
		if len(points) == 0 {
			continue
		}
		line, dots, err := newLine(peer, points)
		if err != nil {
			return err
		}
		p.Legend.Add(peer, line, dots)
		switch {
		case peer == "bsrpc":
			bold = append(bold, line, dots)
		case len(line.Dashes) > 0:
			dashed = append(dashed, line, dots)
		default:
			p.Add(line, dots)
		}
	}
	p.Add(append(bold, dashed...)...)
	return saveChart(p, file)
}

// points returns one peer's, where it has results above zero: the axis is
// logarithmic.
func (g growth) points(rep *report, ws []workload, peer string) (points plotter.XYs) {
	for _, w := range ws {
		if y := rep.median(peer, w, g.figure); y > 0 {
			points = append(points, plotter.XY{X: float64(g.at(w)), Y: y})
		}
	}
	return points
}

// newLine returns bsrpc's line thick, and those of the echoes dashed.
func newLine(peer string, points plotter.XYs) (*plotter.Line, *plotter.Scatter, error) {
	line, dots, err := plotter.NewLinePoints(points)
	if err != nil {
		return nil, nil, err
	}
	line.Color, dots.Color, dots.Shape = colorOf(peer), colorOf(peer), draw.CircleGlyph{}
	line.Width, dots.Radius = 1.5, 2.5
	switch peer {
	case "bsrpc":
		line.Width, dots.Radius = 2.75, 3.75
	case "plain", "typed":
		line.Dashes = []vg.Length{6, 3}
	}
	return line, dots, nil
}

// workloads returns those of the plot's kind, the smallest first.
func (g growth) workloads(rep *report) []workload {
	var ws []workload
	for _, w := range rep.workloads() {
		if w.kind == g.kind {
			ws = append(ws, w)
		}
	}
	slices.SortFunc(ws, func(a, b workload) int { return cmp.Compare(g.at(a), g.at(b)) })
	return ws
}
