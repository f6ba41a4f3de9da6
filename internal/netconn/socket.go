package netconn

import (
	"math"
	"net"
	"time"
)

// Buffer sizes between two ends on one machine. Larger buffers only delay small messages
// behind long ones, and exceed the processor's cache. Networks need larger ones, for
// the bytes in transit. Linux doubles each value.
const (
	localTCP  = 128 << 10 // write buffer; the read buffer keeps its size
	localUnix = 256 << 10 // write and read buffer
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

// probes is the number of unanswered probes after which a peer is dead.
const probes = 4

// KeepAlive enables TCP keepalive for a peer on the basic wire, as it cannot answer a
// PING. It has no effect on other connections, or if idle or timeout is half of
// math.MaxInt64 or more.
// The system sends probes after an idle time, and drops the connection if none is
// answered within about timeout, or if sent bytes are not acknowledged within idle and
// timeout together.
func KeepAlive(nc net.Conn, idle, timeout time.Duration) {
	tcp, ok := nc.(*net.TCPConn)
	if !ok || max(idle, timeout) >= math.MaxInt64/2 {
		return
	}
	tcp.SetKeepAliveConfig(net.KeepAliveConfig{
		Enable: true, Idle: idle, Interval: max(timeout/probes, time.Second), Count: probes,
	})
	setUserTimeout(tcp, max(idle+timeout, time.Second)) // retransmitting a lost packet takes less
}
