package strictmap

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// units are the suffixes of sizes.
var units = []struct {
	name  string
	shift uint
}{{"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}, {"B", 0}} // B last: it is a suffix of the others

func isInt(k reflect.Kind) bool  { return k >= reflect.Int && k <= reflect.Int64 }
func isUint(k reflect.Kind) bool { return k >= reflect.Uint && k <= reflect.Uint64 }

// integer returns v as a value of the integer type t. It returns false unless v
// is a whole number in the range of t.
func integer(v reflect.Value, t reflect.Type) (any, bool) {
	n, ok := wholeNumberOf(v)
	made := reflect.New(t).Elem()
	switch {
	case !ok:
		return nil, false
	// The range of t is checked before the conversion, which would truncate.
	case isUint(t.Kind()):
		if n.negative || made.OverflowUint(n.abs) {
			return nil, false
		}
		made.SetUint(n.abs)
	default:
		i, ok := n.int64()
		if !ok || made.OverflowInt(i) {
			return nil, false
		}
		made.SetInt(i)
	}
	return made.Interface(), true
}

// wantInteger describes the valid values of the integer type t. Types of 32
// bits and more are counts and sizes; their owner checks and reports narrower
// ranges.
func wantInteger(t reflect.Type) string {
	if t.Bits() >= 32 {
		return `a whole number, or a size such as "16MiB"`
	}
	highest := uint64(1)<<t.Bits() - 1
	if isUint(t.Kind()) {
		return fmt.Sprintf("a whole number from 0 to %d", highest)
	}
	return fmt.Sprintf("a whole number from %d to %d", -int64(highest/2)-1, highest/2)
}

// isNumber reports whether t is an integer or duration type.
func isNumber(t reflect.Type) bool { return isInt(t.Kind()) || isUint(t.Kind()) }

// haveString describes text invalid as a number, size or duration.
func haveString(text string, t reflect.Type) string {
	n, whole := parseWholeNumber(text)
	switch {
	case t == durationType && whole:
		return "a number without a unit"
	case t == durationType:
		return "other text"
	case whole:
		return outOfRange(n)
	case overflows(text):
		return "a number too large"
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return "a fraction or an exponent"
	}
	return "other text"
}

// haveNumber describes a number invalid for type t.
func haveNumber(v reflect.Value, t reflect.Type) string {
	n, whole := wholeNumberOf(v)
	switch {
	case t == durationType:
		return "a number without a unit"
	case !isNumber(t):
		return "a number"
	case whole:
		return outOfRange(n)
	case v.Kind() == reflect.Float32 || v.Kind() == reflect.Float64:
		if f := v.Float(); f == math.Trunc(f) {
			return "a number too large"
		}
		return "a fraction"
	}
	return "a number that does not fit"
}

// outOfRange describes a number outside the range of its type.
func outOfRange(n wholeNumber) string {
	if n.negative {
		return "a number too small"
	}
	return "a number too large"
}

// overflows reports whether text is a number, with or without a unit. It is
// called after parseWholeNumber failed: the number then exceeds 64 bits.
func overflows(text string) bool {
	digits := strings.TrimPrefix(text, "-")
	for _, u := range units {
		digits = strings.TrimSuffix(strings.TrimSuffix(digits, u.name), " ")
	}
	return digits != "" && strings.Trim(digits, "0123456789") == ""
}

// isNoLimit reports whether v is the text "NoLimit", meaning -1.
func isNoLimit(v any) bool {
	text, ok := v.(string)
	return ok && strings.EqualFold(text, "NoLimit")
}

// A wholeNumber represents the values of all integer types, as sign and
// magnitude. Zero is not negative.
type wholeNumber struct {
	negative bool
	abs      uint64
}

// int64 returns n if it is in range.
func (n wholeNumber) int64() (int64, bool) {
	if n.negative {
		return -int64(n.abs), n.abs <= 1<<63
	}
	return int64(n.abs), n.abs < 1<<63
}

func wholeNumberFromInt(i int64) wholeNumber {
	if i < 0 {
		return wholeNumber{true, -uint64(i)}
	}
	return wholeNumber{false, uint64(i)}
}

// wholeNumberOf returns the whole number in v, if it is one. A time.Duration is
// not a number.
func wholeNumberOf(v reflect.Value) (wholeNumber, bool) {
	switch k := v.Kind(); {
	case v.Type() == durationType:
		return wholeNumber{}, false
	case isInt(k):
		return wholeNumberFromInt(v.Int()), true
	case isUint(k):
		return wholeNumber{abs: v.Uint()}, true
	case k == reflect.Float32 || k == reflect.Float64:
		return wholeNumberFromFloat(v.Float())
	case k == reflect.String: // including json.Number
		return parseWholeNumber(v.String())
	}
	return wholeNumber{}, false
}

// wholeNumberFromFloat converts the floats of encoding/json. Beyond 2^53 they
// may be rounded already, and are refused.
func wholeNumberFromFloat(f float64) (wholeNumber, bool) {
	// NaN and infinities fail the first comparison or the second.
	if f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return wholeNumber{}, false
	}
	return wholeNumberFromInt(int64(f)), true
}

// parseWholeNumber parses a decimal number with an optional unit.
func parseWholeNumber(text string) (wholeNumber, bool) {
	digits, negative := strings.CutPrefix(text, "-")
	// Without a unit shift is 0.
	shift := uint(0)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(digits, u.name); ok {
			digits, shift = strings.TrimSuffix(rest, " "), u.shift
			break
		}
	}
	// ParseUint refuses a second sign and any other character.
	size, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || size > math.MaxUint64>>shift {
		return wholeNumber{}, false
	}
	size <<= shift
	return wholeNumber{negative && size != 0, size}, true
}

// duration returns v as a time.Duration. Numbers without a unit are invalid, as
// the intended unit is unknown.
func duration(v any) (any, bool) {
	switch v := v.(type) {
	case time.Duration:
		return v, true
	case string:
		d, err := time.ParseDuration(v)
		return d, err == nil && strings.ContainsAny(v, "smh") // "0" parses
	}
	return nil, false
}
