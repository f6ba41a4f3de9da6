package httpbsrpc

import (
	"bufio"
	"bytes"
	"testing"
)

// FuzzFrames reads any bytes. What can be read is written in the same way.
func FuzzFrames(f *testing.F) {
	var w frameWriter
	seed := bytes.Clone(w.results([]byte("ab")))
	item, _ := w.item(bytes.Repeat([]byte("x"), 300))
	seed = append(seed, item...)
	f.Add(append(seed, w.end(nil)...))
	f.Add([]byte("r\x05ab"))
	f.Add([]byte("i\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		read := func(data []byte) (kinds []byte, parts [][]byte, last error) {
			r := &frameReader{r: bufio.NewReader(bytes.NewReader(data)), max: 1 << 16}
			for {
				kind, part, err := r.next()
				if err != nil {
					return kinds, parts, err
				}
				kinds, parts = append(kinds, kind), append(parts, bytes.Clone(part))
			}
		}
		kinds, parts, err := read(data)
		if err == nil {
			t.Fatal("the end of the bytes is not an error")
		}
		var written []byte
		for i, kind := range kinds {
			written = append(written, w.frame(kind, parts[i])...)
		}
		again, same, _ := read(written)
		if !bytes.Equal(kinds, again) || len(parts) != len(same) {
			t.Fatalf("got %q, wrote %q", kinds, again)
		}
		for i := range parts {
			if !bytes.Equal(parts[i], same[i]) {
				t.Errorf("frame %d: got %q, wrote %q", i, parts[i], same[i])
			}
		}
	})
}
