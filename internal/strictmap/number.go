package strictmap

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// units are the endings that a size as text may have.
var units = []struct {
	name  string
	shift uint
}{{"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}, {"B", 0}} // B last: the others end in it

func isInt(k reflect.Kind) bool  { return k >= reflect.Int && k <= reflect.Int64 }
func isUint(k reflect.Kind) bool { return k >= reflect.Uint && k <= reflect.Uint64 }

// integer returns v as a value of the integer type t if it is a whole number
// in t's range.
func integer(v reflect.Value, t reflect.Type) (any, bool) {
	n, ok := wholeOf(v)
	made := reflect.New(t).Elem()
	switch {
	case !ok:
		return nil, false
	case isUint(t.Kind()):
		if n.negative || made.OverflowUint(n.size) {
			return nil, false
		}
		made.SetUint(n.size)
	default:
		i, ok := n.int64()
		if !ok || made.OverflowInt(i) {
			return nil, false
		}
		made.SetInt(i)
	}
	return made.Interface(), true
}

// wantedInteger says in words which numbers t takes. Those of 32 bits and more
// are counts and sizes, whose own range is told by who knows it.
func wantedInteger(t reflect.Type) string {
	if t.Bits() >= 32 {
		return `a whole number, or a size such as "16MiB"`
	}
	highest := uint64(1)<<t.Bits() - 1
	if isUint(t.Kind()) {
		return fmt.Sprintf("a whole number from 0 to %d", highest)
	}
	return fmt.Sprintf("a whole number from %d to %d", -int64(highest/2)-1, highest/2)
}

// isNumber reports whether places of type t take numbers or durations.
func isNumber(t reflect.Type) bool { return isInt(t.Kind()) || isUint(t.Kind()) }

// givenText says why text is not a number, size or duration.
func givenText(text string, t reflect.Type) string {
	n, whole := parseWhole(text)
	switch {
	case t == durationType && whole:
		return "a number without a unit"
	case t == durationType:
		return "other text"
	case whole:
		return tooLarge(n)
	case isLarge(text):
		return "a number that is too large"
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return "a fraction or an exponent"
	}
	return "other text"
}

// givenNumber says why a number does not fit t.
func givenNumber(v reflect.Value, t reflect.Type) string {
	n, whole := wholeOf(v)
	switch {
	case t == durationType:
		return "a number without a unit"
	case !isNumber(t):
		return "a number"
	case whole:
		return tooLarge(n)
	case v.Kind() == reflect.Float32 || v.Kind() == reflect.Float64:
		if f := v.Float(); f == math.Trunc(f) {
			return "a number that is too large"
		}
		return "a fraction"
	}
	return "a number that does not fit"
}

func tooLarge(n whole) string {
	if n.negative {
		return "a number that is too small"
	}
	return "a number that is too large"
}

// isLarge reports whether text is digits, with or without a unit, that make
// more than 64 bits.
func isLarge(text string) bool {
	digits := strings.TrimPrefix(text, "-")
	for _, u := range units {
		digits = strings.TrimSuffix(strings.TrimSuffix(digits, u.name), " ")
	}
	return digits != "" && strings.Trim(digits, "0123456789") == ""
}

// isNoLimit reports whether v is the text that stands for -1.
func isNoLimit(v any) bool {
	text, ok := v.(string)
	return ok && strings.EqualFold(text, "NoLimit")
}

// whole is an integer of any of Go's types: a sign and a size. Zero has no sign.
type whole struct {
	negative bool
	size     uint64
}

func (n whole) int64() (int64, bool) {
	if n.negative {
		return -int64(n.size), n.size <= 1<<63
	}
	return int64(n.size), n.size < 1<<63
}

func signed(i int64) whole {
	if i < 0 {
		return whole{true, -uint64(i)}
	}
	return whole{false, uint64(i)}
}

// wholeOf returns the whole number that v holds, or false if it holds another
// thing. A time.Duration is not a number.
func wholeOf(v reflect.Value) (whole, bool) {
	switch k := v.Kind(); {
	case v.Type() == durationType:
		return whole{}, false
	case isInt(k):
		return signed(v.Int()), true
	case isUint(k):
		return whole{size: v.Uint()}, true
	case k == reflect.Float32 || k == reflect.Float64:
		return wholeFloat(v.Float())
	case k == reflect.String: // a json.Number among them
		return parseWhole(v.String())
	}
	return whole{}, false
}

// wholeFloat takes the floats that JSON makes of whole numbers. Those above
// 2^53 may have been rounded already.
func wholeFloat(f float64) (whole, bool) {
	if f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return whole{}, false
	}
	return signed(int64(f)), true
}

// parseWhole reads a number in decimal, with or without one of the units.
func parseWhole(text string) (whole, bool) {
	digits, negative := strings.CutPrefix(text, "-")
	shift := uint(0)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(digits, u.name); ok {
			digits, shift = strings.TrimSuffix(rest, " "), u.shift
			break
		}
	}
	size, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || size > math.MaxUint64>>shift {
		return whole{}, false
	}
	size <<= shift
	return whole{negative && size != 0, size}, true
}

// duration returns a duration from text. A bare number has no unit, and the
// unit that its writer had in mind cannot be known.
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
