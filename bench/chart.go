package main

import (
	"bytes"
	"image/color"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// How all plots look: logarithmic, with the legend beside them.

const (
	chartWidth, chartHeight = 10 * vg.Inch, 5.6 * vg.Inch
	margin                  = 0.15 * vg.Inch
	legendWidth             = 1.6 * vg.Inch
)

func newChart(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.Padding, p.Legend.Padding = 12, 6
	p.X.Label.Padding, p.Y.Label.Padding = 6, 6
	p.X.Tick.Length, p.Y.Tick.Length = 5, 5
	for style, size := range map[*text.Style]font.Length{
		&p.Title.TextStyle:   15,
		&p.X.Label.TextStyle: 12, &p.Y.Label.TextStyle: 12,
		&p.X.Tick.Label: 11, &p.Y.Tick.Label: 11,
		&p.Legend.TextStyle: 12,
	} {
		style.Font.Variant, style.Font.Size = "Sans", size
	}
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.TickerFunc(logTicks)
	p.Legend.ThumbnailWidth = 24
	p.Legend.Top, p.Legend.Left = true, true
	return p
}

// saveChart widens the vertical axis to whole steps, and writes the plot.
func saveChart(p *plot.Plot, file string) error {
	p.Y.Min, p.Y.Max = widen(p.Y.Min, p.Y.Max)
	svg := vgsvg.New(chartWidth, chartHeight)
	canvas := draw.New(svg)
	canvas.SetColor(color.White)
	canvas.Fill(canvas.Rectangle.Path())
	legend := p.Legend
	p.Legend = plot.NewLegend()
	top := p.Title.TextStyle.Height(p.Title.Text) + p.Title.Padding
	area := draw.Crop(canvas, margin, -legendWidth, margin, -margin)
	p.Draw(draw.Crop(area, drawYLabel(p, area), 0, 0, 0))
	legend.Draw(draw.Crop(canvas, chartWidth-legendWidth+margin, 0, 0, -margin-top))
	var b bytes.Buffer
	if _, err := svg.WriteTo(&b); err != nil {
		return err
	}
	// Who has not that font has one of the others, of about the same width.
	fonts := []byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif")
	return os.WriteFile(file, bytes.ReplaceAll(b.Bytes(), []byte("font-family:Liberation Sans"), fonts), 0o666)
}

// drawYLabel moves the label of the vertical axis out of the plot, and returns
// its width: the plot would place it as if the axis were linear, and shrink.
func drawYLabel(p *plot.Plot, c draw.Canvas) vg.Length {
	label := p.Y.Label
	p.Y.Label.Text = ""
	height := label.TextStyle.Height(label.Text)
	label.TextStyle.Rotation = math.Pi / 2
	c.FillText(label.TextStyle, vg.Point{X: c.Min.X + height, Y: c.Center().Y}, label.Text)
	return height + 2*label.Padding
}

// widen returns a range that ends at 1, 2 or 5 times powers of ten.
func widen(from, to float64) (low, high float64) {
	below, above := math.Pow(10, math.Floor(math.Log10(from))), math.Pow(10, math.Ceil(math.Log10(to)))
	low, high = below, above
	for _, f := range []float64{2, 5} {
		if below*f <= from {
			low = below * f
		}
		if above/f >= to {
			high = above / f
		}
	}
	return low, high
}

// fewDecades is how far an axis may reach for 2 and 5 to have labels too.
const fewDecades = 3

// logTicks are at 1 to 9 times each power of ten. Numbers are written in full,
// with a space at their end for fonts that are wider.
func logTicks(from, to float64) (ticks []plot.Tick) {
	few := math.Log10(to/from) <= fewDecades
	for power := math.Floor(math.Log10(from)); power <= math.Ceil(math.Log10(to)); power++ {
		for f := 1.0; f < 10; f++ {
			v := f * math.Pow(10, power)
			if v < from*(1-1e-9) || v > to*(1+1e-9) {
				continue
			}
			t := plot.Tick{Value: v}
			if f == 1 || few && (f == 2 || f == 5) {
				t.Label = tickText(v) + " "
			}
			ticks = append(ticks, t)
		}
	}
	return ticks
}

func tickText(v float64) string {
	if v < 1 {
		return strconv.FormatFloat(v, 'g', 2, 64)
	}
	return thousands(int64(math.Round(v)))
}

// palette has a colour for each peer, in their order; the echoes are grey.
var palette = []color.Color{
	color.RGBA{0x99, 0x99, 0x99, 0xff},
	color.RGBA{0x44, 0x44, 0x44, 0xff},
	color.RGBA{0xd6, 0x27, 0x28, 0xff},
	color.RGBA{0x1f, 0x77, 0xb4, 0xff},
	color.RGBA{0x2c, 0xa0, 0x2c, 0xff},
	color.RGBA{0xff, 0x7f, 0x0e, 0xff},
	color.RGBA{0x94, 0x67, 0xbd, 0xff},
	color.RGBA{0x17, 0xbe, 0xcf, 0xff},
}

// colorOf returns a peer's colour, the same in all plots.
func colorOf(peer string) color.Color {
	i := slices.Index(strings.Split(allPeers(), ","), peer)
	return palette[max(i, 0)%len(palette)]
}
