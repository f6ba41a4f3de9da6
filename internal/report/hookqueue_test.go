package report

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Calls run in order, one at a time, and Add never waits.
func TestHookQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		q := NewHookQueue(New(slog.New(slog.NewTextHandler(&text, nil))), "OnTest")
		var mu sync.Mutex
		next, running := 0, false
		for i := range 2000 {
			if i == 1000 {
				synctest.Wait()
			}
			q.Add(func() {
				mu.Lock()
				defer mu.Unlock()
				if running || next != i {
					t.Errorf("call %d, want %d; another one runs: %t", i, next, running)
				}
				next++
			})
		}
		synctest.Wait()
		if next != 2000 {
			t.Errorf("%d calls", next)
		}
		thaw := make(chan struct{})
		ran := 0
		q.Add(func() { <-thaw })
		synctest.Wait()
		for range maxQueued + 7 {
			q.Add(func() { ran++ })
		}
		time.Sleep(hungAfter + time.Second)
		close(thaw)
		synctest.Wait()
		if log := text.String(); ran != maxQueued || !strings.Contains(log, "dropped=7") || strings.Count(log, "a hook does not return") != 1 {
			t.Errorf("%d calls, log:\n%s", ran, log)
		}
	})
}
