package trace_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/bsrpc/bsrpc/internal/rounds"
	"github.com/bsrpc/bsrpc/layout"
	"github.com/bsrpc/bsrpc/trace"
)

// conversationOf returns pieces: each text is a direction, > or <, followed by hex, or by END.
func conversationOf(t testing.TB, lines ...string) conversation {
	t.Helper()
	var pieces conversation
	for i, line := range lines {
		p := trace.Piece{Time: start.Add(time.Duration(i) * 100 * time.Microsecond)}
		if line[0] == '<' {
			p.From = trace.FromServer
		}
		if line[1:] == "END" {
			p.End = "EOF"
		} else {
			p.Bytes = unhex(t, line[1:])
		}
		pieces = append(pieces, p)
	}
	return pieces
}

// text returns > or < and the hex of s.
func text(arrow, s string) string { return fmt.Sprintf("%s%x", arrow, s) }

// columns returns the lines of a dump without times, with one space between columns.
func columns(dump string) string {
	var out strings.Builder
	for line := range strings.Lines(dump) {
		_, line, _ = strings.Cut(line, " ")
		out.WriteString(strings.Join(strings.Fields(line), " ") + "\n")
	}
	return out.String()
}

const (
	clientHello = ">0d000000 00 000001 62737270 01"
	serverHello = "<0b000000 00 01 62737270 01"
)

// expect compares a dump with lines in columns.
func expect(t *testing.T, c conversation, opts *trace.Options, want ...string) {
	t.Helper()
	if have := columns(c.dump(opts)); have != strings.Join(want, "\n")+"\n" {
		t.Errorf("have\n%swant\n%s", have, strings.Join(want, "\n"))
	}
}

func TestPiecesOfAnyLength(t *testing.T) {
	for _, name := range transcripts(t) {
		c := transcript(t, name)
		opts := &trace.Options{Hex: true}
		want := c.dump(opts)
		for _, n := range []int{1, 1000, 3}[:rounds.Of(2, 3)] {
			var cut conversation
			for _, p := range c {
				for b := range slices.Chunk(p.Bytes, n) {
					cut = append(cut, trace.Piece{Time: p.Time, From: p.From, Bytes: b})
				}
				if p.End != "" {
					cut = append(cut, p)
				}
			}
			if have := cut.dump(opts); have != want {
				t.Errorf("%s in pieces of %d bytes: have\n%swant\n%s", filepath.Base(name), n, have, want)
			}
		}
	}
}

func TestValuesAreMaskedByDefault(t *testing.T) {
	c := transcript(t, "../testdata/transcripts/greet.txt")
	for _, opts := range []*trace.Options{nil, {Hex: true}, {Hex: true, Secret: map[string][]string{"Greeter.Hello": {"parameter 1", "result 1"}}}} {
		dump := c.dump(opts)
		if strings.Contains(dump, "Bob") || strings.Contains(dump, "42 6f 62") || strings.Contains(dump, "426f62") {
			t.Errorf("%+v shows a value:\n%s", opts, dump)
		}
		if !strings.Contains(dump, "Greeter.Hello") || !strings.Contains(dump, `"no such order"`) {
			t.Errorf("%+v masks too much:\n%s", opts, dump)
		}
	}
	if dump := c.dump(&trace.Options{Hex: true, ShowValues: true}); !strings.Contains(dump, "42 6f 62  ") {
		t.Errorf("ShowValues masks values:\n%s", dump)
	}
	md := transcript(t, "../testdata/transcripts/metadata.txt")
	if dump := md.dump(&trace.Options{Hex: true}); strings.Contains(dump, `\xff`) || strings.Contains(dump, "ff 00") {
		t.Errorf("metadata is shown:\n%s", dump)
	}
}

func TestTokensAreNeverShown(t *testing.T) {
	// AUTH with the user ann and the token hunter2.
	c := conversationOf(t, ">14000000 00 000001 62737270 01 1080 01000000 01",
		">26000000 1e 00 0000 0000000000000000 0100 03000000 616e6e 0200 07000000 68756e74657232")
	opts := &trace.Options{Hex: true, ShowValues: true}
	dump := c.dump(opts)
	if strings.Contains(dump, "hunter") || strings.Contains(dump, "68 75 6e") {
		t.Errorf("the token is shown:\n%s", dump)
	}
	opts.Hex = false
	expect(t, c, opts, "> INIT - 20 native=1 auth-follows", `> AUTH - 38 user="ann" token=7 bytes`)
}

func TestOtherProtocols(t *testing.T) {
	tls := "16030105a8010005a4" + strings.Repeat("00", 1000)
	expect(t, conversationOf(t, ">"+tls, "<160303007a", "<"+strings.Repeat("17", 3000), ">END"), nil,
		"> TLS - 5 encrypted from here; trace within TLS to see frames",
		"< TLS - 5 encrypted from here; trace within TLS to see frames",
		"< bytes - 3005 not decoded so far",
		"> bytes - 1009 not decoded so far",
		"> end - 1009 EOF")
	expect(t, conversationOf(t, text(">", "GET /metrics HTTP/1.1\r\n\r\n"), ">END"), nil,
		`> not-bsrpc - 5 from here: another protocol, which begins with "GET /"`,
		"> bytes - 25 not decoded so far", "> end - 25 EOF")
	expect(t, conversationOf(t, ">ffffffff", "<END", ">ff", "<00"), nil,
		"< end - 0 EOF",
		"> not-bsrpc - 5 from here: a frame of 4294967295 bytes and type 0xff")
}

func TestOutOfStep(t *testing.T) {
	expect(t, conversationOf(t, clientHello, serverHello,
		">18000000 10 00 0700 0100000000000000 0000000000000000", // number 7 is not bound
		">10000000 99 00 0000 0000000000000000",                  // no such type
		"<10000000 19 00 0000 0500000000000000"), nil,
		"> INIT - 13 native=1",
		"< INIT - 11 native=1 admitted",
		"> REQUEST c1 24 number=7 0 bytes",
		"> not-bsrpc - 5 from here: a frame of 16 bytes and type 0x99",
		"< PONG - 16 id=5")
}

func TestMiddleOfAConversation(t *testing.T) {
	expect(t, conversationOf(t, "<1d000000 12 00 0000 0200000000000000 0900000068656c6c6f20426f62",
		">1f000000 10 00 0000 0300000000000000 002d310100000000 03000000416e6e", "<END"), nil,
		"< bytes - 0 begins in the middle of a conversation: methods bound before are unknown",
		"< RESPONSE c2 29 13 bytes",
		"> REQUEST c3 31 number=0 left=20s 7 bytes",
		"< end - 29 EOF without an answer: c3")
}

func TestBasicWire(t *testing.T) {
	expect(t, conversationOf(t, ">0800000000000001", "<060000000001", ">0f000000010200e803000002080000", "<0900000001ea0b0000",
		">0c000000010a000100000078", text("<", "\x16\x00\x00\x00\x04\x03\x00\x00\x00Bad\x06\x00\x00\x00a\x1b[2Jb"), ">END"), nil,
		"> INIT - 8 basic=0.0.1",
		"< INIT - 6 basic admitted",
		"> REQUEST - 15 command=2 8 bytes",
		"< RESPONSE - 9 command=2 after=100µs 4 bytes",
		"> REQUEST - 12 command=10 5 bytes",
		`< EXCEPTION - 22 Bad "a\x1b[2Jb" command=10 after=100µs`,
		"> end - 35 EOF")
	// A native client at a basic server.
	expect(t, conversationOf(t, clientHello, "<060000000001", ">0700000001 0300"), &trace.Options{ShowValues: true},
		"> INIT - 13 native=1", "< INIT - 6 basic admitted", "> REQUEST - 7 command=3 0 bytes")
	// A frame longer than what is kept.
	long := "<" + fmt.Sprintf("%08x01", swap(5+100_000)) + strings.Repeat("07", 100_000)
	expect(t, conversationOf(t, ">0800000000000001", "<060000000001", long, "<0500000001"), nil,
		"> INIT - 8 basic=0.0.1", "< INIT - 6 basic admitted", "< RESPONSE - 100005 100000 bytes", "< RESPONSE - 5 0 bytes")
}

// The basic wire has no names; with the contracts of its server it has.
func TestBasicCommands(t *testing.T) {
	set, level := parsed(t, "Supply.Set(uint.le2, string.le4)"), parsed(t, "Supply.Level() {V uint.le2; Key string.le4}")
	c := conversationOf(t, ">0800000000000001", "<060000000001", ">0e000000010800b00401000000 78", "<0500000001",
		">0700000001 0900", "<0c00000001b00401000000 79", ">0700000001 0700", "<0500000001", ">0800000001 080001")
	opts := &trace.Options{
		Commands: map[uint16]*layout.Method{8: set, 9: level}, Hex: false,
		Secret: map[string][]string{"Supply.Set": {"parameter 2"}, "Supply.Level": {"result 1.Key"}},
	}
	expect(t, c, opts,
		"> INIT - 8 basic=0.0.1",
		"< INIT - 6 basic admitted",
		`> REQUEST - 14 Supply.Set command=8 7 bytes (1200, "***")`,
		"< RESPONSE - 5 Supply.Set command=8 after=100µs 0 bytes",
		"> REQUEST - 7 Supply.Level command=9 0 bytes",
		`< RESPONSE - 12 Supply.Level command=9 after=100µs 7 bytes ({"V":1200,"Key":"***"})`,
		"> REQUEST - 7 command=7 0 bytes",
		"< RESPONSE - 5 command=7 after=100µs 0 bytes",
		`> REQUEST - 8 Supply.Set command=8 1 byte malformed: parameter 1, "want 2 bytes, have 1, offset 0"`)
}

// swap returns n with its bytes in reverse.
func swap(n uint32) uint32 {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return binary.LittleEndian.Uint32(b[:])
}

func TestLayoutsOfTheUser(t *testing.T) {
	// Without a layout the frames of a stream are bytes; with it they are items.
	m, err := layout.ParseMethod("Greeter.Echo(bytes.le4) bytes.le4")
	if err != nil {
		t.Fatal(err)
	}
	var events []trace.Event
	d := trace.NewDecoder(&trace.Options{Layouts: []*layout.Method{m}}, func(e *trace.Event) { events = append(events, *e) })
	for _, p := range transcript(t, "../testdata/transcripts/chunks.txt") {
		d.Feed(&p)
	}
	complete := 0
	for _, e := range events {
		if e.Method == "Greeter.Echo" && e.Complete {
			complete++
			if len(e.Body) != 200_004 {
				t.Errorf("%v has a body of %d bytes", &e, len(e.Body))
			}
		}
	}
	if complete != 2 {
		t.Errorf("%d complete messages, want 2", complete)
	}
}

func TestLongTextsAreCut(t *testing.T) {
	message := strings.Repeat("é", 1000)
	body := append([]byte{0, 0}, binary.LittleEndian.AppendUint32(nil, uint32(len(message)))...)
	body = append(append(body, message...), 0, 0)
	frame := append(binary.LittleEndian.AppendUint32(nil, uint32(16+len(body))), 0x17, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	c := conversationOf(t, clientHello, serverHello)
	c = append(c, trace.Piece{From: trace.FromServer, Bytes: append(frame, body...)})
	dump := c.dump(nil)
	if !strings.HasSuffix(dump, strings.Repeat("é", 512)+"\"...(2000 bytes)\n") {
		t.Errorf("have %s", dump)
	}
}

func TestEndNamesTheOpenCalls(t *testing.T) {
	var lines []string
	for id := 1; id <= 6; id++ {
		lines = append(lines, fmt.Sprintf(">18000000 10 00 0000 %02x00000000000000 0000000000000000", id))
	}
	c := conversationOf(t, append([]string{clientHello, serverHello}, append(lines, "<14000000 12 00 0000 0100000000000000 00000000", "<END", "<END")...)...)
	dump := c.dump(nil)
	last := dump[strings.LastIndex(strings.TrimSpace(dump), "\n"):]
	if !strings.Contains(last, "EOF without an answer: c") || !strings.Contains(last, " and 1 more") || strings.Contains(last, "c1,") {
		t.Errorf("have %s", last)
	}
}

// checkLines fails if a dump contains what controls a terminal.
func checkLines(t *testing.T, dump string) {
	t.Helper()
	for _, r := range dump {
		if r != '\n' && r != ' ' && !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			t.Fatalf("%q in\n%q", r, dump)
		}
	}
}

// Any bytes from both ends: never a panic, the same lines for any pieces, and nothing in them
// that controls a terminal.
func FuzzDecoder(f *testing.F) {
	for _, name := range transcripts(f) {
		var in []byte
		for _, p := range transcript(f, name) {
			for b := p.Bytes; len(b) > 0; {
				n := min(len(b), 1<<15-1)
				in = binary.LittleEndian.AppendUint16(in, uint16(n)<<1|uint16(p.From))
				in = append(in, b[:n]...)
				b = b[n:]
			}
		}
		if len(in) < 4<<10 {
			f.Add(in)
		}
	}
	m, err := layout.ParseMethod("Shop.Do([]string.le4, func(bool)) (int.le2, stream(bytes.le4))")
	if err != nil {
		f.Fatal(err)
	}
	commands := map[uint16]*layout.Method{0: m, 1: m, 2: m, 10: m}
	f.Fuzz(func(t *testing.T, in []byte) {
		var whole, bytewise conversation
		for len(in) >= 2 {
			head := binary.LittleEndian.Uint16(in)
			n := min(int(head>>1), len(in)-2)
			p := trace.Piece{Time: start, From: trace.Direction(head & 1), Bytes: in[2 : 2+n]}
			in = in[2+n:]
			whole = append(whole, p)
			for i := range p.Bytes {
				bytewise = append(bytewise, trace.Piece{Time: start, From: p.From, Bytes: p.Bytes[i : i+1]})
			}
		}
		end := []trace.Piece{{Time: start, End: "EOF"}, {Time: start, From: trace.FromServer, End: "EOF"}}
		opts := &trace.Options{ShowValues: true, Commands: commands}
		dump := append(whole, end...).dump(opts)
		checkLines(t, dump)
		if other := append(bytewise, end...).dump(opts); other != dump && !strings.Contains(dump, "not decoded") && !strings.Contains(dump, " more") {
			t.Fatalf("in pieces\n%s\nbyte by byte\n%s", dump, other)
		}
	})
}

func TestRecording(t *testing.T) {
	c := transcript(t, "../testdata/transcripts/chunks.txt")
	var file bytes.Buffer
	w := trace.NewWriter(&file)
	for _, p := range c {
		p.Conn = 7
		if err := w.Write(&p); err != nil {
			t.Fatal(err)
		}
	}
	whole := file.Bytes()
	var again conversation
	r := trace.NewReader(bytes.NewReader(whole))
	for {
		p, err := r.Next()
		if err != nil {
			if err.Error() != "EOF" {
				t.Fatal(err)
			}
			break
		}
		if p.Conn != 7 {
			t.Fatalf("connection %d", p.Conn)
		}
		p.Time, p.Bytes = p.Time.UTC(), bytes.Clone(p.Bytes)
		again = append(again, *p)
	}
	if have, want := again.dump(nil), c.dump(nil); have != want {
		t.Errorf("have\n%s\nwant\n%s", have, want)
	}
}
