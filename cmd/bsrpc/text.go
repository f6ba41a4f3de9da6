package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// maxWord limits the bytes of a name or an option of the server in a line.
const maxWord = 256

// clean returns text for a terminal: what is not printable is escaped as in Go, and text
// of more than max bytes is cut.
func clean(s string, max int) string {
	whole := s
	if len(s) > max {
		s = s[:max]
		for n := 1; n < utf8.UTFMax && len(s) > 0 && !utf8.RuneStart(whole[len(s)]); n++ {
			s = s[:len(s)-1]
		}
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\ufffd"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case printable(r):
			b.WriteRune(r)
		default:
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		}
	}
	if len(s) < len(whole) {
		b.WriteString("...")
	}
	return b.String()
}

// printable reports whether r cannot move the cursor, or change the order of what is on the
// screen.
func printable(r rune) bool { return r == ' ' || unicode.IsGraphic(r) && !unicode.Is(unicode.Zs, r) }

// appendPrintable appends a JSON text to b. What a terminal could obey is escaped: outside of
// strings JSON has white space alone, and it is on one line here.
func appendPrintable(b, text []byte) []byte {
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			b = fmt.Appendf(b, `\udc%02x`, text[i])
		case printable(r):
			b = append(b, text[i:i+n]...)
		case r > 0xffff:
			r -= 0x10000
			b = fmt.Appendf(b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			b = fmt.Appendf(b, `\u%04x`, r)
		}
		i += n
	}
	return b
}

// writeJSON writes v as one line of JSON.
func writeJSON(w io.Writer, v any) error {
	var text strings.Builder
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	line := appendPrintable(nil, []byte(strings.TrimSuffix(text.String(), "\n")))
	_, err := w.Write(append(line, '\n'))
	return err
}

// printLine prints v as one line of JSON with --json, and otherwise text.
func (t *target) printLine(w io.Writer, v any, text string) error {
	if t.json {
		return writeJSON(w, v)
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

// say prints a line about an event of now.
func (t *target) say(w io.Writer, event, text string) error {
	now := time.Now()
	return t.printLine(w, map[string]any{"time": now, "event": event, "text": text}, now.Format(lineTime)+" "+text)
}

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
