package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// percentiles are those of summaries.
var percentiles = []struct {
	name string
	at   float64
}{{"p50", 50}, {"p90", 90}, {"p99", 99}, {"p99.9", 99.9}, {"p99.99", 99.99}}

// printHead prints what is measured, before the first run begins.
func (f *benchFlags) printHead(w io.Writer, l *load, rate float64) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %v", clean(l.method, maxWord), l.duration)
	switch {
	case f.ramp != "":
		b.WriteString(" a run")
	case rate == 0:
		b.WriteString(", closed loop")
	default:
		fmt.Fprintf(&b, ", open loop at %s calls/s", rateText(rate))
	}
	fmt.Fprintf(&b, ", %s, %s", count(l.concurrency, "caller"), count(len(l.clients), "connection"))
	if f.warmUp > 0 {
		fmt.Fprintf(&b, ", after a warm-up of %v", f.warmUp)
	}
	b.WriteString("\n")
	if f.ramp != "" {
		fmt.Fprintf(&b, "%12s %12s %10s %10s", "calls/s", "achieved", "failed", "unstarted")
		for _, p := range percentiles {
			fmt.Fprintf(&b, " %9s", p.name)
		}
		fmt.Fprintf(&b, " %9s\n", "max")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// print prints the figures of a run.
func (l *load) print(w io.Writer, t *tally) error {
	var b strings.Builder
	fmt.Fprintf(&b, "    elapsed    %v\n", t.Elapsed.Round(time.Millisecond))
	fmt.Fprintf(&b, "    calls      %d succeeded, %d failed", t.Started-t.Failed, t.Failed)
	if t.CutOff > 0 {
		fmt.Fprintf(&b, ", %d cut off", t.CutOff)
	}
	if t.NotStarted > 0 {
		fmt.Fprintf(&b, ", %d did not start in time", t.NotStarted)
	}
	fmt.Fprintf(&b, "\n    rate       %s calls/s", rateText(t.achieved()))
	if t.Rate > 0 {
		fmt.Fprintf(&b, " of %s", rateText(t.Rate))
	}
	b.WriteString("\n")
	seconds := max(t.Elapsed.Seconds(), 1e-9)
	if n := t.Received.Items; n > 0 {
		fmt.Fprintf(&b, "    received   %s, %s a second\n", count(int(n), "item"), rateText(float64(n)/seconds))
	}
	if n := float64(t.Received.Bytes); n > 0 {
		fmt.Fprintf(&b, "    received   %s, %s a second\n", byteSize(n), byteSize(n/seconds))
	}
	writeLatencies(&b, "latency", t.latencies)
	if t.Rate > 0 {
		writeLatencies(&b, "late", t.late)
	}
	for _, kind := range t.sortedErrors() {
		n := t.errors[kind]
		text := failureOf(n.first).Message
		fmt.Fprintf(&b, "    error      %d of %s: %s\n", n.count, kind, clean(text, maxLine))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// String returns a kind for people.
func (k errorKind) String() string {
	if k.code == 0 {
		return "this end"
	}
	text := k.code.String() + ", " + k.outcome.String()
	if k.name != "" {
		text += ", " + clean(k.name, maxWord)
	}
	return text
}

// writeLatencies writes a line of percentiles.
func writeLatencies(b *strings.Builder, name string, h *hdrhistogram.Histogram) {
	if h.TotalCount() == 0 {
		return
	}
	fmt.Fprintf(b, "    %-10s", name)
	for _, p := range percentiles {
		fmt.Fprintf(b, " %s %s ", p.name, latencyText(h.ValueAtPercentile(p.at)))
	}
	fmt.Fprintf(b, " max %s\n", latencyText(h.Max()))
}

// printStep prints a run as a line of a table.
func (l *load) printStep(w io.Writer, t *tally) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%12s %12s %10d %10d", rateText(t.Rate), rateText(t.achieved()), t.Failed, t.NotStarted)
	for _, p := range percentiles {
		fmt.Fprintf(&b, " %9s", latencyText(t.latencies.ValueAtPercentile(p.at)))
	}
	fmt.Fprintf(&b, " %9s\n", latencyText(t.latencies.Max()))
	_, err := io.WriteString(w, b.String())
	return err
}

// rateText returns a rate with at most one digit behind the point; below 0.1 it has two digits.
func rateText(rate float64) string {
	switch {
	case rate < 0.1:
		return fmt.Sprintf("%.2g", rate)
	case rate >= 100:
		return fmt.Sprintf("%.0f", rate)
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", rate), ".0")
}

// latencyText returns nanoseconds with three digits.
func latencyText(ns int64) string {
	d := time.Duration(ns)
	for unit := time.Second; unit >= time.Microsecond; unit /= 1000 {
		switch {
		case d >= 100*unit:
			return d.Round(unit).String()
		case d >= 10*unit:
			return d.Round(unit / 10).String()
		case d >= unit:
			return d.Round(unit / 100).String()
		}
	}
	return d.String()
}

// latenciesOf returns a histogram for JSON, in nanoseconds.
func latenciesOf(h *hdrhistogram.Histogram) any {
	if h.TotalCount() == 0 {
		return nil
	}
	list := map[string]any{"min": h.Min(), "mean": int64(h.Mean()), "max": h.Max()}
	for _, p := range percentiles {
		list[p.name] = h.ValueAtPercentile(p.at)
	}
	return list
}

// asJSON returns a run for JSON.
func (l *load) asJSON(t *tally) any {
	type failed struct {
		Code    string `json:"code,omitempty"`
		Outcome string `json:"outcome,omitempty"`
		Name    string `json:"name,omitempty"`
		Count   int64  `json:"count"`
		Message string `json:"message"`
	}
	errors := []failed{}
	for _, kind := range t.sortedErrors() {
		n := t.errors[kind]
		one := failed{Name: kind.name, Count: n.count, Message: failureOf(n.first).Message}
		if kind.code != 0 {
			one.Code, one.Outcome = kind.code.String(), kind.outcome.String()
		}
		errors = append(errors, one)
	}
	run := map[string]any{
		"method": l.method, "seconds": t.Elapsed.Seconds(), "callers": l.concurrency, "connections": len(l.clients),
		"succeeded": t.Started - t.Failed, "failed": t.Failed, "cutOff": t.CutOff, "achieved": t.achieved(),
		"latencyNanoseconds": latenciesOf(t.latencies), "errors": errors,
	}
	if l.streams != nil {
		run["items"], run["bytes"] = t.Received.Items, t.Received.Bytes
	}
	if t.Rate > 0 {
		run["rate"], run["notStarted"], run["lateNanoseconds"] = t.Rate, t.NotStarted, latenciesOf(t.late)
	}
	return run
}

// failedCalls returns an error if calls have failed, with the exit code of the most frequent.
func failedCalls(runs []*tally) error {
	var failed, all int64
	var most *errorCount
	for _, t := range runs {
		failed, all = failed+t.Failed, all+t.Started
		for _, kind := range t.sortedErrors() {
			if n := t.errors[kind]; most == nil || n.count > most.count {
				most = n
			}
		}
	}
	if most == nil {
		return nil
	}
	f := *failureOf(most.first)
	f.Message = fmt.Sprintf("%d of %s failed, most of them with: %s", failed, count(int(all), "call"), f.Message)
	return &f
}
