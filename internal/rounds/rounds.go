// Package rounds says how long tests run: at full length with the build tag bsrpc_long, as in
// CI. Only tests import it.
package rounds

import (
	"os"
	"runtime/debug"
)

// Of returns quick, or long at full length. It is a number of rounds, or a size.
func Of(quick, long int) int {
	if Long {
		return long
	}
	return quick
}

// LetGarbageWait is for TestMain. Most garbage is that of a test which has ended, and collecting it early
// took a quarter of the time. GOGC still decides if it is set.
func LetGarbageWait() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}
