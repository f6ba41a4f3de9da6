package netconn

import (
	"math"
	"net"
	"time"
)

// The buffers between two ends on one machine. Larger ones only queue bytes in front
// of every small message, and exceed the processor's cache. Networks need more, to
// keep enough in flight. Linux doubles each value.
const (
	localTCP  = 128 << 10 // the send buffer; the receive buffer takes all that arrives
	localUnix = 256 << 10 // the only buffer
)

// LimitLocalBuffers limits the buffers of a connection between two ends on one machine.
func LimitLocalBuffers(nc net.Conn) {
	switch c := nc.(type) {
	case *net.TCPConn:
		if to, ok := c.RemoteAddr().(*net.TCPAddr); ok && to.IP.IsLoopback() {
			c.SetWriteBuffer(localTCP)
		}
	case *net.UnixConn:
		c.SetReadBuffer(localUnix)
		c.SetWriteBuffer(localUnix)
	}
}

// probes is how many probes a silent peer may leave unanswered.
const probes = 4

// KeepAlive makes the system probe a peer that cannot be sent a PING, if nc is a TCP
// connection. The system probes after an idle time, and drops the connection after
// about timeout more, or when sent bytes stay unacknowledged for both together. A time
// of math.MaxInt64 turns this off.
func KeepAlive(nc net.Conn, idle, timeout time.Duration) {
	tcp, ok := nc.(*net.TCPConn)
	if !ok || idle == math.MaxInt64 || timeout == math.MaxInt64 {
		return
	}
	tcp.SetKeepAliveConfig(net.KeepAliveConfig{
		Enable: true, Idle: idle, Interval: max(timeout/probes, time.Second), Count: probes,
	})
	setUserTimeout(tcp, max(idle+timeout, time.Second)) // less is what a lost packet takes
}
