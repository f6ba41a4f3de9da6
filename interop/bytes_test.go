package interop

// The same frames go to a server of the package and to one of this library, and
// the answers have the same bytes.

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
)

// A step of a conversation is one frame of a client.
type step struct {
	what  string // a call as Python writes it, or what is special
	frame string // its bytes, if it is no call
	texts string // "" if an exception has the same text from both; else why not
}

const (
	init0       = "\x08\x00\x00\x00\x00\x00\x00\x01"
	noneForType = "the package says None instead of the type"
	otherWords  = "what is wrong with arguments is said in other words"
)

// frame is a frame of any type.
func frame(typ byte, payload string) string {
	size := binary.LittleEndian.AppendUint32(nil, uint32(5+len(payload)))
	return string(append(size, typ)) + payload
}

// request is a frame that calls a command, whose id is below 256.
func request(id byte, args string) string { return frame(1, string([]byte{id, 0})+args) }

// conversations are what clients send, each over a connection of its own.
var conversations = map[string][]step{
	"commands": commandSteps(),
	"handshake": {
		{"REQUEST first", request(0, "\x03\x00\x00\x00Bob"), ""},
		{"another major version", frame(0, "\x01\x02\x03"), ""},
		{"yet another", frame(0, "\xff\x00\x01"), ""},
		{"a size of 0", "\x00\x00\x00\x00", ""},
		{"a size of 4", "\x04\x00\x00\x00", ""},
		{"an unknown type", frame(7, ""), noneForType},
		{"INIT with 40 bytes more", frame(0, "\x00\x00\x01"+strings.Repeat("x", 40)), ""},
		{"INIT again", init0, ""},
		{"INIT again, empty", frame(0, ""), ""},
		{"hello('still there?')", "", ""},
	},
	"short INIT": {{"INIT of 2 bytes", frame(0, "\x00\x00"), ""}, end},
	"empty INIT": {{"INIT of no bytes", frame(0, ""), ""}, end},
	"errors": {
		{"INIT", init0, ""},
		{"no id", frame(1, ""), ""},
		{"half an id", frame(1, "\x00"), ""},
		{"unknown(b'x')", "", ""},
		{"an unknown type", frame(9, "x"), noneForType},
		{"a server's type", frame(4, "x"), noneForType},
		{"a size of 3", "\x03\x00\x00\x00", ""},
		{"narrow(65536)", "", ""},
		{"add_2_words(4294967295, 1)", "", ""},
		{"sum_array([4294967295, 1])", "", ""},
		{"too few arguments", request(2, "1234"), otherWords},
		{"too many arguments", request(2, "123456789"), otherWords},
		{"an argument to a command without", request(3, "1"), otherWords},
		{"a length beyond the end", request(0, "\xff\xff\xff\xff"), otherWords},
		{"a count beyond the end", request(5, "\x04\x00\x00\x00\xff\xff\xff\xff"), otherWords},
		{"an array that ends late", request(5, "\x08\x00\x00\x00\x00\x00\x00\x001234"), otherWords},
		{"a byte that is neither 0 nor 1", request(15, "\x02"), ""},
		{"fail('ValueError', 'too small')", "", ""},
		{"fail('ValueError', 'two\\nlines 😀')", "", ""},
		{"fail('RuntimeError', 'not now')", "", ""},
		{"fail('ProtocolError', 'not so')", "", ""},
		{"fail('OutOfPaper', 'load some')", "", ""},
		{"hello('still there?')", "", ""},
	},
}

// end is no frame but the end of the connection, by the server.
var end = step{what: "end"}

func commandSteps() []step {
	steps := []step{{"INIT", init0, ""}}
	for _, c := range calls {
		call, _, _ := strings.Cut(c.call, " ==")
		steps = append(steps, step{call, "", ""})
	}
	return steps
}

func TestSameBytes(t *testing.T) {
	interop(t)
	_, original := startServer(t)
	o := openOffice(t, bsrpc.ServerOptions{})
	client := o.visit(t) // which has the serialisers
	for name, steps := range conversations {
		t.Run(name, func(t *testing.T) {
			theirs, ours := dialRaw(t, original), dialRaw(t, o.addr())
			for _, s := range steps {
				if s != end {
					frame := s.bytes(client)
					theirs.send(t, frame)
					ours.send(t, frame)
				}
				compare(t, &s, theirs.read(t, s.what), ours.read(t, s.what))
			}
		})
	}
}

func (s *step) bytes(client *console) []byte {
	if s.frame != "" {
		return []byte(s.frame)
	}
	text := client.ask("frames." + s.what)
	b, err := hex.DecodeString(strings.Trim(text, "'"))
	if err != nil {
		client.fatalf("%s is %s: %v", s.what, text, err)
	}
	return b
}

// compare compares two answers.
func compare(t *testing.T, s *step, theirs, ours []byte) {
	t.Helper()
	const exception = 4
	if len(theirs) < 5 || len(ours) < 5 || theirs[4] != exception || ours[4] != exception {
		if !bytes.Equal(theirs, ours) {
			t.Errorf("%s: the package answers\n% x, this library\n% x", s.what, theirs, ours)
		}
		return
	}
	theirName, theirText := readException(t, theirs)
	ourName, ourText := readException(t, ours)
	same := strings.HasSuffix(theirText, theirName+": "+ourText+"\n")
	if theirName != ourName || same != (s.texts == "") {
		t.Errorf("%s: the package answers\n%s, %q, this library\n%s, %q", s.what, theirName, theirText, ourName, ourText)
	}
}

func readException(t *testing.T, frame []byte) (name, text string) {
	t.Helper()
	var parts [2]string
	rest := frame[5:]
	for i := range parts {
		if len(rest) < 4 || int(binary.LittleEndian.Uint32(rest)) > len(rest)-4 {
			t.Fatalf("no exception: % x", frame)
		}
		n := 4 + int(binary.LittleEndian.Uint32(rest))
		parts[i], rest = string(rest[4:n]), rest[n:]
	}
	if len(rest) > 0 {
		t.Errorf("%d bytes behind an exception", len(rest))
	}
	return parts[0], parts[1]
}

// A rawConn sends and reads frames.
type rawConn struct{ net.Conn }

func dialRaw(t *testing.T, addr string) rawConn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	nc.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { nc.Close() })
	return rawConn{nc}
}

func (c rawConn) send(t *testing.T, frame []byte) {
	t.Helper()
	if _, err := c.Write(frame); err != nil {
		t.Fatal(err)
	}
}

// read reads a frame. It returns nothing if the connection has ended.
func (c rawConn) read(t *testing.T, what string) []byte {
	t.Helper()
	frame := make([]byte, 4)
	_, err := io.ReadFull(c, frame)
	if err == io.EOF {
		return nil
	}
	if err == nil {
		frame = append(frame, make([]byte, binary.LittleEndian.Uint32(frame)-4)...)
		_, err = io.ReadFull(c, frame[4:])
	}
	if err != nil {
		t.Fatalf("the answer to %s: %v", what, err)
	}
	return frame
}
