package bsrpc

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

const (
	kib = 1 << 10
	mib = 1 << 20

	leastPatience = 10 * time.Millisecond
)

// A valueRange is what the values of an option may be. The numbers are those
// of the option's type.
type valueRange struct {
	least, most int64
	why         string             // of least, if another option decides it
	standard    int64              // what zero stands for
	noLimit     bool               // NoLimit stands for most
	text        func(int64) string // how a value is written
}

// oneTo is a range that needs an upper end.
func oneTo(most, standard int64, text func(int64) string) valueRange {
	return valueRange{least: 1, most: most, standard: standard, text: text}
}

// anyCount is the range of an int that may be NoLimit.
func anyCount(standard int64) valueRange {
	return valueRange{least: 1, most: math.MaxInt, standard: standard, noLimit: true, text: countText}
}

// anySize is the range of an int64 that may be NoLimit.
func anySize(least, standard int64) valueRange {
	return valueRange{least: least, most: math.MaxInt64, standard: standard, noLimit: true, text: sizeText}
}

// anyTime is the range of a duration that may be NoLimit. Less than a
// millisecond is a number that was meant to have a unit.
func anyTime(standard time.Duration) valueRange {
	return valueRange{least: int64(time.Millisecond), most: math.MaxInt64, standard: int64(standard), noLimit: true, text: timeText}
}

// patienceOf is the range of a time for which one end bears with the other. A proper
// peer may be in a handler, and not read, for two ticks.
func patienceOf(standard time.Duration) valueRange {
	r := anyTime(standard)
	r.least = int64(leastPatience)
	return r
}

// twice is a range for two of what r is one of.
func (r valueRange) twice() valueRange {
	r.least *= 2
	return r
}

// timeTo is the range of a time that needs an upper end.
func timeTo(most, standard time.Duration) valueRange {
	return valueRange{least: int64(time.Millisecond), most: int64(most), standard: int64(standard), text: timeText}
}

func (r valueRange) because(why string) valueRange {
	r.why = " (" + why + ")"
	return r
}

func (r valueRange) in(text func(int64) string) valueRange {
	r.text = text
	return r
}

// String says what is in range: "1 B to 1 GiB, or 0 for 16 MiB".
func (r valueRange) String() string {
	if r.noLimit && r.standard == r.most {
		return fmt.Sprintf("%s%s or more, or 0 or NoLimit (-1)", r.text(r.least), r.why)
	}
	if r.noLimit {
		return fmt.Sprintf("%s%s or more, NoLimit (-1), or 0 for %s", r.text(r.least), r.why, r.text(r.standard))
	}
	return fmt.Sprintf("%s to %s, or 0 for %s", r.text(r.least), r.text(r.most), r.text(r.standard))
}

// An optionCheck collects what is wrong with options.
type optionCheck struct{ problems []string }

// resolveOne returns what the value of an option stands for, the default if it
// is out of range.
func resolveOne[T int | int64 | time.Duration](c *optionCheck, name string, value T, r valueRange) T {
	switch {
	case value == 0:
		return T(r.standard)
	case value == NoLimit && r.noLimit:
		return T(r.most)
	case int64(value) < r.least || int64(value) > r.most:
		c.problems = append(c.problems, fmt.Sprintf("%s: want %v", name, r))
		return T(r.standard)
	}
	return value
}

func countText(n int64) string { return strconv.FormatInt(n, 10) }

func timeText(n int64) string { return time.Duration(n).String() }

// sizeText writes a number of bytes in the largest unit that gives a whole
// number, as a configuration may have it.
func sizeText(n int64) string {
	units := [...]string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for i < len(units)-1 && n != 0 && n%kib == 0 {
		n /= kib
		i++
	}
	return fmt.Sprintf("%d %s", n, units[i])
}
