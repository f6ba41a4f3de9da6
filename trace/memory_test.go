package trace

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc/internal/rounds"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A hostile conversation: both ends open as many calls, bind as many methods, and begin as many
// messages and streams as they can. The Decoder stays within what its documentation says.
func TestMemoryOfHostileConversations(t *testing.T) {
	d := NewDecoder(&Options{ShowValues: true}, func(*Event) {})
	feed := func(from Direction, b []byte) { d.Feed(&Piece{From: from, Bytes: b}) }
	frame := func(f wire.Frame, body []byte) []byte {
		f.BodySize = len(body)
		return append(wire.AppendHeader(nil, &f), body...)
	}
	feed(FromClient, wire.AppendClientInit(nil, &wire.Hello{Version: 1}))
	feed(FromServer, wire.AppendServerInit(nil, &wire.Hello{Version: 1}))
	before := heap()
	id := uint64(0)
	bind := func(from Direction, service string, names []string, text string) {
		id++
		r := &wire.BindRequest{Service: service, Names: names}
		feed(from, frame(wire.Frame{Type: wire.Bind, Flags: wire.Describe, ID: id}, r.Append(nil)))
		results := make([]wire.BindResult, len(names))
		for i := range results {
			results[i] = wire.BindResult{Number: uint16(id) * 100, Text: text}
			if i%2 == 1 {
				results[i] = wire.BindResult{Status: wire.BindDiffers, Text: text}
			}
		}
		body := wire.AppendBindResponse(nil, results)
		for first := true; len(body) > 0 || first; first = false {
			n := min(len(body), wire.MaxUnchunked)
			f := wire.Frame{Type: wire.ResponseChunk, ID: id}
			if first {
				f.Type = wire.Response
				if f.Total = uint64(len(body)); len(body) > wire.MaxUnchunked {
					f.Flags = wire.Chunked
				}
			}
			feed(from.other(), frame(f, body[:n]))
			body = body[n:]
		}
	}
	for i := range 300 {
		from := Direction(i % 2)
		text := fmt.Sprintf("S%d.M(%s)", i, strings.Repeat("{A *[]bool}, ", 100)+"bool")
		bind(from, fmt.Sprintf("S%d", i), []string{"A", "B", fmt.Sprint(i)}, text)
		if i%10 == 0 {
			bind(from, strings.Repeat("s", 60_000), make([]string, 1000), "x.y()")
		}
	}
	for i := range rounds.Of(9_000, 36_000) { // of open calls a Decoder remembers 16,384 an end
		id++
		from := Direction(i % 2)
		f := wire.Frame{Type: wire.Request, Flags: wire.Chunked, ID: id, Arg: uint16(i), Total: 1 << 20}
		feed(from, frame(f, make([]byte, 1000)))
		feed(from.other(), frame(wire.Frame{Type: wire.Items, ID: id}, []byte{255, 255, 255, 0, 1, 2, 3}))
		feed(from, frame(wire.Frame{Type: wire.Bind, Flags: wire.Describe, ID: id + 1<<32}, make([]byte, 1000)))
	}
	if d.kept > maxKept || d.texts > maxTexts || d.streams > maxStates {
		t.Errorf("%d bytes of messages, %d of texts, %d streams", d.kept, d.texts, d.streams)
	}
	if took := int64(heap()) - int64(before); took > 64<<20 {
		t.Errorf("the decoder takes %d MiB, its documentation says 64", took>>20)
	} else {
		t.Logf("%d KiB", took>>10)
	}
	runtime.KeepAlive(d)
}

// heap returns the bytes of the heap in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
