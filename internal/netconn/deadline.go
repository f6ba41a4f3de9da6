package netconn

import (
	"errors"
	"os"
	"time"
)

// LongAgo is a deadline in the past: it interrupts a Read or Write in progress.
var LongAgo = time.Unix(1, 0)

// IsTimeout reports whether a Read or Write ended because of its deadline.
func IsTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// DeadlineIn returns the time after d. A d for no limit is reduced to about a year, as
// package net cannot represent more.
func DeadlineIn(d time.Duration) time.Time { return time.Now().Add(min(d, 1<<55)) }

// SmallWrite is the longest single Write on a connection other than a socket, and the
// progress required there within Limits.WriteStall. A Write interrupted by its
// deadline must be the last one on such a connection, so it cannot be used to check
// for less.
const SmallWrite = 64 << 10
