package trace

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/layout"
)

// Names of events that are not frames.
const (
	NotBsrpc   = "not-bsrpc" // what follows in this direction is not decoded, but counted
	TLS        = "TLS"       // the same: TLS begins
	Bytes      = "bytes"     // the count of bytes that are not decoded has doubled, or they end
	Incomplete = "cut-off"   // a direction ends within a frame
	End        = "end"       // a direction ends
)

// An Event is one frame, or something else that has happened: see NotBsrpc and the names
// beside it.
type Event struct {
	Time   time.Time // of the last byte
	Name   string    // in front of the line, from Options
	From   Direction
	Frame  string // "REQUEST", or NotBsrpc and others
	Offset int64  // of its first byte in its direction
	Size   int64  // bytes

	// Call is the id of a call, 0 for none, and Caller the end that has made it. Method is
	// its full name, "" if that is unknown.
	Call   uint64
	Caller Direction
	Method string

	// Failure is set for ERROR, CLOSE, the END of an incomplete stream, EXCEPTION, and an
	// INIT that refuses the client.
	Failure *Failure

	// Fields are the details in the order of printing. They are safe for a terminal.
	Fields []Field

	// Complete is true for the last frame of arguments or results, and Body has all their
	// bytes then, up to 1 MiB; it is valid until the func given to NewDecoder returns.
	// It is not masked.
	Complete bool   `json:"-"`
	Body     []byte `json:"-"`

	// Stream is the number of the stream in ITEMS, END, CREDIT and STOP, 0 for the result.
	// Items has what is complete with this frame: the bytes of items, nil for one above
	// 1 MiB, or the bytes of a reader. It is as valid as Body, and empty if the layout
	// is unknown.
	Stream uint16   `json:"-"`
	Items  [][]byte `json:"-"`

	// Layout is that of Body or Items; nil if it is unknown.
	Layout *layout.Method `json:"-"`

	// Metadata is that of users in a REQUEST, RESPONSE or ERROR. It is not masked.
	Metadata map[string]string `json:"-"`

	frame    []byte // its first bytes, valid as Body is; nil without Options.Hex
	from, to int    // masked bytes of frame
}

// A Field is a detail of an event. One without a name is a sentence or a flag.
type Field struct{ Name, Value string }

// A Failure tells why a call has failed, or a connection or a stream has ended.
type Failure struct {
	Code    uint16 // gRPC's; 0 on the basic wire
	Name    string
	Message string
	LogID   string // of a line in the sender's log
	NotRun  bool   // the method has not run, and the call is safe to repeat
	Expired bool   // the time of the call was over
}

// String describes f in one line: the code, the name, the message, and the outcome.
func (f *Failure) String() string { return f.text(1 << 10) }

// text is String with a limit for the bytes of each part. Names come before sentences: they are
// what programs compare, and what one searches a log for.
func (f *Failure) text(most int) string {
	var parts []string
	if f.Code != 0 {
		parts = append(parts, fmt.Sprintf("%s (%d)", fault.Code(f.Code), f.Code))
	}
	if f.Name != "" {
		parts = append(parts, word(f.Name, most))
	}
	if f.Message != "" {
		parts = append(parts, quote(f.Message, most))
	}
	if f.NotRun {
		parts = append(parts, "not-run")
	}
	if f.Expired {
		parts = append(parts, "expired")
	}
	if f.LogID != "" {
		parts = append(parts, "log="+word(f.LogID, most))
	}
	return strings.Join(parts, " ")
}

// add appends a field. The value must be safe for a terminal: whatever a peer has sent passes
// word, quote or sentence before.
func (e *Event) add(name, format string, args ...any) {
	e.Fields = append(e.Fields, Field{name, fmt.Sprintf(format, args...)})
}

// arrows show the directions, as in the transcripts of the protocol.
var arrows = [...]byte{FromClient: '>', FromServer: '<'}

// CallName returns the id of the call with its caller as the line has it: c2 or s2, "-" for
// none. Each end numbers its own calls, so an id alone is ambiguous; with the letter, a search
// finds all lines of a call and nothing else.
func (e *Event) CallName() string {
	if e.Call == 0 {
		return "-"
	}
	return callName(e.Caller, e.Call)
}

// callName returns the id of a call of an end. Ids above 65,535 are divided, since many clients
// have a use for the low 16 bits: c3.0 is 3<<16, the third call of a client in Go, in its
// slot 0.
func callName(caller Direction, id uint64) string {
	name := caller.String()[:1]
	if high := id >> 16; high > 0 {
		name += strconv.FormatUint(high, 10) + "."
	}
	return name + strconv.FormatUint(id&0xffff, 10)
}

// String returns the line of e, without a newline at its end.
func (e *Event) String() string {
	b, _ := e.AppendText(nil)
	return string(b)
}

// Format implements fmt.Formatter. It prints the line with each verb: Body, Items and Metadata may be
// secrets.
func (e Event) Format(f fmt.State, _ rune) { io.WriteString(f, e.String()) }

// AppendText appends the line of e, without a newline at its end, and the lines of the hex
// dump if there is one. The error is always nil. It is for the func given to NewDecoder.
func (e *Event) AppendText(b []byte) ([]byte, error) {
	if e.Name != "" {
		b = append(append(b, e.Name...), ' ')
	}
	b = e.Time.AppendFormat(b, "15:04:05.000000")
	b = append(b, ' ', arrows[e.From&1], ' ')
	b = fmt.Appendf(b, "%-14s %-11s %7d ", e.Frame, e.CallName(), e.Size)
	head := len(b)
	if e.Method != "" {
		b = append(append(b, ' '), e.Method...)
	}
	if e.Failure != nil {
		b = append(append(b, ' '), e.Failure.text(maxMessage)...)
	}
	for _, f := range e.Fields {
		if b = append(b, ' '); f.Name != "" {
			b = append(append(b, f.Name...), '=')
		}
		b = append(b, f.Value...)
	}
	if len(b) == head {
		b = b[:head-1] // nothing follows the columns
	}
	return e.appendHex(b), nil
}

// maxMessage limits the texts of failures in a line. They are rarely long, and needed in full.
const maxMessage = 1 << 10

// Lengths of a dump: bytes a line, and bytes of one frame.
const (
	hexLine = 16
	hexMost = 4 << 10
)

// appendHex appends the lines of the bytes of e: offset, bytes, and characters of ASCII. Masked
// bytes are ** and *: their number may help, and is in the line anyway. The dump is long enough
// for a header with its metadata in most frames, and short enough for a terminal.
func (e *Event) appendHex(b []byte) []byte {
	for at := 0; at < len(e.frame); at += hexLine {
		b = fmt.Appendf(b, "\n    %06x ", at)
		var text []byte
		for i := at; i < at+hexLine; i++ {
			switch {
			case i >= len(e.frame):
				b = append(b, "   "...)
			case i >= e.from && i < e.to:
				b, text = append(b, " **"...), append(text, '*')
			default:
				b, text = fmt.Appendf(b, " %02x", e.frame[i]), append(text, printable(e.frame[i]))
			}
		}
		b = append(append(b, "  "...), text...)
	}
	if more := e.Size - int64(len(e.frame)); more > 0 && len(e.frame) > 0 {
		b = fmt.Appendf(b, "\n    and %d more", more)
	}
	return b
}

// printable returns c if it is a printable character of ASCII, else a dot.
func printable(c byte) byte {
	if c < ' ' || c > '~' {
		return '.'
	}
	return c
}
