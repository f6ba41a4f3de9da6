package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// service answers for this machine. It is ordinary Go: nothing here knows
// that the caller is another process.
type service struct {
	proc fs.FS    // /proc
	root *os.Root // the folder that is served; no name leads out of it
}

var errNoProc = errors.New("this machine has no /proc, where Linux tells of processes and mounts")

const maxProcFile = 8 << 20

// readProc reads a file of /proc, whose size is known only at its end.
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
