package trace

import (
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"
)

// Texts of peers in lines: quoted, so that they can neither end a line nor control a terminal,
// and cut with their length.

// Printable is what strconv says: letters of all scripts, but neither controls nor the marks
// that change the direction of writing.

// cut returns s with at most n bytes, cut before a character, and what to print after it.
func cut(s string, n int) (head, more string) {
	if len(s) <= n {
		return s, ""
	}
	head = s[:n]
	// A character has at most four bytes; other bytes may be cut anywhere.
	for i := 1; i <= utf8.UTFMax && i <= n; i++ {
		if utf8.RuneStart(s[n]) {
			break
		}
		head = s[:n-i]
		if utf8.RuneStart(s[n-i]) {
			break
		}
	}
	return head, fmt.Sprintf("...(%d bytes)", len(s))
}

// quote returns s in quotes.
func quote(s string, most int) string {
	head, more := cut(s, most)
	return strconv.Quote(head) + more
}

// word returns a name as it is if it looks like one, else in quotes.
func word(s string, most int) string {
	head, more := cut(s, most)
	if head == "" {
		return quote(s, most)
	}
	for _, r := range head {
		// Names are nearly always of ASCII, and there may be many.
		if r <= ' ' || r == '"' || r == '=' || r > '~' && (r == utf8.RuneError || !strconv.IsPrint(r)) || r == 0x7f {
			return strconv.Quote(head) + more
		}
	}
	return head + more
}

// sentence returns s as it is if it is printable, else in quotes.
func sentence(s string, most int) string {
	head, more := cut(s, most)
	if quoted := strconv.Quote(head); quoted[1:len(quoted)-1] != head {
		return quoted + more
	}
	return head + more
}

// left returns the time that a REQUEST gives, in microseconds.
func left(us uint64) string {
	if us > uint64(1<<63-1)/1000 {
		return fmt.Sprintf("%dµs", us) // more than a Duration
	}
	return (time.Duration(us) * time.Microsecond).String()
}
