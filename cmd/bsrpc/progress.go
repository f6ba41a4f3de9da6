package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// meanwhile runs f. While it runs, say is called on another goroutine: first after a time, and
// then after those that say returns. It has returned when meanwhile does.
func meanwhile(f func(), first time.Duration, say func() (next time.Duration)) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		timer := time.NewTimer(first)
		defer timer.Stop()
		for {
			select {
			case <-done:
				return
			case <-timer.C:
				timer.Reset(say())
			}
		}
	}()
	defer func() { close(done); <-ended }()
	f()
}

// progressEvery is the time between two views of the progress of a run.
const progressEvery = time.Second

// A statusLine is a line of a terminal with one text in place of the other.
type statusLine struct {
	w     io.Writer
	width int // of the last text
}

// show replaces the text, "" for none. Errors of a terminal end nothing: a run is worth more than its status.
func (s *statusLine) show(text string) {
	fmt.Fprintf(s.w, "\r%s%s", text, strings.Repeat(" ", max(s.width-len(text), 0)))
	if s.width = len(text); text == "" {
		io.WriteString(s.w, "\r")
	}
}

// clear removes the text, if there is one.
func (s *statusLine) clear() {
	if s.width > 0 {
		s.show("")
	}
}

// showSilence runs f, a call with a time limit, and shows on a terminal that it has no answer, at
// growing intervals. Nothing of it stays.
func showSilence(terminal io.Writer, name string, limit time.Duration, f func()) {
	line := &statusLine{w: terminal}
	begin := time.Now()
	meanwhile(f, silence(0), func() time.Duration {
		waited := time.Since(begin)
		line.show(fmt.Sprintf("%s: no answer for %v; a call may take %v (--timeout)", name, waited.Round(time.Second), limit))
		return silence(waited)
	})
	line.clear()
}

// ended returns how many calls of the load's clients have ended so far, and how many of these have failed.
func (l *load) ended() (calls, failed uint64) {
	for _, c := range l.clients {
		for _, m := range c.Stats().Methods {
			for _, n := range m.Calls {
				if calls += n.Calls; n.Code != "ok" {
					failed += n.Calls
				}
			}
			for _, n := range m.Refused {
				calls, failed = calls+n.Calls, failed+n.Calls
			}
		}
	}
	return calls, failed
}

// shown runs f, calls of the load for a time d, and shows their progress on a terminal: the time, and the
// calls with their rate in the last second. what begins the line. Elsewhere nothing is shown.
func (l *load) shown(terminal io.Writer, what string, d time.Duration, f func()) {
	if terminal == nil {
		f()
		return
	}
	line := &statusLine{w: terminal}
	begin := time.Now()
	before, failedBefore := l.ended()
	last, lastCalls := begin, before
	meanwhile(f, progressEvery, func() time.Duration {
		now := time.Now()
		calls, failed := l.ended()
		part := fmt.Sprintf("%v of %v", now.Sub(begin).Round(time.Second), d)
		if now.Sub(begin) > d {
			part = fmt.Sprintf("%v, waiting for the last calls", now.Sub(begin).Round(time.Second))
		}
		text := fmt.Sprintf("%s%s: %s, %s calls/s", what, part, count(int(calls-before), "call"), rateText(rate(calls, lastCalls, now.Sub(last).Seconds())))
		if failed > failedBefore {
			text += fmt.Sprintf(", %d failed", failed-failedBefore)
		}
		line.show(text)
		last, lastCalls = now, calls
		return progressEvery
	})
	line.clear()
}
