package secure

import (
	"net"
	"syscall"
)

// userOf asks the system, which knows the process that called connect or listen.
func userOf(c *net.UnixConn) *User {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil // the connection is closed
	}
	var cred *syscall.Ucred
	raw.Control(func(fd uintptr) {
		cred, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err != nil || cred == nil {
		return nil
	}
	return &User{cred.Uid, cred.Gid, cred.Pid}
}
