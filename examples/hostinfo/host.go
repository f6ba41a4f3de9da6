package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// service implements the contract on this machine. It is independent of bsrpc.
type service struct {
	proc fs.FS    // /proc
	root *os.Root // the served folder; no path leads outside
}

var errNoProc = errors.New("this machine has no /proc, the source of processes and mounts on Linux")

const maxProcFile = 8 << 20

// readProc reads a file of /proc. Such files have no size in advance.
func (s service) readProc(name string) (string, error) {
	f, err := s.proc.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxProcFile))
	if err == nil && len(text) == maxProcFile {
		err = fmt.Errorf("/proc/%s: more than %d bytes", name, maxProcFile)
	}
	return string(text), err
}
