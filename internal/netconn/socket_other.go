//go:build !linux

package netconn

import (
	"net"
	"time"
)

// setUserTimeout needs Linux. Elsewhere the default of the system applies.
func setUserTimeout(*net.TCPConn, time.Duration) {}
