//go:build unix

package main

import (
	"path/filepath"
	"syscall"
	"testing"
)

// What is no regular file is refused, at once.
func TestSpecialFiles(t *testing.T) {
	s, dir := folder(t)
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for method, err := range s.every("pipe") {
		if (err == nil) != (method == "Stat") {
			t.Errorf("%s: %v", method, err)
		}
	}
}
