//go:build !linux

package secure

import "net"

// userOf reports false: the standard library has no such call for this system.
func userOf(*net.UnixConn) (u User, ok bool) { return u, false }
