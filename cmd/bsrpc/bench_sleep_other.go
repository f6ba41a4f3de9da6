//go:build !linux

package main

import "time"

// sleep waits.
func sleep(d time.Duration) { time.Sleep(d) }
