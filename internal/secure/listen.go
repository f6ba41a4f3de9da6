package secure

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// DefaultMode is the mode of a unix socket: only its user may connect.
const DefaultMode fs.FileMode = 0o600

// Listen listens on a network of package net. A unix socket has its mode from the moment at
// which others can see it, zero for DefaultMode. The socket of a process that has ended is
// replaced; any other file, and the socket of a living process, is an error.
func Listen(network, address string, mode fs.FileMode) (net.Listener, error) {
	if network != "unix" {
		return net.Listen(network, address)
	}
	if address == "" || strings.HasPrefix(address, "@") || address[0] == 0 {
		return nil, fmt.Errorf("listen unix %q: want the path of a file; every user of the machine could connect to an abstract socket", address)
	}
	if mode&^fs.ModePerm != 0 {
		return nil, fmt.Errorf("listen unix %s: SocketMode: want permissions, 0 to 0777; zero means 0600", address)
	}
	// Of servers that begin at the same time, one must not take the socket of another for dead: one
	// that is not yet listening, or has replaced what both have found.
	defer lockDir(filepath.Dir(address), time.Now().Add(2*dialTime))()
	if err := removeStale(address); err != nil {
		return nil, err
	}
	l, err := listenUnix(address, cmp.Or(mode, DefaultMode))
	if err != nil {
		return nil, err
	}
	own, err := os.Lstat(address)
	if err != nil {
		l.Close()
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	return &unixListener{UnixListener: l, path: address, own: own}, nil
}

// A unixListener removes its socket at the end, unless another file has taken its place.
type unixListener struct {
	*net.UnixListener
	path string
	own  fs.FileInfo
	once sync.Once
}

// Close is net.Listener.Close.
func (l *unixListener) Close() error {
	l.once.Do(func() {
		if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.own) {
			os.Remove(l.path)
		}
	})
	return l.UnixListener.Close()
}

// dialTime limits the time to find out whether a socket has a process.
const dialTime = time.Second

// removeStale removes the socket of a process that has ended, if there is one at path. It is
// moved away and compared first: between two looks at the path another process may have
// replaced it by its own.
func removeStale(path string) error {
	found, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case found.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("listen unix %s: a file that is not a socket is in the way", path)
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialTime)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err == nil {
		c.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("listen unix %s: another process listens there, or may: connecting to it gave %s", path, cmp.Or(errorText(err), "a connection"))
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".bsrpc-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	away := filepath.Join(dir, "stale")
	if err := os.Rename(path, away); err != nil {
		return err
	}
	if moved, err := os.Lstat(away); err != nil || !os.SameFile(moved, found) {
		os.Link(away, path) // fails if the path is taken again, so nothing is replaced
		return fmt.Errorf("listen unix %s: another process is about to listen there", path)
	}
	return nil
}

// errorText returns the text of err, "" for nil.
func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
