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
		if n := strings.Count(text.String(), "flood"); n != 3*rate {
			t.Errorf("%d lines of the flood, want %d", n, 3*rate)
		}
	})
}
