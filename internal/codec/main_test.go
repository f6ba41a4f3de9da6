package codec

import (
	"os"
	"runtime/debug"
	"testing"
)

// TestMain lets the garbage wait, which took a quarter of the time. GOGC still decides if it is set.
func TestMain(m *testing.M) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	os.Exit(m.Run())
}
