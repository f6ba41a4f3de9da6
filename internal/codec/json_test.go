package codec

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc/internal/rounds"
	"github.com/bsrpc/bsrpc/layout"
)

// The JSON of package layout reads and writes the same bytes as the codecs, without their
// code: each is a check of the other.

// checkJSON compares what JSON and a codec say about data. Limits of tags and of types with
// methods of their own are not in a layout.
func checkJSON(t *testing.T, c *Codec, data []byte) {
	t.Helper()
	l := c.Layout()
	text, err := layout.AppendJSON(nil, l, data)
	_, readErr := readAll(t, c, Decoder{Data: data, Budget: -1})
	if readErr != nil {
		limit := strings.Contains(readErr.Error(), "max=") || strings.Contains(readErr.Error(), "UTF-8") || c.UserCode() ||
			strings.Contains(readErr.Error(), "does not fit in") || strings.Contains(readErr.Error(), "two keys are equal")
		if err == nil && !limit {
			t.Errorf("%s: % x is %s, and reads as %v", l, data, text, readErr)
		}
		return
	}
	if err != nil {
		t.Errorf("%s: % x reads, and has no JSON: %v", l, data, err)
		return
	}
	back, err := layout.ParseJSON(nil, l, text)
	if err != nil {
		t.Errorf("%s: % x is %s, and does not come back: %v", l, data, text, err)
	} else if !bytes.Equal(back, data) && !strings.Contains(string(text), `"NaN"`) && !hasPadding(c) {
		t.Errorf("%s: % x is %s, then % x", l, data, text, back)
	}
}

// hasRaw reports whether a layout has parts that only their types can read.
func hasRaw(c *Codec) bool { return strings.Contains(c.Layout().String(), "raw(") }

func TestRandomJSON(t *testing.T) {
	types := 40
	if rounds.Long {
		types = 3000
	}
	r := rand.New(rand.NewPCG(18, 1))
	for range types {
		c := compileType(t, randomType(r, 3))
		if hasRaw(c) {
			continue
		}
		for range 5 {
			v := reflect.New(c.Type())
			fill(r, v.Elem(), 0)
			data, err := appendAll(t, c, Encoder{}, v)
			if err != nil {
				t.Fatal(err)
			}
			checkJSON(t, c, data)
			for range 10 {
				bad := bytes.Clone(data)
				if len(bad) > 0 {
					bad[r.IntN(len(bad))] ^= byte(1 << r.IntN(8))
					checkJSON(t, c, bad[:r.IntN(len(bad)+1)])
				}
				checkJSON(t, c, bad)
			}
		}
	}
}

// FuzzJSON corrupts values of random types, as FuzzTypes does.
func FuzzJSON(f *testing.F) {
	f.Add(uint64(1), []byte{0, 0, 1})
	f.Fuzz(func(t *testing.T, seed uint64, data []byte) {
		r := rand.New(rand.NewPCG(seed, 5))
		c := compileType(t, randomType(r, 3))
		if hasRaw(c) {
			return
		}
		v := reflect.New(c.Type())
		fill(r, v.Elem(), 0)
		buf, err := appendAll(t, c, Encoder{}, v)
		if err != nil {
			t.Fatal(err)
		}
		for ; len(data) >= 3 && len(buf) > 0; data = data[3:] {
			buf[int(binary.LittleEndian.Uint16(data))%len(buf)] ^= data[2]
		}
		checkJSON(t, c, buf)
	})
}
