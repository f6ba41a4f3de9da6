// Package plural writes numbers of things in messages.
package plural

import "fmt"

// Of returns a number with its unit: "1 byte", "2 bytes". The unit forms its plural with an s.
// It is not inlined: it has many callers, and none on a fast path.
//
//go:noinline
func Of[T int | int64 | uint64](n T, unit string) string {
	if n != 1 {
		unit += "s"
	}
	return fmt.Sprint(n, " ", unit)
}
