package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
)

// A transcript is a log with the name of a speaker before each line.
type transcript struct {
	mu  sync.Mutex // held while writing to out
	out io.Writer
}

// A sayFunc appends to a transcript, with arguments as for fmt.Printf.
type sayFunc func(format string, args ...any)

func newTranscript(out io.Writer) *transcript { return &transcript{out: out} }

// as returns the sayFunc of one speaker.
func (s *transcript) as(name string) sayFunc {
	return func(format string, args ...any) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for line := range strings.Lines(fmt.Sprintf(format, args...)) {
			fmt.Fprintf(s.out, "%-7s %s\n", name, strings.TrimSuffix(line, "\n"))
		}
	}
}
