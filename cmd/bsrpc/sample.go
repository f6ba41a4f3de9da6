package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/bsrpc/bsrpc/layout"
)

// maxSample limits the bytes of an example, and maxSampleArray the elements of an array in it.
const (
	maxSample      = 2 << 10
	maxSampleArray = 16
)

// example returns a call of m as arguments of bsrpc call, with a place for every value. It is "" for
// one without arguments, or with very long ones.
func (m *method) example() string {
	if len(m.layout.Params) == 0 {
		return ""
	}
	var words strings.Builder
	words.WriteString(m.Name)
	for _, l := range m.layout.Params {
		word := "@FILE"
		switch l.Kind {
		case layout.Func:
			word = "null"
		case layout.Stream, layout.Reader:
		default:
			text, ok := sampleOf(l)
			if !ok || words.Len()+len(text) > maxSample {
				return ""
			}
			if word = text; strings.HasPrefix(text, `"`) { // a word that needs no quotes of JSON
				word = text[1 : len(text)-1]
			}
			if word == "" || strings.ContainsAny(word, `"{}[] `) {
				word = "'" + word + "'"
			}
		}
		words.WriteString(" " + word)
	}
	return words.String()
}

// sampleOf returns JSON for a layout: the zero value, but with one element in a slice.
func sampleOf(l *layout.Type) (text string, ok bool) {
	switch l.Kind {
	case layout.Int, layout.Uint: // of 64 bits, these would be strings
		return "0", true
	case layout.Struct:
		var parts []string
		size := 0
		for _, f := range l.Fields {
			if f.Name == "_" || f.Type.Const != "" {
				continue
			}
			text, ok := sampleOf(f.Type)
			if size += len(f.Name) + len(text); !ok || size > maxSample {
				return "", false
			}
			parts = append(parts, fmt.Sprintf("%q: %s", f.Name, text))
		}
		return "{" + strings.Join(parts, ", ") + "}", true
	case layout.Slice:
		elem, _ := sampleOf(l.Elem) // "" for an enclosing type again
		return "[" + elem + "]", len(elem) <= maxSample
	case layout.Array:
		if l.Len < 1 || l.Len > maxSampleArray {
			return "", false
		}
		elem, ok := sampleOf(l.Elem)
		return "[" + strings.Repeat(elem+", ", l.Len-1) + elem + "]", ok && len(elem)*l.Len <= maxSample
	case layout.Pointer:
		return "null", true
	case layout.Map:
		return "{}", true
	case layout.BackRef:
		return "", false
	}
	v, err := zero(l)
	raw, ok := v.(json.RawMessage)
	return string(raw), ok && err == nil && len(raw) <= maxSample
}
