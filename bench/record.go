package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
)

// A record is what bsrpc's ratios to the echoes were when somebody last found
// them good; -check compares with it.
type record struct {
	conditions
	Ratios map[string]map[string]recorded `json:"ratios"` // by workload and name
}

// recorded has the values of a ratio in the rounds of a record. Some echoes run
// in one of two ways for seconds, so their ratios differ as widely from round
// to round as a regression does.
type recorded struct {
	Median float64 `json:"median"`
	Worst  float64 `json:"worst"` // but for one round in four, which others may have disturbed
}

// defaultTolerance is how many times worse a ratio may be.
const defaultTolerance = 1.15

// A ratio is one of bsrpc's figures beside that of an echo.
type ratio struct {
	name   string
	to     string // the echo; "" for the figure as it is
	figure func(result) float64
	calls  bool    // of calls only, not of streams
	more   bool    // more is better
	slack  float64 // what a change must be above, whatever its share
}

var ratios = []ratio{
	{name: "p50 to typed", to: "typed", calls: true, figure: func(r result) float64 { return r.P50 }},
	{name: "calls/s of typed", to: "typed", calls: true, figure: func(r result) float64 { return r.Rate }, more: true},
	{name: "p50 to plain", to: "plain", figure: func(r result) float64 { return r.P50 }},
	{name: "CPU to typed", to: "typed", calls: true, figure: func(r result) float64 { return r.CPU }},
	{name: "allocs a call", figure: func(r result) float64 { return r.Allocs }, slack: 0.5},
}

// ratiosOf returns the ratios of a workload: typed has no streams.
func ratiosOf(w workload) []ratio {
	if !w.isStream() {
		return ratios
	}
	var of []ratio
	for _, q := range ratios {
		if !q.calls {
			of = append(of, q)
		}
	}
	return of
}

// of returns a ratio's values in the rounds of a report.
func (q ratio) of(rep *report, w workload) []float64 {
	if q.to == "" {
		return rep.figures("bsrpc", w, q.figure)
	}
	return rep.ratios("bsrpc", q.to, w, q.figure)
}

// recorded returns what a record has of the values, NaN for none.
func (q ratio) recorded(values []float64) recorded {
	r := recorded{Median: round(median(values)), Worst: math.NaN()}
	if n := len(values); n > 0 {
		slices.SortFunc(values, func(a, b float64) int { // the worst one first
			if q.more {
				return cmp.Compare(a, b)
			}
			return cmp.Compare(b, a)
		})
		r.Worst = round(values[n/4])
	}
	return r
}

// worse returns how many times worse a value is than it was.
func (q ratio) worse(was, now float64) float64 {
	switch {
	case math.Abs(now-was) <= q.slack:
		return 1
	case q.more:
		return was / now
	}
	return now / was
}

// newRecord takes the ratios out of a report. One that was not measured is an
// error: the check would never find it worse.
func newRecord(rep *report) (*record, error) {
	rec := &record{conditions: rep.conditions, Ratios: make(map[string]map[string]recorded)}
	var errs []error
	for _, w := range rep.workloads() {
		of := make(map[string]recorded)
		for _, q := range ratiosOf(w) {
			r := q.recorded(q.of(rep, w))
			if !usable(r.Median) || !usable(r.Worst) {
				errs = append(errs, fmt.Errorf("%s: %s: %s", w, q.name, rep.whyAny(w)))
				continue
			}
			of[q.name] = r
		}
		rec.Ratios[w.String()] = of
	}
	return rec, errors.Join(errs...)
}

func usable(v float64) bool { return v >= 0 && !math.IsInf(v, 0) }

// round keeps four digits: a record is read by people too.
func round(v float64) float64 {
	v, _ = strconv.ParseFloat(strconv.FormatFloat(v, 'g', 4, 64), 64)
	return v
}

// A regression is a ratio that is worse than recorded, or missing.
type regression struct {
	workload, ratio string
	text            string
}

// check returns the ratios of a report that are more than tolerance times
// worse than recorded, and worse than in the worst rounds of the record. It also
// returns the number of ratios compared.
func (rec *record) check(rep *report, tolerance float64) (found []regression, compared int) {
	for _, w := range rep.workloads() {
		for _, q := range ratiosOf(w) {
			compared++
			if text := rec.compare(rep, w, q, tolerance); text != "" {
				found = append(found, regression{w.String(), q.name, text})
			}
		}
	}
	return found, compared
}

// confirmations is how often -check measures a regression again before it
// counts: a single run of a busy machine finds some that are none.
const confirmations = 2

// confirm returns the regressions that every further report has too, with the
// texts of the last. measure returns a report of some workloads.
func (rec *record) confirm(found []regression, tolerance float64, measure func(workloads []string) (*report, error)) ([]regression, error) {
	for range confirmations {
		if len(found) == 0 {
			break
		}
		var workloads []string
		for _, r := range found {
			if !slices.Contains(workloads, r.workload) {
				workloads = append(workloads, r.workload)
			}
		}
		rep, err := measure(workloads)
		if err != nil {
			return nil, err
		}
		before := found
		found, _ = rec.check(rep, tolerance)
		found = slices.DeleteFunc(found, func(r regression) bool {
			return !slices.ContainsFunc(before, func(b regression) bool { return b.workload == r.workload && b.ratio == r.ratio })
		})
	}
	return found, nil
}

// writeRegressions writes a line for each, or that none was found.
func writeRegressions(out io.Writer, found []regression, compared int, tolerance float64) {
	for _, r := range found {
		fmt.Fprintf(out, "%s: %s: %s\n", r.workload, r.ratio, r.text)
	}
	if len(found) == 0 {
		fmt.Fprintf(out, "none of %d ratios is more than %.0f %% worse than recorded\n", compared, (tolerance-1)*100)
	}
}

// compare says what is worse, or "".
func (rec *record) compare(rep *report, w workload, q ratio, tolerance float64) string {
	was, ok := rec.Ratios[w.String()][q.name]
	now := median(q.of(rep, w))
	switch {
	case !ok:
		return fmt.Sprintf("not recorded, now %s", format(now))
	case !usable(now):
		return fmt.Sprintf("recorded %s, now none: %s", format(was.Median), rep.whyAny(w))
	case q.worse(was.Median, now) > tolerance && q.worse(was.Worst, now) > 1:
		return fmt.Sprintf("recorded %s, at worst %s, now %s: %.0f %% worse", format(was.Median), format(was.Worst), format(now), (q.worse(was.Median, now)-1)*100)
	}
	return ""
}

// whyAny returns why there is no ratio: what bsrpc or an echo has said.
func (rep *report) whyAny(w workload) string {
	for _, peer := range []string{"bsrpc", "typed", "plain"} {
		if len(rep.find(peer, w)) == 0 {
			return peer + ": " + rep.why(peer, w)
		}
	}
	return "not comparable"
}

// fits returns an error if what is to be measured cannot be compared.
func (rec *record) fits(o options) error {
	if was := rec.Options; was.Network != o.Network || was.Child != o.Child || rec.Procs != o.procs() {
		return fmt.Errorf("recorded with -network %s -child=%t -cpu %d; check with the same, or -record anew", was.Network, was.Child, rec.Procs)
	}
	return nil
}

func readJSON(file string, v any) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

func writeJSON(file string, v any) error {
	b, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o666)
}
