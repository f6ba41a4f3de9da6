package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// sortBusiest sorts methods by calls a second, and by name.
func sortBusiest(list []methodRates) {
	slices.SortFunc(list, func(a, b methodRates) int { return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Name, b.Name)) })
}

// maxCell bounds the bytes of a name in a table.
const maxCell = 40

// frame returns a view as it is written to a terminal. It replaces the one before; each line
// ends what was there, and is cut at the right edge: lines on two rows would scroll the view away.
func frame(text string) string {
	return "\x1b[?7l\x1b[H" + strings.ReplaceAll(text, "\n", "\x1b[K\n") + "\x1b[J\x1b[?7h"
}

// fitting returns a view with the longest tables of at most rows lines that fit on a terminal of this
// height, whose last row stays empty. If the tables do not fit with one line each, the rest is cut.
func (r *rates) fitting(address string, rows, height int) string {
	text := r.text(address, rows)
	for ; rows > 1 && strings.Count(text, "\n") >= height; text = r.text(address, rows) {
		rows--
	}
	if lines := strings.SplitAfter(text, "\n"); len(lines) > height {
		text = strings.Join(lines[:max(height-1, 1)], "")
	}
	return text
}

// text returns a view for people: a few lines about the server, and tables with rows lines at
// most.
func (r *rates) text(address string, rows int) string {
	var b strings.Builder
	s := &r.Server
	fmt.Fprintf(&b, "%s  up %s  %s\n", clean(address, maxCell), brief(r.Time.Sub(s.Started)), r.Time.Format(time.TimeOnly))
	fmt.Fprintf(&b, "sessions %d  waiting %d  connections %d  refused %d\n", s.Sessions, s.Waiting, s.Connections, s.RefusedConns)
	fmt.Fprintf(&b, "calls/s %s  open %d  handlers %d  in line %d  streams %d  panics %d\n", rateText(s.Calls), s.Open, s.Handlers, s.InLine, s.Streams, s.Panics)
	fmt.Fprintf(&b, "received %s/s  sent %s/s  unsent %s\n", byteSize(s.Received), byteSize(s.Sent), byteSize(float64(s.Unsent)))
	methods := func(title string, list []methodRates) {
		table(&b, title+"\tCALLS/S\tP50\tP90\tP99\tFAILED\tREFUSED", rows, list, func(m methodRates) string {
			return fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s\t%s", clean(m.Name, maxCell), rateText(m.Calls), brief(m.P50), brief(m.P90), brief(m.P99), codes(m.Failed), codes(m.Refused))
		})
	}
	methods("METHOD", r.Methods)
	methods("TO CLIENTS", r.Outgoing)
	table(&b, "GROUP\tSESSION\tHELD\tIN LINE", rows, r.Groups, func(g groupState) string {
		holder, held := "-", "-"
		switch {
		case g.Acquired:
			holder, held = fmt.Sprint(g.Holder), brief(seconds(g.Seconds))
		case g.Holder != 0:
			holder, held = fmt.Sprint(g.Holder), "a call"
		}
		return fmt.Sprintf("%s\t%s\t%s\t%s", clean(g.Name, maxCell), holder, held, sessionIDs(g.Waiting))
	})
	table(&b, "SESSION\tNAME\tADDRESS\tSINCE\tCALLS/S", rows, r.Sessions, func(s sessionRate) string {
		since := brief(seconds(s.Seconds))
		if s.Position > 0 {
			since = fmt.Sprintf("waits, place %d", s.Position)
		}
		return fmt.Sprintf("%d\t%s\t%s\t%s\t%s", s.ID, cmp.Or(clean(s.Name, maxCell), "-"), clean(s.Addr, maxCell), since, rateText(s.Calls))
	})
	return b.String()
}

// table writes a table, unless it is empty. The first rows rows are written, and the number of the rest.
func table[T any](b *strings.Builder, head string, rows int, list []T, line func(T) string) {
	if len(list) == 0 {
		return
	}
	b.WriteString("\n")
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, head)
	for _, v := range list[:min(rows, len(list))] {
		fmt.Fprintln(w, line(v))
	}
	w.Flush()
	if n := len(list) - rows; n > 0 {
		fmt.Fprintf(b, "and %d more\n", n)
	}
}

// codes returns counts by code in one word, the most frequent first.
func codes(counts map[string]uint64) string {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	var words []string
	for _, code := range names[:min(len(names), 3)] {
		words = append(words, fmt.Sprintf("%d %s", counts[code], clean(code, maxCell)))
	}
	return cmp.Or(strings.Join(words, ", "), "-")
}

// sessionIDs returns the ids of sessions, the first ten of them.
func sessionIDs(ids []uint64) string {
	var words []string
	for _, id := range ids[:min(len(ids), 10)] {
		words = append(words, fmt.Sprint(id))
	}
	if n := len(ids) - 10; n > 0 {
		words = append(words, fmt.Sprintf("and %d more", n))
	}
	return cmp.Or(strings.Join(words, " "), "-")
}

// seconds returns a duration, within the range of what makes sense.
func seconds(s float64) time.Duration {
	return time.Duration(max(0, min(s, 1e9)) * float64(time.Second))
}

// brief returns a duration with two or three digits.
func brief(d time.Duration) string {
	switch d = max(d, 0); {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d >= time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d >= time.Second:
		return fmt.Sprintf("%.3gs", d.Seconds())
	case d >= time.Millisecond:
		return fmt.Sprintf("%.3gms", d.Seconds()*1e3)
	case d > 0:
		return fmt.Sprintf("%.3gµs", d.Seconds()*1e6)
	}
	return "-"
}

// byteSize returns a number of bytes with its unit.
func byteSize(n float64) string {
	unit := 0
	for ; n >= 999.5 && unit < 4; unit++ {
		n /= 1000
	}
	return fmt.Sprintf("%.3g %s", n, [...]string{"B", "kB", "MB", "GB", "TB"}[unit])
}
