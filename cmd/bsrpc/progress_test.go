package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A terminal shows once a second what a run has done, in one line that is gone at the end. The count is that
// of this run, the rate that of the last second.
func TestBenchProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &staller{fails: true}
		l := stallLoad(t, s, 4)
		l.run(t.Context(), 100) // is not part of the next run's progress
		l.duration = 2500 * time.Millisecond
		var out strings.Builder
		l.shown(&out, "run 1 of 2 at 200 calls/s, ", l.duration, func() {
			time.Sleep(5 * time.Millisecond / 2) // between two calls
			l.run(t.Context(), 200)
		})
		first := "run 1 of 2 at 200 calls/s, 1s of 2.5s: 200 calls, 200 calls/s, 20 failed"
		second := "run 1 of 2 at 200 calls/s, 2s of 2.5s: 400 calls, 200 calls/s, 40 failed"
		if want := "\r" + first + "\r" + second + "\r" + strings.Repeat(" ", len(second)) + "\r"; out.String() != want {
			t.Errorf("%q\nwant\n%q", out.String(), want)
		}
	})
}

// The calls that are open at the end of a run are waited for.
func TestBenchProgressLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := stallLoad(t, &staller{stall: 2500 * time.Millisecond}, 1)
		var out strings.Builder
		l.shown(&out, "", l.duration, func() {
			time.Sleep(time.Millisecond)
			l.run(t.Context(), 0)
		})
		if want := "2s, waiting for the last calls: 0 calls, 0 calls/s"; !strings.Contains(out.String(), want) {
			t.Errorf("%q lacks %q", out.String(), want)
		}
	})
}

// A terminal shows that a call has no answer, from two seconds on, in a line that is gone at the end.
func TestCallSilence(t *testing.T) {
	for waits, want := range map[time.Duration]string{
		1900 * time.Millisecond: "",
		4100 * time.Millisecond: "\rLab.Ask: no answer for 2s; a call may take 20s (--timeout)\rLab.Ask: no answer for 4s; a call may take 20s (--timeout)",
	} {
		synctest.Test(t, func(t *testing.T) {
			var out strings.Builder
			showSilence(&out, "Lab.Ask", 20*time.Second, func() { time.Sleep(waits) })
			if got := strings.TrimRight(out.String(), "\r "); got != want {
				t.Errorf("after %v %q, want %q", waits, got, want)
			}
		})
	}
}

// A shorter text leaves nothing of the one before.
func TestStatusLine(t *testing.T) {
	var out strings.Builder
	line := &statusLine{w: &out}
	for _, text := range []string{"three", "one", ""} {
		line.show(text)
	}
	if want := "\rthree\rone  \r   \r"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

// What is measured is printed when it begins, not when it ends: before the only run, and before the
// first one of a ramp. Nothing else is printed then, and standard error stays empty.
func TestBenchHead(t *testing.T) {
	for _, test := range []struct {
		flags benchFlags
		rates []float64
		want  string
	}{
		{benchFlags{}, []float64{100}, "Lab.Do: 1s, open loop at 100 calls/s, 4 callers, 1 connection\n"},
		{benchFlags{warmUp: 2 * time.Second}, []float64{0}, "Lab.Do: 1s, closed loop, 4 callers, 1 connection, after a warm-up of 2s\n"},
		{benchFlags{ramp: "1:2:1"}, []float64{1, 2}, "Lab.Do: 1s a run, 4 callers, 1 connection\n" +
			"     calls/s     achieved     failed  unstarted       p50       p90       p99     p99.9    p99.99       max\n"},
	} {
		synctest.Test(t, func(t *testing.T) {
			cmd, out, failed := paperCommand(t)
			l := stallLoad(t, &staller{stall: 10 * time.Millisecond}, 4)
			l.args = slowArgs{}
			done := make(chan error, 1)
			go func() { done <- test.flags.run(cmd, &server{target: new(target)}, l, test.rates) }()
			time.Sleep(500 * time.Millisecond)
			if out.String() != test.want {
				t.Errorf("while it runs: %q, want %q", out.String(), test.want)
			}
			if err := <-done; err != nil || failed.String() != "" || !strings.HasPrefix(out.String(), test.want) {
				t.Errorf("%v, %q, %q", err, failed.String(), out.String())
			}
		})
	}
}

// slowArgs take a tenth of a second, so that a closed loop in a bubble makes its clock go on.
type slowArgs struct{}

func (slowArgs) encode(_ []byte, _ int64) ([]byte, error) {
	time.Sleep(100 * time.Millisecond)
	return nil, nil
}
func (slowArgs) varies() bool { return false }
