package layout_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc/layout"
)

// isLossy reports whether values of a layout do not come back from JSON with all of their
// bytes: padding, and floats, of which a NaN may have a payload.
func isLossy(text string) bool {
	return strings.Contains(text, "_ pad.") || strings.Contains(text, "float.") || strings.Contains(text, "complex.")
}

// fuzzSize bounds layouts: a text of 64 KiB makes each input slow, and nothing else.
const fuzzSize = 512

// FuzzAppendJSON converts data in a layout to JSON. What is a value must be valid JSON, and
// come back as the same bytes.
func FuzzAppendJSON(f *testing.F) {
	for _, test := range jsonValues {
		f.Add(test.layout, unhex(f, test.bytes))
	}
	f.Fuzz(func(t *testing.T, typ string, data []byte) {
		l, err := layout.Parse(typ)
		if err != nil || len(typ) > fuzzSize {
			return
		}
		o := layout.JSON{MaxSize: 1 << 20}
		text, err := o.Append(nil, l, data)
		if err != nil {
			return
		}
		if !json.Valid(text) {
			t.Fatalf("%s: % x is %s, which is not JSON", typ, data, text)
		}
		back, err := o.Parse(nil, l, text)
		if err != nil || !bytes.Equal(back, data) && !isLossy(typ) {
			t.Fatalf("%s: % x is %s, then % x, %v", typ, data, text, back, err)
		}
		if again, err := o.Append(nil, l, back); err != nil || !bytes.Equal(again, text) {
			t.Fatalf("%s: % x is %s, then %s, %v", typ, data, text, again, err)
		}
	})
}

// FuzzParseJSON converts a text to bytes in a layout. They must be a value, whose JSON has
// the same bytes.
func FuzzParseJSON(f *testing.F) {
	for _, test := range jsonValues {
		f.Add(test.layout, test.json)
	}
	for _, text := range []string{`{"B":{"B":null},"A":1.50e1,"C":[]}`, `{"C":{"\ud83d\udca9":"-0"}}`, "{}"} {
		f.Add("{A int.le2; B *^2; C map[string.le1]float.le4; D? time}", text)
	}
	f.Fuzz(func(t *testing.T, typ, text string) {
		l, err := layout.Parse(typ)
		if err != nil || len(typ) > fuzzSize {
			return
		}
		o := layout.JSON{MaxSize: 1 << 20}
		data, err := o.Parse(nil, l, []byte(text))
		if err != nil {
			return
		}
		if !json.Valid([]byte(text)) {
			t.Fatalf("%s: %q is not JSON, and is % x", typ, text, data)
		}
		again, err := o.Append(nil, l, data)
		if err != nil {
			if strings.Contains(err.Error(), "MaxSize") {
				return
			}
			t.Fatalf("%s: %q is % x, which is no value: %v", typ, text, data, err)
		}
		if back, err := o.Parse(nil, l, again); err != nil || !bytes.Equal(back, data) {
			t.Fatalf("%s: %q is % x, then % x, %v", typ, text, data, back, err)
		}
	})
}
