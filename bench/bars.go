package main

import (
	"fmt"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// peersWorkloads are those of the bar chart.
var peersWorkloads = []string{"small/1", "small/64", "small/512", "bulk/1MiB", "items/1"}

// plotPeers makes the bar chart of bsrpc's calls/s as times of each peer's,
// where there are results for it.
func plotPeers(rep *report, file string) error {
	p := newChart("bsrpc beside each peer: calls/s", "", "calls/s of bsrpc, times those of the peer")
	ws := measured(rep, peersWorkloads)
	var names []string
	for _, w := range ws {
		names = append(names, w.String())
	}
	var all []bars
	for _, peer := range rep.Options.Peers {
		if b := newBars(rep, peer, ws); len(b.values) > 0 && peer != "bsrpc" {
			all = append(all, b)
		}
	}
	if len(all) == 0 {
		return nil
	}
	p.NominalX(names...)
	p.X.Tick.Label.Font.Size = p.X.Label.TextStyle.Font.Size
	one, err := plotter.NewLine(plotter.XYs{{X: -0.5, Y: 1}, {X: float64(len(ws)) - 0.5, Y: 1}})
	if err != nil {
		return err
	}
	p.Add(horizontalGrid(), one)
	for i, b := range all {
		b.width = groupWidth / float64(len(all))
		b.offset = b.width*(float64(i)+0.5) - groupWidth/2
		b.label = p.Y.Tick.Label
		p.Add(b)
		p.Legend.Add(b.peer, b)
	}
	p.X.Min, p.X.Max = -0.5, float64(len(ws))-0.5
	return saveChart(p, file)
}

// measured returns the workloads of a list that bsrpc has results for.
func measured(rep *report, names []string) (ws []workload) {
	for _, name := range names {
		if w, err := parseWorkload(name); err == nil && len(rep.find("bsrpc", w)) > 0 {
			ws = append(ws, w)
		}
	}
	return ws
}

// horizontalGrid has no lines between the groups of bars.
func horizontalGrid() *plotter.Grid {
	g := plotter.NewGrid()
	g.Vertical.Color = nil
	return g
}

const groupWidth = 0.86 // of the bars of a workload; 1 is to the next workload's

// bars are those of one peer: they stand on 1, or hang from it.
type bars struct {
	peer          string
	values        map[int]float64 // by workload
	width, offset float64
	label         text.Style
}

func newBars(rep *report, peer string, ws []workload) bars {
	b := bars{peer: peer, values: make(map[int]float64)}
	for i, w := range ws {
		if v := rep.ratio("bsrpc", peer, w, rateOf); v > 0 {
			b.values[i] = v
		}
	}
	return b
}

// Plot draws each bar with its value at its end.
func (b bars) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	label := b.label
	label.Font.Size, label.XAlign = 7.5, text.XCenter
	for i, v := range b.values {
		middle := float64(i) + b.offset
		left, right := x(middle-0.46*b.width), x(middle+0.46*b.width)
		c.FillPolygon(colorOf(b.peer), []vg.Point{{X: left, Y: y(1)}, {X: left, Y: y(v)}, {X: right, Y: y(v)}, {X: right, Y: y(1)}})
		at := vg.Point{X: x(middle), Y: y(v) + 2}
		label.YAlign = text.YBottom
		if v < 1 {
			at.Y, label.YAlign = y(v)-2, text.YTop
		}
		c.FillText(label, at, shortly(v))
	}
}

// DataRange leaves room for the values above and below.
func (b bars) DataRange() (xmin, xmax, ymin, ymax float64) {
	ymin, ymax = 1, 1
	for _, v := range b.values {
		ymin, ymax = math.Min(ymin, v/1.2), math.Max(ymax, v*1.2)
	}
	return 0, 0, ymin, ymax
}

// Thumbnail is the bar in the legend.
func (b bars) Thumbnail(c *draw.Canvas) {
	middle := (c.Min.X + c.Max.X) / 2
	c.FillPolygon(colorOf(b.peer), []vg.Point{
		{X: middle - 5, Y: c.Min.Y}, {X: middle - 5, Y: c.Max.Y}, {X: middle + 5, Y: c.Max.Y}, {X: middle + 5, Y: c.Min.Y},
	})
}

// shortly writes two digits: 0.85, 1.2, 12.
func shortly(v float64) string {
	switch {
	case v < 0.995:
		return fmt.Sprintf("%.2f", v)
	case v < 9.95:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}
