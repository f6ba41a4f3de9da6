package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/bsrpc/bsrpc/stats"
)

// show shows the fleet until over is closed: as a picture in a terminal, otherwise a line now and
// then.
func (f *fleet) show(over <-chan struct{}) {
	every := 2 * time.Second
	if f.screen.live {
		every = 200 * time.Millisecond
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	began, before := time.Now(), 0
	for {
		select {
		case <-tick.C:
		case <-over:
			return
		}
		now, calls := time.Now(), 0
		text := f.line(&calls)
		rate := number(int(float64(calls-before) / now.Sub(began).Seconds()))
		if began, before = now, calls; f.screen.live {
			f.screen.draw(fmt.Sprintf("\n  %.1f s, %s calls a second\n  %s\n\n%s", now.Sub(f.screen.began).Seconds(), rate, text, f.picture()))
		} else {
			f.screen.say("%s", text)
		}
	}
}

// latency returns the latencies of Measure.
func (f *fleet) latency() (h stats.Histogram) {
	for _, m := range f.client.Stats().Methods {
		if m.Name == service+".Measure" {
			h = m.Latency
		}
	}
	return h
}

// line returns the figures of the clients, and the number of their calls.
func (f *fleet) line(calls *int) string {
	h, t := f.latency(), f.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	*calls = t.calls
	return fmt.Sprintf("%s calls, failed: %d, sent again: %d, p50 %s, p99 %s", number(t.calls), t.failed, t.again, millis(h.P50), millis(h.P99))
}

// picture returns the servers and the instruments, in lines of 80 columns at most.
func (f *fleet) picture() string {
	var b strings.Builder
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tally.mu.Lock()
	defer f.tally.mu.Unlock()
	for i, p := range f.servers {
		fmt.Fprintf(&b, "  %s  release %d  %9s calls  %s\n", p.name, p.release, number(f.tally.by[p.name]), f.doing[i])
	}
	b.WriteString("\n")
	const rows = instruments / 3
	for row := range rows {
		for column := range 3 {
			i := 3*row + column
			m := &f.tally.meters[i]
			value, warm := "", ""
			if len(m.bars) > 0 {
				value = fmt.Sprintf("%.2f V", m.volts)
			}
			if m.celsius != nil {
				warm = fmt.Sprintf(" %.1f °C", *m.celsius)
			}
			fmt.Fprintf(&b, "  %02d %-*s %-6s%s", i+1, history, bars(m.bars, 5.2), value, warm)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// sum prints the summary. It returns an error if a call has failed.
func (f *fleet) sum() error {
	h, t := f.latency(), f.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	say := func(format string, args ...any) { f.screen.print(fmt.Sprintf(format+"\n", args...), 0) }
	say("\ncalls: %s, %s of them streams with %s readings", number(t.calls), number(t.records), number(t.readings))
	say("calls at the servers: %s", number(f.served))
	say("failed: %d", t.failed)
	say("sent again: %d", t.again)
	say("latency of Measure: p50 %s, p99 %s", millis(h.P50), millis(h.P99))
	for _, text := range f.history {
		say("upgraded: %s", text)
	}
	say("readings with the new field: %s", number(t.warm))
	if t.failed > 0 {
		return fmt.Errorf("%d of %d calls have failed, the first one with: %w", t.failed, t.calls, t.first)
	}
	return nil
}
