//go:build bsrpc_long

// Linking it takes longer than the test, so it runs in CI.

package main

import (
	"bytes"
	"regexp"
	"sync"
	"testing"
)

// A buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// The client has an answer of each version, over the states between. A state is told on a
// goroutine of its own, so it may come a line late.
func TestRestart(t *testing.T) {
	var out buffer
	if err := run(t.Context(), &out); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	const want = `(?s)700 cents, says version 1
.*the server ends
.*the client is lost
.*it starts again
.*the client is ready
.*700 cents, says version 2
.*the next version replaces it.*700 cents, says version 3
`
	if !regexp.MustCompile(want).MatchString(out.String()) {
		t.Errorf("got\n%s", &out)
	}
}
