package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// writeTables writes a Markdown table for each workload.
func (rep *report) writeTables(out io.Writer) {
	fmt.Fprintln(out, rep.headline())
	for _, w := range rep.workloads() {
		fmt.Fprintf(out, "\n### %s: %s\n\n", w, w.title())
		rep.writeTable(out, w)
	}
}

func (c conditions) headline() string {
	o := c.Options
	ends := "client and server in one process"
	if o.Child {
		ends = "client and server in processes of their own"
	}
	return fmt.Sprintf("%s, %d CPUs (%s), GOMAXPROCS %d, %s; %s, %s; medians of %d rounds of %v; %s.",
		c.System, c.CPUs, c.CPU, c.Procs, c.Go, o.Network, ends, o.Rounds, o.Time, c.Date.Format("2006-01-02"))
}

// A column is a heading and a figure as text.
type column struct {
	head string
	text func(peer string) string
}

func (rep *report) writeTable(out io.Writer, w workload) {
	columns := rep.columns(w)
	fmt.Fprint(out, "| |")
	for _, c := range columns {
		fmt.Fprintf(out, " %s |", c.head)
	}
	fmt.Fprintf(out, "\n|---|%s\n", strings.Repeat("--:|", len(columns)))
	for _, peer := range rep.Options.Peers {
		fmt.Fprintf(out, "| %s |", peer)
		if rs := rep.find(peer, w); len(rs) == 0 {
			fmt.Fprintf(out, " %s |%s\n", rep.why(peer, w), strings.Repeat(" |", len(columns)-1))
			continue
		}
		for _, c := range columns {
			fmt.Fprintf(out, " %s |", c.text(peer))
		}
		fmt.Fprintln(out)
	}
}

func (rep *report) columns(w workload) []column {
	figure := func(head string, of func(result) float64) column {
		return column{head, func(peer string) string { return format(rep.median(peer, w, of)) }}
	}
	p50 := figure("p50, µs", func(r result) float64 { return r.P50 })
	p99 := figure("p99, µs", func(r result) float64 { return r.P99 })
	switch w.kind {
	case "idle", "inflight", "idlestreams":
		return []column{
			figure("client heap, B", func(r result) float64 { return r.ClientHeap }),
			figure("server heap, B", func(r result) float64 { return r.ServerHeap }),
			figure("client RSS, B", func(r result) float64 { return r.ClientRSS }),
			figure("server RSS, B", func(r result) float64 { return r.ServerRSS }),
		}
	case "beside":
		return []column{
			p50, p99,
			figure("bulk alone, MB/s", func(r result) float64 { return r.BulkAlone }),
			figure("bulk beside, MB/s", func(r result) float64 { return r.BulkBeside }),
			figure("beside to alone", func(r result) float64 { return r.BulkBeside / r.BulkAlone }),
		}
	}
	columns := []column{figure("calls/s", func(r result) float64 { return r.Rate })}
	if w.parts() > 1 {
		columns = []column{figure("items/s", func(r result) float64 { return r.Rate })}
	}
	if w.kind == "bulk" || w.kind == "read" {
		columns = []column{figure("MB/s", func(r result) float64 { return r.MB })}
	}
	columns = append(columns, p50, p99,
		figure("CPU, s per million", func(r result) float64 { return r.CPU }),
		figure("CPUs busy", func(r result) float64 { return r.CPU * r.Rate / 1e6 }),
		figure("allocs a call or item", func(r result) float64 { return r.Allocs }))
	if w.callers > 1 {
		columns = append(columns, figure("slowest to fastest caller", func(r result) float64 { return r.Spread }))
	}
	ratio := func(head, to string, of func(result) float64) {
		columns = append(columns, column{head + to, func(peer string) string { return format(rep.ratio(peer, to, w, of)) }})
	}
	for _, to := range []string{plain{}.name(), typed{}.name()} {
		ratio("of ", to, func(r result) float64 { return r.Rate })
		if w.callers == 1 {
			ratio("p50 to ", to, func(r result) float64 { return r.P50 })
		} else {
			ratio("CPU to ", to, func(r result) float64 { return r.CPU })
		}
	}
	return columns
}

// find returns the results of a peer that are no errors, by round.
func (rep *report) find(peer string, w workload) []result {
	var rs []result
	for _, r := range rep.Results {
		if r.Peer == peer && r.Workload == w.String() && r.Error == "" {
			rs = append(rs, r)
		}
	}
	return rs
}

// why returns why a peer has no results.
func (rep *report) why(peer string, w workload) string {
	for _, r := range rep.Results {
		if r.Peer == peer && r.Workload == w.String() && r.Error != "" {
			return strings.NewReplacer("|", "\\|", "\n", " ").Replace(r.Error)
		}
	}
	return "not measured"
}

// figures returns a figure of each round.
func (rep *report) figures(peer string, w workload, of func(result) float64) (vs []float64) {
	for _, r := range rep.find(peer, w) {
		vs = append(vs, of(r))
	}
	return vs
}

func (rep *report) median(peer string, w workload, of func(result) float64) float64 {
	return median(rep.figures(peer, w, of))
}

// ratios returns the ratio of a figure in each round: neighbours in time are
// compared, so that a drift of the machine cancels out.
func (rep *report) ratios(peer, to string, w workload, of func(result) float64) (vs []float64) {
	for _, r := range rep.find(peer, w) {
		for _, o := range rep.find(to, w) {
			if o.Round == r.Round {
				vs = append(vs, of(r)/of(o))
			}
		}
	}
	return vs
}

func (rep *report) ratio(peer, to string, w workload, of func(result) float64) float64 {
	return median(rep.ratios(peer, to, w, of))
}

// median returns NaN where there is nothing.
func median(vs []float64) float64 {
	if len(vs) == 0 {
		return math.NaN()
	}
	slices.Sort(vs)
	n := len(vs)
	return (vs[(n-1)/2] + vs[n/2]) / 2
}

// format writes three digits, or all before the point.
func format(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "–"
	case a >= 1000:
		return thousands(int64(math.Round(v)))
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
