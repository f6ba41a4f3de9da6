package jsontext

// The words of JSON: strings and floats. Their text is the same on every platform, and the
// shortest that is read back as the same value.

import (
	"math"
	"strconv"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string. Bytes that are not UTF-8 become lone surrogates,
// and U+2028 and U+2029 escapes, for JavaScript. So do the control characters of Latin-1, which
// JSON allows as they are: text of a peer is printed to terminals, and some of these act there
// as an escape sequence does.
func AppendString[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' && c != 0x7f {
				i++
				continue
			}
			dst = appendEscape(append(dst, s[from:i]...), c)
			i++
			from = i
			continue
		}
		r, size := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
		switch {
		case r == utf8.RuneError && size == 1:
			dst = append(append(dst, s[from:i]...), '\\', 'u', 'd', 'c', hexDigits[c>>4], hexDigits[c&15])
			from = i + 1
		// Controls of the upper half could act on a terminal.
		case r < 0xa0, r == 0x2028, r == 0x2029:
			dst = append(append(dst, s[from:i]...), '\\', 'u', hexDigits[r>>12], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
			from = i + size
		}
		i += size
	}
	return append(append(dst, s[from:]...), '"')
}

// appendEscape appends a character that must not stand in a string as it is. The five short escapes
// that people know are used, and numbers for the rest.
func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// AppendFloat appends f, a float of 32 or 64 bits, with as many digits as identify it. What is
// not a number is a string: "NaN", "Infinity" and "-Infinity". All NaN are one here. Large and small
// numbers have an exponent, from where JavaScript and encoding/json have one.
func AppendFloat(dst []byte, f float64, bits int) []byte {
	switch {
	case f != f:
		return append(dst, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(dst, `"-Infinity"`...)
	}
	format := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, f, format, -1, bits)
}

// ParseFloat parses what AppendFloat appends, without quotes. ok is false for other text, and
// for numbers that a float of these bits cannot hold. Others are rounded to the nearest float, as
// JSON has decimals and 0.1 is none of the floats; those near zero are rounded to zero.
func ParseFloat(text string, bits int) (f float64, ok bool) {
	switch text {
	case "NaN":
		return math.NaN(), true
	case "Infinity":
		return math.Inf(1), true
	case "-Infinity":
		return math.Inf(-1), true
	}
	if NumberLen(text) != len(text) || text == "" {
		return 0, false
	}
	f, err := strconv.ParseFloat(text, bits)
	return f, err == nil
}
