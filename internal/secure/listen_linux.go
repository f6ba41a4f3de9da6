package secure

import (
	"context"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"
)

// listenUnix creates the socket with the permissions of mode. On Linux those of the descriptor are
// the ones that bind uses, without what the umask forbids. The umask itself belongs to the
// whole process and must not be changed.
func listenUnix(path string, mode fs.FileMode) (*net.UnixListener, error) {
	var failed error
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		if err := c.Control(func(fd uintptr) { failed = syscall.Fchmod(int(fd), uint32(mode)) }); err != nil {
			return err
		}
		return failed
	}}
	l, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, mode); err != nil { // what the umask has forbidden
		l.Close()
		return nil, err
	}
	return l.(*net.UnixListener), nil
}

// lockDir locks a directory among processes that call lockDir, and returns its unlock. Others may
// hold such a lock for any purpose, so it waits until a time at most, and goes on without.
func lockDir(dir string, until time.Time) (unlock func()) {
	f, err := os.Open(dir)
	if err != nil {
		return func() {}
	}
	for syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil && time.Now().Before(until) {
		time.Sleep(time.Millisecond)
	}
	return func() { f.Close() }
}
