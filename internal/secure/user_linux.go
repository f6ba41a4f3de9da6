package secure

import (
	"net"
	"syscall"
)

// userOf asks the system, which knows the process that called connect or listen.
func userOf(c *net.UnixConn) (u User, ok bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return u, false // the connection is closed
	}
	var cred *syscall.Ucred
	raw.Control(func(fd uintptr) {
		cred, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err != nil || cred == nil {
		return u, false
	}
	return User{cred.Uid, cred.Gid, cred.Pid}, true
}
