package layout

import (
	"encoding/base64"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/bsrpc/bsrpc/internal/jsontext"
	"github.com/bsrpc/bsrpc/internal/plural"
)

// From bytes to JSON. The bytes are hostile: all that codec checks is checked here, so that what
// has a JSON is a value for any program, limits of its tags aside. The text is limited too: with
// names of 60,000 bytes, a list of a thousand bools makes 60 MB of it.
//
// The layout is hostile as well, if a server has sent it: Parse bounds its size and depth, and
// refuses lists whose elements take no bytes. Every step of the loops below therefore consumes input
// or appends text, and both are bounded.

// Append appends the value that data encodes in the layout t to dst as JSON, without spaces,
// and returns the extended slice. Fields are in the order of the layout. If there is an
// error, it returns dst unchanged.
//
// Data from untrusted sources is safe: the checks are those of bsrpc.Unmarshal. The text is safe
// to print: it contains no control characters. Every reader of JSON takes it, except that a few
// refuse lone surrogates, which strings have that are not UTF-8.
func (o JSON) Append(dst []byte, t *Type, data []byte) ([]byte, error) {
	text, rest, err := o.Decode(dst, t, data)
	if err == nil && len(rest) > 0 {
		err = (&JSONError{Text: plural.Of(len(rest), "trailing byte"), Offset: len(data) - len(rest)}).done()
	}
	if err != nil {
		return dst, err
	}
	return text, nil
}

// Decode is Append for the value at the start of data. It also returns the bytes after it:
// those of the next parameter or result of a call, for example. The rest is a part of data. A
// layout with rest takes all of it. If there is an error, Decode returns dst and data unchanged.
func (o JSON) Decode(dst []byte, t *Type, data []byte) (text, rest []byte, err error) {
	secrets, err := o.secrets(t)
	if err != nil {
		return dst, data, err
	}
	w := jsonWriter{out: dst, start: len(dst), data: data, secrets: secrets}
	w.maxDepth, w.size = o.limits(len(data))
	if err := w.value(t); err != nil {
		return dst, data, err.done()
	}
	return w.out, w.data[w.off:], nil
}

// A jsonWriter is the state of one Append. Its methods are one recursion over the layout, so the
// depth of the stack is bounded by MaxDepth and the nesting of the layout between two levels.
// After an error nothing of it is used: data and enclosing are then left as they are.
type jsonWriter struct {
	jsonScope
	data    []byte // up to the end of the innermost list
	off     int    // of the next byte
	out     []byte
	start   int // of the text in out
	size    int // limit of the text
	secrets map[secretPlace]bool
	inKey   bool // a float must not be NaN or -0
}

// errorf returns an error at the current offset.
func (w *jsonWriter) errorf(format string, args ...any) *JSONError {
	return &JSONError{Text: fmt.Sprintf(format, args...), Offset: w.off}
}

// next consumes n bytes. The result is a part of the input, and is not kept.
func (w *jsonWriter) next(n int) ([]byte, *JSONError) {
	if n > len(w.data)-w.off {
		return nil, w.errorf("want %s, have %d", plural.Of(n, "byte"), len(w.data)-w.off)
	}
	b := w.data[w.off : w.off+n]
	w.off += n
	return b, nil
}

// text appends to the output.
func (w *jsonWriter) text(s string) { w.out = append(w.out, s...) }

// value appends the next value, in the layout l. The size is checked before and after it: before,
// as the value may have many parts, and after, as the last one may be long.
func (w *jsonWriter) value(l *Type) (err *JSONError) {
	if len(w.out)-w.start > w.size {
		return tooLong(w.size, w.off)
	}
	l, before := w.resolve(l)
	switch l.Kind {
	case Array, Slice, Map, Pointer, Struct, Union:
		if !w.enter(l) {
			return tooDeep(w.maxDepth, w.off)
		}
		switch l.Kind {
		case Array, Slice:
			err = w.list(l)
		case Map:
			err = w.pairs(l)
		case Pointer:
			err = w.pointer(l)
		case Struct:
			err = w.fields(l)
		default:
			err = w.member(l)
		}
		w.leave(l)
	case Bool, Int, Uint, Float, Complex, Duration, Time:
		err = w.number(l)
	default:
		err = w.string(l)
	}
	w.enclosing = before
	if err == nil && len(w.out)-w.start > w.size {
		err = tooLong(w.size, w.off)
	}
	return err
}

// part appends a part of l, and masks it if it is secret. A secret value is read all the same: its
// end is known only then, and wrong bytes are an error in any case.
func (w *jsonWriter) part(l *Type, part int, t *Type) *JSONError {
	from := len(w.out)
	err := w.value(t)
	if err == nil && w.secrets[secretPlace{l, part}] {
		w.out = append(w.out[:from], `"***"`...)
	}
	return err
}

// The kinds without parts follow, and json_parts.go has the others.

// number appends a value of a fixed size, or a varint.
func (w *jsonWriter) number(l *Type) *JSONError {
	from, at := w.off, len(w.out)
	switch l.Kind {
	case Bool:
		b, err := w.flag("a bool")
		if err == nil {
			w.out = strconv.AppendBool(w.out, b)
		}
		return err
	case Time:
		return w.time()
	case Duration:
		u, err := w.uint(LE8)
		if err == nil {
			w.out = jsontext.AppendDuration(w.out, int64(u))
		}
		return err
	case Complex:
		w.text("[")
		if err := w.float(l.Format); err != nil {
			return err
		}
		w.text(",")
		err := w.float(l.Format)
		w.text("]")
		return err
	case Float:
		if err := w.float(l.Format); err != nil {
			return err
		}
		if t := string(w.out[at:]); w.inKey && (t == `"NaN"` || t == "-0") {
			w.off = from
			return w.errorf("%s", invalidKey)
		}
		return nil
	}
	u, err := w.uint(l.Format)
	if err != nil {
		return err
	}
	// Numbers beyond 2^53 are not exact in most programs. The format decides, not the number:
	// otherwise the type of a field would change with its value.
	quote := l.Format.width() > 6
	if quote {
		w.text(`"`)
	}
	if l.Kind == Int {
		w.out = strconv.AppendInt(w.out, signed(u, l.Format), 10)
	} else {
		w.out = strconv.AppendUint(w.out, u, 10)
	}
	if quote {
		w.text(`"`)
	}
	return nil
}

// float appends a float. One of 32 bits has the digits for its own width: 0.1, and not the
// 0.10000000149011612 that it is as a float64.
func (w *jsonWriter) float(f Format) *JSONError {
	u, err := w.uint(f)
	if err != nil {
		return err
	}
	if f.width() == 4 {
		w.out = jsontext.AppendFloat(w.out, float64(math.Float32frombits(uint32(u))), 32)
	} else {
		w.out = jsontext.AppendFloat(w.out, math.Float64frombits(u), 64)
	}
	return nil
}

// flag reads a byte that is 0 or 1. Any other one would be a second encoding of the value.
func (w *jsonWriter) flag(what string) (bool, *JSONError) {
	b, err := w.next(1)
	if err != nil {
		return false, err
	}
	if b[0] > 1 {
		w.off--
		return false, w.errorf("want 0 or 1 for %s", what)
	}
	return b[0] == 1, nil
}

// The years that RFC 3339 has, in seconds since 1970.
const (
	minRFC3339 = -62167219200
	maxRFC3339 = 253402300799
)

// time appends a time. It is always in UTC, as the zone does not travel. Each time has a text,
// also those that Go and RFC 3339 cannot say: a log must show what a peer has sent.
func (w *jsonWriter) time() *JSONError {
	u, err := w.uint(LE8)
	if err != nil {
		return err
	}
	ns, err := w.uint(LE4)
	if err != nil {
		return err
	}
	if ns >= 1e9 {
		w.off -= 4
		return w.errorf("want less than 1e9 nanoseconds")
	}
	sec := int64(u)
	w.text(`"`)
	if sec < minRFC3339 || sec > maxRFC3339 {
		// The fraction counts forward, as that of Unix time does.
		w.out = strconv.AppendInt(append(w.out, '@'), sec, 10)
		w.out = append(jsontext.AppendFraction(w.out, uint32(ns)), '"')
		return nil
	}
	w.out = time.Unix(sec, 0).UTC().AppendFormat(w.out, "2006-01-02T15:04:05")
	w.out = append(jsontext.AppendFraction(w.out, uint32(ns)), `Z"`...)
	return nil
}

// string appends a value of the kinds with a length. The text of a type with MarshalText is
// usually UTF-8, but nothing requires it, so it is written as any string.
func (w *jsonWriter) string(l *Type) *JSONError {
	switch l.Kind {
	case String, Bytes, Binary, Text:
	default:
		return w.errorf("%s", l.withoutJSON())
	}
	b, err := w.bytes(l)
	if err != nil {
		return err
	}
	if l.Kind == String || l.Kind == Text {
		w.out = jsontext.AppendString(w.out, b)
		return nil
	}
	w.out = append(base64.StdEncoding.AppendEncode(append(w.out, '"'), b), '"')
	return nil
}
