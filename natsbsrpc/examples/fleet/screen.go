package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"
)

// A screen shows lines, and in a terminal a picture below them, which is drawn again and again.
type screen struct {
	out   io.Writer
	live  bool // there is a picture
	began time.Time

	mu   sync.Mutex // guards the rest
	rows int        // of the picture
}

func newScreen(out io.Writer) *screen {
	return &screen{out: out, live: isTerminal(out), began: time.Now()}
}

func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&fs.ModeCharDevice != 0
}

// say prints a line with the time.
func (s *screen) say(format string, args ...any) {
	s.print(fmt.Sprintf("%5.1f s  ", time.Since(s.began).Seconds())+fmt.Sprintf(format, args...)+"\n", 0)
}

// Write prints what a server writes on its standard error.
func (s *screen) Write(b []byte) (int, error) {
	s.print(string(b), 0)
	return len(b), nil
}

// draw draws the picture in place of the last one.
func (s *screen) draw(picture string) {
	const noWrap, wrap = "\x1b[?7l", "\x1b[?7h" // for narrow terminals
	if s.live {
		s.print(noWrap+picture+wrap, strings.Count(picture, "\n"))
	}
}

// print prints text in place of the picture. rows of it are the next picture.
func (s *screen) print(text string, rows int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rows > 0 {
		text = fmt.Sprintf("\x1b[%dA\x1b[J", s.rows) + text
	}
	s.rows = rows
	io.WriteString(s.out, text)
}

// bars returns values from 0 to most as bars.
func bars(values []float64, most float64) string {
	const levels = "▁▂▃▄▅▆▇█"
	steps := []rune(levels)
	var b strings.Builder
	for _, v := range values {
		b.WriteRune(steps[max(0, min(len(steps)-1, int(v/most*float64(len(steps)))))])
	}
	return b.String()
}

// number returns a number with commas between thousands.
func number(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// millis returns a time in milliseconds.
func millis(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}
