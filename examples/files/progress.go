package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// A progress is a reader that shows how much has been read: as a bar in a terminal, and
// otherwise as a line for every quarter.
type progress struct {
	io.ReadCloser
	out         io.Writer
	terminal    bool
	name        string
	read, total int64
	shown       int64 // percent
}

// watch shows on out the progress of reading about total bytes.
func watch(out io.Writer, name string, total int64, r io.ReadCloser) io.ReadCloser {
	return &progress{ReadCloser: r, out: out, terminal: isTerminal(out), name: name, total: total}
}

func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&fs.ModeCharDevice != 0
}

// Read implements io.Reader.
func (p *progress) Read(b []byte) (int, error) {
	n, err := p.ReadCloser.Read(b)
	p.read += int64(n)
	percent := min(100, p.read*100/max(1, p.total))
	if step := p.step(); percent/step > p.shown/step {
		p.shown = percent
		p.show(percent)
	}
	return n, err
}

// step returns the percent between two lines.
func (p *progress) step() int64 {
	if p.terminal {
		return 1
	}
	return 25
}

func (p *progress) show(percent int64) {
	text := fmt.Sprintf("%s: %d %% of %.1f MB", p.name, percent, float64(p.total)/1e6)
	if !p.terminal {
		fmt.Fprintln(p.out, text)
		return
	}
	done := int(percent / 5)
	fmt.Fprintf(p.out, "\r[%s%s] %s", strings.Repeat("#", done), strings.Repeat(".", 20-done), text)
	if percent == 100 {
		fmt.Fprintln(p.out)
	}
}
