package bsrpc

import (
	"testing"
	"time"

	"github.com/bsrpc/bsrpc/internal/option"
)

func TestOptionResolve(t *testing.T) {
	for _, tt := range []struct {
		value   time.Duration
		r       option.Range
		want    time.Duration
		problem string
	}{
		{0, option.AnyTime(time.Second), time.Second, ""},
		{time.Minute, option.AnyTime(time.Second), time.Minute, ""},
		{1, option.AnyTime(time.Second), time.Second, "bsrpc: O: T: want 1ms or more, NoLimit (-1), or 0 for 1s"},
		{option.NoLimit, option.TimeTo(time.Minute, time.Second), time.Second, "bsrpc: O: T: want 1ms to 1m0s, or 0 for 1s"},
		{option.MinPeerTimeout, option.PeerTimeout(time.Second).Twice(), time.Second, "bsrpc: O: T: want 20ms or more, NoLimit (-1), or 0 for 1s"},
	} {
		var c option.Check
		if got := option.Resolve(&c, "T", tt.value, tt.r); got != tt.want {
			t.Errorf("Resolve(%d, %v) = %v, want %v", tt.value, tt.r, got, tt.want)
		}
		text := ""
		if err := c.Err("O"); err != nil {
			text = err.Error()
		}
		if text != tt.problem {
			t.Errorf("problem of %d = %q, want %q", tt.value, text, tt.problem)
		}
	}
}
