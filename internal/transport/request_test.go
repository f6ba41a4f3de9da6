package transport

import (
	"math"
	"testing"

	"github.com/bsrpc/bsrpc/internal/limits"
)

// A peer may have all the messages refused it can have begun.
func TestMaxRefused(t *testing.T) {
	for _, tt := range []struct {
		connBytes int64
		inflight  int
		want      int
	}{
		{32 << 20, 1024, maxRefusals},
		{math.MaxInt64, 1, maxRefusals},
		{math.MaxInt64, 5000, 10_000},
		{math.MaxInt64, math.MaxInt, 2 << slotBits},
		{100 << 20, 5000, 1600},
	} {
		if got := maxRefused(&limits.Conn{ConnBytes: tt.connBytes}, tt.inflight); got != tt.want {
			t.Errorf("ConnBytes %d, MaxInflight %d: %d, want %d", tt.connBytes, tt.inflight, got, tt.want)
		}
	}
}
