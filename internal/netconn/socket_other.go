//go:build !linux

package netconn

import (
	"net"
	"time"
)

// setUserTimeout does nothing: the option exists only on Linux. The default of the system
// applies.
func setUserTimeout(*net.TCPConn, time.Duration) {}
