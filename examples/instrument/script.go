package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
)

// A script is what happens, each line behind the name of whoever says it.
type script struct {
	mu  sync.Mutex
	out io.Writer
}

// A sayFunc adds to a script, as fmt.Printf does.
type sayFunc func(format string, args ...any)

func newScript(out io.Writer) *script { return &script{out: out} }

// as returns a sayFunc for one speaker.
func (s *script) as(name string) sayFunc {
	return func(format string, args ...any) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for line := range strings.Lines(fmt.Sprintf(format, args...)) {
			fmt.Fprintf(s.out, "%-7s %s\n", name, strings.TrimSuffix(line, "\n"))
		}
	}
}
