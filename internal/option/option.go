// Package option checks the values of options against their ranges, fills in defaults, and makes
// the settings of an end of them.
package option

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// NoLimit is the value of an option without a limit.
const NoLimit = -1

// MinPeerTimeout is the shortest time allowed to a peer.
const MinPeerTimeout = 10 * time.Millisecond

// A Range is the range of the values of an option, and its default. The numbers
// are in the unit of the option's type.
type Range struct {
	Least, Most int64
	Default     int64              // for zero
	Text        func(int64) string // formats a value

	why     string // reason for Least, if it depends on another option
	noLimit bool   // NoLimit is allowed and means Most
}

// OneTo is the range of an option without NoLimit, from 1.
func OneTo(most, def int64, text func(int64) string) Range {
	return Range{Least: 1, Most: most, Default: def, Text: text}
}

// AnyCount is the range of an int with NoLimit.
func AnyCount(def int64) Range {
	return Range{Least: 1, Most: math.MaxInt, Default: def, noLimit: true, Text: CountText}
}

// AnySize is the range of an int64 with NoLimit.
func AnySize(least, def int64) Range {
	return Range{Least: least, Most: math.MaxInt64, Default: def, noLimit: true, Text: SizeText}
}

// AnyTime is the range of a duration with NoLimit. A duration below a millisecond is
// most likely a number without its unit.
func AnyTime(def time.Duration) Range {
	return Range{Least: int64(time.Millisecond), Most: math.MaxInt64, Default: int64(def), noLimit: true, Text: timeText}
}

// PeerTimeout is the range of a time allowed to a peer. Two watchdog periods may pass
// before a well-behaved peer reads, as its leader may be running a handler.
func PeerTimeout(def time.Duration) Range {
	r := AnyTime(def)
	r.Least = int64(MinPeerTimeout)
	return r
}

// Twice returns r with the double minimum, for the sum of two such times.
func (r Range) Twice() Range {
	r.Least *= 2
	return r
}

// TimeTo is the range of a duration without NoLimit.
func TimeTo(most, def time.Duration) Range {
	return Range{Least: int64(time.Millisecond), Most: int64(most), Default: int64(def), Text: timeText}
}

// Because returns r with a reason for its minimum.
func (r Range) Because(why string) Range {
	r.why = " (" + why + ")"
	return r
}

// In returns r with another format for its values.
func (r Range) In(text func(int64) string) Range {
	r.Text = text
	return r
}

// String describes the range for an error: "1 B to 1 GiB, or 0 for 16 MiB".
func (r Range) String() string {
	if r.noLimit && r.Default == r.Most {
		return fmt.Sprintf("%s%s or more, or 0 or NoLimit (-1)", r.Text(r.Least), r.why)
	}
	if r.noLimit {
		return fmt.Sprintf("%s%s or more, NoLimit (-1), or 0 for %s", r.Text(r.Least), r.why, r.Text(r.Default))
	}
	return fmt.Sprintf("%s to %s, or 0 for %s", r.Text(r.Least), r.Text(r.Most), r.Text(r.Default))
}

// A Check collects the problems of options.
type Check struct{ problems []string }

// Add adds a problem, which begins with the name of the option.
func (c *Check) Add(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

// Err returns the error for all problems, or nil without any. of is the type of the
// options.
func (c *Check) Err(of string) error {
	if len(c.problems) == 0 {
		return nil
	}
	return Error(of, c.problems)
}

// Resolve returns the setting for the value of an option. If the value is out of
// range, it adds a problem to c and returns the default.
func Resolve[T int | int64 | time.Duration](c *Check, name string, value T, r Range) T {
	switch {
	case value == 0:
		return T(r.Default)
	case value == NoLimit && r.noLimit:
		return T(r.Most)
	case int64(value) < r.Least || int64(value) > r.Most:
		c.Add("%s: want %v", name, r)
		return T(r.Default)
	}
	return value
}

// CountText returns a number of things as in an option.
func CountText(n int64) string { return strconv.FormatInt(n, 10) }

// timeText returns a time as in an option.
func timeText(n int64) string { return time.Duration(n).String() }

// SizeText formats a number of bytes in the largest unit without a fraction, for
// example "16 MiB". DecodeServerOptions reads this format.
func SizeText(n int64) string {
	units := [...]string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for i < len(units)-1 && n != 0 && n%1024 == 0 {
		n /= 1024
		i++
	}
	return fmt.Sprintf("%d %s", n, units[i])
}

// Error returns the error for one or more problems. of is the type of the
// options.
func Error(of string, problems []string) error {
	if len(problems) == 1 {
		return fmt.Errorf("bsrpc: %s: %s", of, problems[0])
	}
	return fmt.Errorf("bsrpc: %s: %d problems\n    %s", of, len(problems), strings.Join(problems, "\n    "))
}
