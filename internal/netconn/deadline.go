package netconn

import (
	"errors"
	"os"
	"time"
)

// LongAgo is a deadline that ends a read or write in progress.
var LongAgo = time.Unix(1, 0)

// IsTimeout reports whether a read or write ended at its deadline.
func IsTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// DeadlineIn returns the deadline after d. The longest d means no limit: it is cut to
// a year, which package net can represent.
func DeadlineIn(d time.Duration) time.Time { return time.Now().Add(min(d, 1<<55)) }

// SmallWrite is how much a connection other than a socket must accept within
// Limits.WriteStall: a write that ends at a deadline is the last one there.
const SmallWrite = 64 << 10
