//go:build !linux

package secure

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"
)

// lockDir does nothing: the standard library has no such call for all of these systems.
func lockDir(string, time.Time) (unlock func()) { return func() {} }

// listenUnix creates the socket in a private directory, and moves it to its path with the
// permissions of mode. Its address remains that in the directory.
func listenUnix(path string, mode fs.FileMode) (*net.UnixListener, error) {
	dir, err := os.MkdirTemp(filepath.Dir(path), ".b")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	at := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: at, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	if err = os.Chmod(at, mode); err == nil {
		err = os.Link(at, path) // unlike a renaming, it replaces nothing
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}
