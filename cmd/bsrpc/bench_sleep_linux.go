package main

import (
	"syscall"
	"time"
)

// sleep waits in the kernel: the timers of Go have a resolution of about a millisecond where
// nothing else runs.
func sleep(d time.Duration) {
	ts := syscall.NsecToTimespec(int64(d))
	syscall.Nanosleep(&ts, nil) // an early end is seen by the caller's clock
}
