//go:build !linux

package secure

import "net"

// userOf returns nil: the standard library has no such call for this system.
func userOf(*net.UnixConn) *User { return nil }
