package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
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
		kind:   "small",
		at:     func(w workload) int { return w.callers },
		figure: func(r result) float64 { return r.Rate },
		ticks:  func(n int) string { return thousands(int64(n)) },
	},
	{
		file: "sizes.svg", title: "Bytes there and back, 1 caller", x: "size of a message", y: "MB/s, one way",
		kind:   "bulk",
		at:     func(w workload) int { return w.size },
		figure: func(r result) float64 { return r.MB },
		ticks:  formatSize,
	},
}

// plotFile makes the plots of a report, those that it has results for.
func plotFile(file, dir string) error {
	if file == "" {
		return errors.New("which results? Say -json file")
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var rep report
	if err := json.Unmarshal(b, &rep); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for _, g := range growths {
		if err := g.plot(&rep, filepath.Join(dir, g.file)); err != nil {
			return err
		}
	}
	return nil
}

func (g growth) plot(rep *report, file string) error {
	ws := g.workloads(rep)
	if len(ws) < 2 {
		return nil // nothing grows
	}
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = g.title, g.x, g.y
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	var ticks plot.ConstantTicks
	for _, w := range ws {
		ticks = append(ticks, plot.Tick{Value: float64(g.at(w)), Label: g.ticks(g.at(w))})
	}
	p.X.Tick.Marker, p.Y.Tick.Marker = ticks, plot.LogTicks{Prec: -1}
	p.Legend.Left, p.Legend.Top = g.kind == "bulk", g.kind == "bulk"
	p.Add(plotter.NewGrid())
	for i, peer := range rep.Options.Peers {
		if err := g.addLine(p, rep, ws, peer, i); err != nil {
			return err
		}
	}
	return p.Save(9*vg.Inch, 6*vg.Inch, file)
}

// addLine adds one peer, where it has results.
func (g growth) addLine(p *plot.Plot, rep *report, ws []workload, peer string, i int) error {
	var points plotter.XYs
	for _, w := range ws {
		if y := rep.median(peer, w, g.figure); !math.IsNaN(y) {
			points = append(points, plotter.XY{X: float64(g.at(w)), Y: y})
		}
	}
	if len(points) == 0 {
		return nil
	}
	line, dots, err := plotter.NewLinePoints(points)
	if err != nil {
		return err
	}
	line.Color, dots.Color, dots.Shape = plotutil.Color(i), plotutil.Color(i), plotutil.Shape(i)
	line.Width = vg.Points(1.5)
	p.Add(line, dots)
	p.Legend.Add(peer, line, dots)
	return nil
}

// workloads returns those of the plot's kind, the smallest first.
func (g growth) workloads(rep *report) []workload {
	var ws []workload
	for _, name := range rep.Options.Workloads {
		if w, err := parseWorkload(name); err == nil && w.kind == g.kind {
			ws = append(ws, w)
		}
	}
	slices.SortFunc(ws, func(a, b workload) int { return cmp.Compare(g.at(a), g.at(b)) })
	return ws
}
