//go:build !linux

package bsrpc

import (
	"net"
	"time"
)

// setUserTimeout needs Linux: elsewhere the system's own patience holds.
func setUserTimeout(*net.TCPConn, time.Duration) {}
