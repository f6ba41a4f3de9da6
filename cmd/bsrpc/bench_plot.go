package main

import (
	"bytes"
	"errors"
	"image/color"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// plotColors are those of the lines of a plot, one a percentile.
var plotColors = []color.Color{
	color.RGBA{0x1f, 0x77, 0xb4, 0xff}, color.RGBA{0x2c, 0xa0, 0x2c, 0xff}, color.RGBA{0xff, 0x7f, 0x0e, 0xff},
	color.RGBA{0xd6, 0x27, 0x28, 0xff}, color.RGBA{0x94, 0x67, 0xbd, 0xff},
}

// checkPlot returns an error if no plot can be written later, to a new file or one that exists.
func checkPlot(file string) error {
	_, err := os.Stat(file)
	f, failed := os.OpenFile(file, os.O_WRONLY|os.O_CREATE, 0o666)
	if failed != nil {
		return usage("--plot: %v", failed)
	}
	f.Close()
	if errors.Is(err, fs.ErrNotExist) {
		os.Remove(file)
	}
	return nil
}

// plot writes a plot of the runs: the percentiles of one, or those of each rate.
func (l *load) plot(file string, runs []*tally) error {
	p := plot.New()
	p.Title.Text, p.Y.Label.Text = l.method, "latency in milliseconds"
	p.Title.Padding, p.X.Label.Padding, p.Y.Label.Padding = 10, 6, 6
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.Add(plotter.NewGrid())
	p.Legend.Top, p.Legend.Left, p.Legend.XOffs, p.Legend.Padding = true, true, 10, 2
	var err error
	if len(runs) == 1 {
		err = plotPercentiles(p, runs[0])
	} else {
		err = plotRates(p, runs)
	}
	if err != nil {
		return err
	}
	w, err := p.WriterTo(9*vg.Inch, 5.5*vg.Inch, filepath.Ext(file)[1:])
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if _, err := w.WriteTo(&b); err != nil {
		return err
	}
	return os.WriteFile(file, b.Bytes(), 0o666)
}

// plotPercentiles adds the latency at each percentile, with as much room for 99 to 99.9 as
// for 90 to 99.
func plotPercentiles(p *plot.Plot, t *tally) error {
	if t.latencies.TotalCount() == 0 {
		return errors.New("no call has succeeded")
	}
	p.X.Label.Text = "percentile"
	var points plotter.XYs
	nines := math.Max(1, math.Log10(float64(t.latencies.TotalCount())))
	for x := 0.0; x <= nines; x += 0.02 {
		ns := max(t.latencies.ValueAtPercentile(100*(1-math.Pow(10, -x))), t.latencies.Min())
		points = append(points, plotter.XY{X: x, Y: milliseconds(ns)})
	}
	points = append(points, plotter.XY{X: nines, Y: milliseconds(t.latencies.Max())})
	var ticks plot.ConstantTicks
	for i, name := range []string{"0", "90", "99", "99.9", "99.99", "99.999", "99.9999"} {
		if float64(i) <= nines {
			ticks = append(ticks, plot.Tick{Value: float64(i), Label: name})
		}
	}
	p.X.Tick.Marker = ticks
	line, err := plotter.NewLine(points)
	if err != nil {
		return err
	}
	line.Color, line.Width = plotColors[0], 2
	p.Add(line)
	loop := "as many calls as possible"
	if t.Rate > 0 {
		loop = rateText(t.Rate) + " calls/s"
	}
	p.Legend.Add(loop, line)
	return nil
}

// plotRates adds a line for each percentile over the rates.
func plotRates(p *plot.Plot, runs []*tally) error {
	p.X.Label.Text = "calls/s"
	for i, percentile := range percentiles {
		var points plotter.XYs
		for _, t := range runs {
			if t.latencies.TotalCount() > 0 {
				points = append(points, plotter.XY{X: t.Rate, Y: milliseconds(t.latencies.ValueAtPercentile(percentile.at))})
			}
		}
		if len(points) == 0 {
			return errors.New("no call has succeeded")
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return err
		}
		line.Color, dots.Color, dots.Shape = plotColors[i], plotColors[i], draw.CircleGlyph{}
		line.Width = 2
		p.Add(line, dots)
		p.Legend.Add(percentile.name, line, dots)
	}
	p.Y.Max *= math.Pow(p.Y.Max/p.Y.Min, 0.3) // room for the legend
	return nil
}

// milliseconds returns a latency for the logarithmic axis.
func milliseconds(ns int64) float64 { return math.Max(float64(ns), leastLatency) / 1e6 }
