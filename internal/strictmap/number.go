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

// wantedInteger says in words which numbers t takes.
func wantedInteger(t reflect.Type) string {
	lowest, highest := int64(0), uint64(math.MaxUint64)>>(64-t.Bits())
	if isInt(t.Kind()) {
		highest >>= 1
		lowest = -int64(highest) - 1
	}
	text := fmt.Sprintf("a whole number from %d to %d", lowest, highest)
	if highest > math.MaxUint16 {
		text += `, or a size such as "16MiB"`
	}
	return text
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
