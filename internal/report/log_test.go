package report

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A flood of lines of one kind does not suppress the first line a second of another one.
func TestKindsDoNotSuppressEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		l := New(slog.New(slog.NewTextHandler(&text, nil)))
		for second := range 3 {
			for range 1000 {
				l.Add(Auth, slog.LevelWarn, "flood")
			}
			if id := l.AddPanic(Panic, "panic", "why"); id == "" {
				t.Errorf("second %d: the panic has no line", second)
			}
			if l.Add(Panic, slog.LevelWarn, "panic") {
				t.Errorf("second %d: a second line beyond the limit", second)
			}
			time.Sleep(time.Second)
		}
		if n := strings.Count(text.String(), "msg=flood"); n != 3*rate {
			t.Errorf("%d lines of the flood, want %d", n, 3*rate)
		}
	})
}

// Lines about normal events have a limit of their own: they suppress no others, and count
// what was suppressed.
func TestDebugIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		l := New(slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug})))
		for range 2 {
			for range 1000 {
				l.Debug("accepted")
			}
			for range rate {
				if !l.Add(Violation, slog.LevelWarn, "violation") {
					t.Error("a warning is suppressed")
				}
			}
			time.Sleep(time.Second)
		}
		if n := strings.Count(text.String(), "accepted"); n != 2*debugRate {
			t.Errorf("%d lines, want %d", n, 2*debugRate)
		}
		if want := "suppressed=900"; !strings.Contains(text.String(), want) {
			t.Errorf("no %s in %s", want, text.String())
		}
	})
}
