package interop

// Both servers on the same bytes.

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
)

// exchange sends frames and reads as many.
func exchange(t testing.TB, addr string, frames []string) (answers []string) {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(patience))
	for _, frame := range frames {
		if _, err := io.WriteString(nc, frame); err != nil {
			t.Fatal(err)
		}
		size := make([]byte, 4)
		if _, err := io.ReadFull(nc, size); err != nil {
			t.Fatalf("after %q: %v", frame, err)
		}
		rest := make([]byte, binary.LittleEndian.Uint32(size)-4)
		if _, err := io.ReadFull(nc, rest); err != nil {
			t.Fatalf("after %q: %v", frame, err)
		}
		answers = append(answers, string(size)+string(rest))
	}
	return answers
}

// exceptionOf parts an exception from its text.
func exceptionOf(t testing.TB, frame string) (name, text string) {
	t.Helper()
	n := binary.LittleEndian.Uint32([]byte(frame[5:]))
	name = frame[9 : 9+n]
	rest := frame[9+n:]
	if binary.LittleEndian.Uint32([]byte(rest)) != uint32(len(rest)-4) {
		t.Errorf("exception %q", frame)
	}
	return name, rest[4:]
}

// Row 150: answers are the same to a byte, but for what an exception's text has
// around its message.
func TestRow150SameBytes(t *testing.T) {
	frames := []string{
		"\x07\x00\x00\x00\x01\x03\x00",                    // before INIT
		"\x08\x00\x00\x00\x00\x01\x00\x00",                // another version
		"\x03\x00\x00\x00",                                // too small
		"\x06\x00\x00\x00\x09\x00",                        // another type: the text is our own
		"\x08\x00\x00\x00\x00\x00\x00\x01",                // INIT
		"\x08\x00\x00\x00\x00\x00\x00\x01",                // and again
		"\x05\x00\x00\x00\x01",                            // no command
		"\x0e\x00\x00\x00\x01\x00\x00\x03\x00\x00\x00Bob", // hello
		"\x0f\x00\x00\x00\x01\x02\x00\xe8\x03\x00\x00\x02\x08\x00\x00",
		"\x07\x00\x00\x00\x01\x03\x00",
		"\x13\x00\x00\x00\x01\x04\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00",
		"\x17\x00\x00\x00\x01\x05\x00\x0c\x00\x00\x00\x02\x00\x00\x00\x10\x00\x00\x00\x22\x22\x22\x22",
		"\x1d\x00\x00\x00\x01\x06\x00\x0c\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00hi",
		"\x16\x00\x00\x00\x01\x07\x00\x01\x02\x00\x03\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00",
		"\x08\x00\x00\x00\x01\x08\x00\x02", // any byte but 0 is true
		"\x0e\x00\x00\x00\x01\x09\x00\x03\x00\x00\x00abc",
		"\x0c\x00\x00\x00\x01\x0a\x00\x01\x00\x00\x00x", // unknown
		"\x07\x00\x00\x00\x01\xff\xff",
		"\x07\x00\x00\x00\x01\x0e\x00", // overflow
	}
	_, addr := serve(t, newService(), bsrpc.ServerOptions{})
	theirs, ours := exchange(t, pythonServer(t), frames), exchange(t, addr, frames)
	for i, frame := range frames {
		if ours[i] == theirs[i] {
			continue
		}
		if ours[i][4] != 4 || theirs[i][4] != 4 {
			t.Errorf("%q: %q, the package %q", frame, ours[i], theirs[i])
			continue
		}
		name, text := exceptionOf(t, ours[i])
		theirName, traceback := exceptionOf(t, theirs[i])
		if name != theirName || frame[4:] != "\x09\x00" && !strings.HasSuffix(traceback, ": "+text+"\n") {
			t.Errorf("%q: %s %q, the package %s %q", frame, name, text, theirName, traceback)
		}
	}
}
