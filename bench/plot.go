package main

import (
	"cmp"
	"errors"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
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
	p.X.Tick.Marker, p.Y.Tick.Marker = ticks, plot.TickerFunc(logTicks)
	p.Add(plotter.NewGrid())
	for _, peer := range rep.Options.Peers {
		if err := g.addLine(p, rep, ws, peer); err != nil {
			return err
		}
	}
	return save(p, file)
}

const (
	plotWidth, plotHeight = 10 * vg.Inch, 6 * vg.Inch
	margin                = 0.1 * vg.Inch
	legendWidth           = 1.5 * vg.Inch
)

// save writes a plot with its legend beside it: the lines are everywhere.
func save(p *plot.Plot, file string) (err error) {
	legend := p.Legend
	legend.Top, legend.Left = true, true
	p.Legend = plot.NewLegend()
	svg := vgsvg.New(plotWidth, plotHeight)
	canvas := draw.New(svg)
	canvas.SetColor(color.White)
	canvas.Fill(canvas.Rectangle.Path())
	p.Draw(draw.Crop(canvas, 0, -legendWidth, 0, 0))
	legend.Draw(draw.Crop(canvas, plotWidth-legendWidth+margin, 0, 0, -margin))
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if _, err := svg.WriteTo(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// logTicks writes 1,000,000 where the package would write 1e+06.
func logTicks(from, to float64) []plot.Tick {
	ticks := plot.LogTicks{Prec: -1}.Ticks(from, to)
	for i := range ticks {
		if ticks[i].Label != "" && ticks[i].Value >= 1 {
			ticks[i].Label = thousands(int64(math.Round(ticks[i].Value)))
		}
	}
	return ticks
}

// palette has a colour for each peer, in their order.
var palette = []color.Color{
	color.RGBA{0x80, 0x80, 0x80, 0xff},
	color.RGBA{0x30, 0x30, 0x30, 0xff},
	color.RGBA{0xd6, 0x27, 0x28, 0xff},
	color.RGBA{0x1f, 0x77, 0xb4, 0xff},
	color.RGBA{0x2c, 0xa0, 0x2c, 0xff},
	color.RGBA{0xff, 0x7f, 0x0e, 0xff},
	color.RGBA{0x94, 0x67, 0xbd, 0xff},
	color.RGBA{0x17, 0xbe, 0xcf, 0xff},
}

// addLine adds one peer, where it has results.
func (g growth) addLine(p *plot.Plot, rep *report, ws []workload, peer string) error {
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
	i := slices.Index(strings.Split(allPeers(), ","), peer)
	i = max(i, 0) % len(palette) // the same in all plots
	line.Color, dots.Color, dots.Shape = palette[i], palette[i], plotutil.Shape(i)
	line.Width = vg.Points(1.5)
	p.Add(line, dots)
	p.Legend.Add(peer, line, dots)
	return nil
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
