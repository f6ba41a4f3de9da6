//go:build unix && bsrpc_long

package main

import (
	"path/filepath"
	"syscall"
	"testing"
)

// Files other than regular ones are refused without blocking.
func TestSpecialFiles(t *testing.T) {
	s, dir := newFolder(t)
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for method, err := range s.callAll("pipe") {
		if (err == nil) != (method == "Stat") {
			t.Errorf("%s: %v", method, err)
		}
	}
}
