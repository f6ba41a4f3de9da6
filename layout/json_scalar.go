package layout

// Numbers and strings of JSON. A number may come as a string: programs write integers of more
// than 53 bits so, and the names in an object are strings as well.

import (
	"bytes"
	"encoding/base64"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/bsrpc/bsrpc/internal/jsontext"
	"github.com/bsrpc/bsrpc/internal/plural"
)

// appendBool appends 0 or 1.
func (p *jsonParser) appendBool(b bool) {
	if b {
		p.out = append(p.out, 1)
	} else {
		p.out = append(p.out, 0)
	}
}

// text appends the value of a string, or of a name in the object of a map. A bool is one only as a
// name: scalar has refused it elsewhere.
func (p *jsonParser) text(at int, text []byte, l *Type) *JSONError {
	switch l.Kind {
	case Bool:
		if string(text) != "true" && string(text) != "false" {
			return p.misfit(at, `neither "true" nor "false"`, l)
		}
		p.appendBool(len(text) == 4)
		return nil
	case Int, Uint, Float:
		return p.number(at, string(text), l)
	case Time:
		return p.time(at, string(text), l)
	case Duration:
		d, err := time.ParseDuration(string(text))
		if err != nil {
			return p.misfit(at, "not a duration", l)
		}
		p.out = appendUint(p.out, uint64(d), LE8)
		return nil
	case Bytes, Binary:
		b, ok := decodeBase64(text)
		if !ok {
			return p.misfit(at, "not base64", l)
		}
		return p.bytes(at, b, l)
	}
	return p.bytes(at, text, l)
}

// number appends a number, which may come from a string. Whoever writes 64-bit numbers as strings
// may do so for all of them, so strings are read for every width. Inside of the quotes is the
// grammar of JSON, without spaces.
func (p *jsonParser) number(at int, text string, l *Type) *JSONError {
	if l.Kind == Float {
		return p.float(at, text, l)
	}
	if text == "" || jsontext.NumberLen(text) != len(text) {
		return p.misfit(at, "not a number", l)
	}
	digits, ok := wholeNumber(text)
	if !ok {
		return p.misfit(at, "a number with a fraction, or out of range", l)
	}
	if l.Kind == Int {
		i, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || !l.Format.fitsInt(i) {
			return p.misfit(at, "a number out of range", l)
		}
		p.out = appendInt(p.out, i, l.Format)
		return nil
	}
	u, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || !l.Format.fitsUint(u) {
		return p.misfit(at, "a number out of range", l)
	}
	p.out = appendUint(p.out, u, l.Format)
	return nil
}

// wholeNumber returns a JSON number without point and exponent, as 1.5e3 is 1500. ok is false
// if it has a fraction, or more digits than any integer. It works on the digits: a float would
// round numbers above 2^53, and an exponent of a billion must not cost a billion digits.
func wholeNumber(text string) (digits string, ok bool) {
	mantissa, exponent, _ := strings.Cut(strings.ToLower(text), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	shift := 0
	if exponent != "" {
		// Beyond these bounds no digits but zeros make an integer.
		shift, _ = strconv.Atoi(exponent)
		shift = max(min(shift, 1<<30), -1<<30)
	}
	fraction = strings.TrimRight(fraction, "0")
	digits = whole + fraction
	shift -= len(fraction)
	switch bare := strings.TrimLeft(strings.TrimPrefix(digits, "-"), "0"); {
	case bare == "":
		return "0", true
	case shift < 0:
		// Zeros at the end of the digits make up for a negative exponent.
		cut := strings.TrimRight(bare, "0")
		if len(bare)-len(cut) < -shift {
			return "", false
		}
		return digits[:len(digits)+shift], true
	case shift > 20 || len(bare)+shift > 20:
		return "", false
	default:
		return digits + strings.Repeat("0", shift), true
	}
}

// float appends a float. A number is rounded, and one that is too large is an error: infinity has a
// word of its own, and should not come of a mistyped exponent.
func (p *jsonParser) float(at int, text string, l *Type) *JSONError {
	bits := 8 * l.Format.width()
	f, ok := jsontext.ParseFloat(text, bits)
	switch {
	case !ok && jsontext.NumberLen(text) == len(text) && text != "":
		return p.misfit(at, "a number out of range", l)
	case !ok:
		return p.misfit(at, "not a number", l)
	case p.inKey && (f != f || f == 0 && math.Signbit(f)):
		return p.errorf(at, "%s", invalidKey)
	case bits == 32:
		p.out = appendUint(p.out, uint64(math.Float32bits(float32(f))), l.Format)
	default:
		p.out = appendUint(p.out, math.Float64bits(f), l.Format)
	}
	return nil
}

// complex reads the two parts of a complex number.
func (p *jsonParser) complex(l *Type) *JSONError {
	part := &Type{Kind: Float, Format: l.Format}
	return p.tuple(2, l, func(i int) *JSONError {
		if err := p.scalar(part); err != nil {
			return err.in("[" + strconv.Itoa(i) + "]")
		}
		return nil
	})
}

// time appends a time. Its zone is converted to UTC, as that of a time.Time is.
func (p *jsonParser) time(at int, text string, l *Type) *JSONError {
	sec, ns, ok := parseTime(text)
	if !ok {
		return p.misfit(at, "not a time of RFC 3339", l)
	}
	p.out = appendUint(appendUint(p.out, uint64(sec), LE8), uint64(ns), LE4)
	return nil
}

// parseTime parses a time of RFC 3339, or seconds since 1970 after an @, as date -d takes them. The
// fraction counts forward from the second, also before 1970.
func parseTime(text string) (sec int64, ns uint32, ok bool) {
	seconds, found := strings.CutPrefix(text, "@")
	if !found {
		var t time.Time
		err := t.UnmarshalText([]byte(text)) // stricter than time.Parse
		return t.Unix(), uint32(t.Nanosecond()), err == nil
	}
	seconds, fraction, point := strings.Cut(seconds, ".")
	sec, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil || strings.HasPrefix(seconds, "+") {
		return 0, 0, false
	}
	if !point {
		return sec, 0, true
	}
	if len(fraction) == 0 || len(fraction) > 9 {
		return 0, 0, false
	}
	u, err := strconv.ParseUint(fraction+"000000000"[len(fraction):], 10, 32)
	return sec, uint32(u), err == nil
}

// decodeBase64 decodes base64 in the usual alphabet or that of URLs, with or without padding.
// Bits that belong to no byte must be zero, so that two texts of a length are two values.
func decodeBase64(text []byte) ([]byte, bool) {
	if bytes.ContainsAny(text, "\r\n") { // which the decoder skips
		return nil, false
	}
	encoding := base64.StdEncoding
	if bytes.ContainsAny(text, "-_") {
		encoding = base64.URLEncoding
	}
	if len(text)%4 != 0 {
		encoding = encoding.WithPadding(base64.NoPadding)
	}
	b, err := encoding.Strict().AppendDecode(nil, text)
	return b, err == nil
}

// bytes appends the bytes of a string, of bytes, or of a type with methods of its own. Whether the
// type accepts them, only its receiver finds out.
func (p *jsonParser) bytes(at int, b []byte, l *Type) *JSONError {
	f := l.Format
	if l.Kind == Binary || l.Kind == Text {
		f = LE4
	}
	switch f {
	case NoFormat:
		return p.fixed(at, b, l)
	case Rest:
	case Until:
		if bytes.IndexByte(b, byte(l.Len)) >= 0 {
			return p.errorf(at, "contains the byte %#02x that ends it (until=%d)", l.Len, l.Len)
		}
	default:
		if !f.fitsUint(uint64(len(b))) {
			return p.errorf(at, "%s do not fit in a length of %s", plural.Of(len(b), "byte"), plural.Of(f.width(), "byte"))
		}
		p.out = appendUint(p.out, uint64(len(b)), f)
	}
	if p.out = append(p.out, b...); f == Until {
		p.out = append(p.out, byte(l.Len))
	}
	return nil
}

// fixed appends a string or bytes without a length. The zero bytes at the end of a string are
// padding to its reader, who could not give them back.
func (p *jsonParser) fixed(at int, b []byte, l *Type) *JSONError {
	switch {
	case l.Kind == Bytes && len(b) != l.Len:
		return p.errorf(at, "%s; the layout has %d (fixed=%d)", plural.Of(len(b), "byte"), l.Len, l.Len)
	case len(b) > l.Len:
		return p.errorf(at, "%s exceed fixed=%d", plural.Of(len(b), "byte"), l.Len)
	case l.Kind == String && bytes.HasSuffix(b, []byte{0}):
		return p.errorf(at, "ends in a zero byte, ambiguous with the padding of fixed=%d", l.Len)
	}
	if err := p.room(l.Len); err != nil {
		return err
	}
	p.out = append(append(p.out, b...), make([]byte, l.Len-len(b))...)
	return nil
}
