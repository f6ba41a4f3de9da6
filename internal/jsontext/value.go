package jsontext

import (
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"time"
)

// Values of Go that stand for JSON, as encoding/json makes them: nil, bool, float64, string,
// []any and map[string]any.
//
// Append goes by reflection, and calls no method of a value but those of time.Time: values of
// users' types are those of their kind. A value goes through Append and Value unchanged, if it
// is of the six types above; json.Marshal would change strings that are not UTF-8.

// maxDepth limits the nesting of values passed to Append, which may be cyclic, and of raw text in
// them. Layouts have lower limits of their own.
const maxDepth = 1000

// IsNumber and IsRaw report whether t is json.Number or json.RawMessage: text of a number,
// and any JSON text. The package of both is not imported, for the size of programs: who has such
// a value has imported it, and pays for it.
func IsNumber(t reflect.Type) bool { return t.Name() == "Number" && t.PkgPath() == "encoding/json" }
func IsRaw(t reflect.Type) bool    { return t.Name() == "RawMessage" && t.PkgPath() == "encoding/json" }

// ErrText is the error of a json.Number or json.RawMessage that is not JSON.
var ErrText = errors.New("is not JSON text")

// Append appends v as JSON. Besides the values above it takes other types of their kinds,
// all integers, json.Number, json.RawMessage, []byte, time.Time and time.Duration, pointers
// to such values, and slices and maps of them. Nil slices, maps and pointers are null. Structs
// are refused: whether their tags for json apply, or those of bsrpc, cannot be known here.
// Errors contain no value. After one, dst may have grown.
func Append(dst []byte, v any) ([]byte, error) { return appendValue(dst, reflect.ValueOf(v), 0) }

var (
	timeType     = reflect.TypeFor[time.Time]()
	durationType = reflect.TypeFor[time.Duration]()
)

// appendValue appends v at a depth. Types with a meaning of their own come before their kinds.
func appendValue(dst []byte, v reflect.Value, depth int) ([]byte, error) {
	if !v.IsValid() {
		return append(dst, "null"...), nil
	}
	if depth > maxDepth {
		return dst, fmt.Errorf("nested deeper than %d, or cyclic", maxDepth)
	}
	switch t := v.Type(); {
	case t == timeType:
		return AppendString(dst, v.Interface().(time.Time).Format(time.RFC3339Nano)), nil
	case t == durationType:
		return AppendDuration(dst, v.Int()), nil
	case IsNumber(t):
		if v.Len() == 0 || NumberLen(v.String()) != v.Len() {
			return dst, ErrText
		}
		return append(dst, v.String()...), nil
	case IsRaw(t):
		// Text that is not one value would change what is around it.
		s := NewScanner(string(v.Bytes()))
		if s.skip(depth) != nil || s.End() != nil {
			return dst, ErrText
		}
		return append(dst, v.Bytes()...), nil
	}
	switch v.Kind() {
	case reflect.Bool:
		return strconv.AppendBool(dst, v.Bool()), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.AppendInt(dst, v.Int(), 10), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.AppendUint(dst, v.Uint(), 10), nil
	case reflect.Float32, reflect.Float64:
		return AppendFloat(dst, v.Float(), v.Type().Bits()), nil
	case reflect.String:
		return AppendString(dst, v.String()), nil
	case reflect.Interface, reflect.Pointer:
		return appendValue(dst, v.Elem(), depth+1)
	case reflect.Slice:
		return appendSlice(dst, v, depth)
	case reflect.Map:
		if v.Type().Key().Kind() == reflect.String {
			return appendMap(dst, v, depth)
		}
	}
	return dst, fmt.Errorf("a %v has no JSON; want values as from encoding/json", v.Type())
}

// appendSlice appends a list, or a []byte in base64. Arrays have no place here: encoding/json makes
// none.
func appendSlice(dst []byte, v reflect.Value, depth int) (_ []byte, err error) {
	if v.IsNil() {
		return append(dst, "null"...), nil
	}
	if v.Type().Elem().Kind() == reflect.Uint8 {
		return append(base64.StdEncoding.AppendEncode(append(dst, '"'), v.Bytes()), '"'), nil
	}
	dst = append(dst, '[')
	for i := range v.Len() {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = appendValue(dst, v.Index(i), depth+1); err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), nil
}

// appendMap appends an object, in the order of Go's iteration: who reads it sorts the names.
func appendMap(dst []byte, v reflect.Value, depth int) (_ []byte, err error) {
	if v.IsNil() {
		return append(dst, "null"...), nil
	}
	dst = append(dst, '{')
	for i, it := 0, v.MapRange(); it.Next(); i++ {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(AppendString(dst, it.Key().String()), ':')
		if dst, err = appendValue(dst, it.Value(), depth+1); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

// AppendDuration appends nanoseconds as protobuf writes a duration: "1.500s", with 0, 3, 6 or
// 9 digits of a fraction. The sign stands for both, seconds and fraction. time.ParseDuration
// reads it, and gives the same nanoseconds: the digits are at most nine, and exact as floats.
func AppendDuration(dst []byte, ns int64) []byte {
	dst = append(dst, '"')
	u := uint64(ns)
	if ns < 0 {
		dst, u = append(dst, '-'), -u
	}
	dst = strconv.AppendUint(dst, u/1e9, 10)
	return append(AppendFraction(dst, uint32(u%1e9)), `s"`...)
}

// AppendFraction appends nanoseconds below a second, with 0, 3, 6 or 9 digits: protobuf writes
// times and durations so, and readers of a log can compare them by eye.
func AppendFraction(dst []byte, ns uint32) []byte {
	if ns == 0 {
		return dst
	}
	digits := 9
	for ns%1000 == 0 {
		ns /= 1000
		digits -= 3
	}
	text := strconv.AppendUint(nil, uint64(ns), 10)
	dst = append(dst, '.')
	for range digits - len(text) {
		dst = append(dst, '0')
	}
	return append(dst, text...)
}

// ErrMemory is the error of Value for text whose values take more memory than allowed.
var ErrMemory = errors.New("takes more memory than allowed")

// Value returns the value of a text. Of a name that occurs twice in an object the last one counts;
// text that AppendJSON has made contains none. Strings that are not UTF-8 come as they are.
// Value takes the memory that it allocates from budget, and returns ErrMemory below zero. The
// depth of the text has no limit here: its maker has set one.
func Value(text string, budget *int64) (any, error) {
	b := builder{NewScanner(text), budget}
	v, err := b.value()
	if err == nil {
		err = b.End()
	}
	return v, err
}

// A builder makes values of a text. It charges each part before it is made, so that text with
// many short values, which take 20 times its size, ends at the budget and not in the heap.
type builder struct {
	*Scanner
	budget *int64
}

// charge takes n bytes from the budget. It precedes what it is for.
func (b *builder) charge(n int) error {
	if *b.budget -= int64(n); *b.budget < 0 {
		return ErrMemory
	}
	return nil
}

// The memory of values on 64-bit platforms. A slice is allocated again as it grows, up to four
// times its size in all, and a map twice.
const (
	numberSize = 8
	stringSize = 16
	listSize   = 24
	elemSize   = 4 * 16
	objectSize = 48 + 8*40
	memberSize = 2 * 40
)

// value reads the next value. Its depth is that of the text, which has bounds of its own. A number
// becomes a float64, as with encoding/json; those that would lose digits are strings in the text.
func (b *builder) value() (any, error) {
	switch b.Kind() {
	case Null:
		return nil, b.Null()
	case Bool:
		return b.Bool()
	case Number:
		text, err := b.Number()
		if err != nil {
			return nil, err
		}
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, b.errorf("a number is out of range")
		}
		return f, b.charge(numberSize)
	case String:
		text, err := b.Text()
		if err == nil {
			err = b.charge(stringSize + len(text))
		}
		if err != nil {
			return nil, err
		}
		return string(text), nil
	case List:
		return b.list()
	case Object:
		return b.object()
	}
	return nil, b.Fail()
}

// list reads a list. An empty one is not nil, as with encoding/json: it must be written as [], and not
// as null.
func (b *builder) list() (any, error) {
	b.Open()
	list := []any{}
	err := b.charge(listSize)
	for first := true; err == nil; first = false {
		var more bool
		if more, err = b.More(']', first); err != nil || !more {
			break
		}
		if err = b.charge(elemSize); err != nil {
			break
		}
		var v any
		v, err = b.value()
		list = append(list, v)
	}
	return list, err
}

// object reads an object. The key is copied before its value is read into the same buffer.
func (b *builder) object() (any, error) {
	b.Open()
	m := map[string]any{}
	err := b.charge(objectSize)
	for first := true; err == nil; first = false {
		var more bool
		if more, err = b.More('}', first); err != nil || !more {
			break
		}
		var key []byte
		if key, err = b.Key(); err != nil {
			break
		}
		if err = b.charge(memberSize + len(key)); err != nil {
			break
		}
		name := string(key)
		m[name], err = b.value()
	}
	return m, err
}
