package bsrpc

import (
	"math"
	"net"
	"time"
)

// probes is how many times a silent peer is asked before it is given up.
const probes = 4

// keepAlive lets the system look after a peer that cannot be sent a PING: after
// PingAfter of silence it is asked, and after about PingTimeout more, or when
// nothing that is sent has been acknowledged for both together, the connection
// is lost. It does nothing for what is no TCP connection.
func keepAlive(nc net.Conn, b *bounds) {
	tcp, ok := nc.(*net.TCPConn)
	if !ok || b.pingAfter == math.MaxInt64 || b.pingTimeout == math.MaxInt64 {
		return
	}
	tcp.SetKeepAliveConfig(net.KeepAliveConfig{
		Enable: true, Idle: b.pingAfter, Interval: max(b.pingTimeout/probes, time.Second), Count: probes,
	})
	setUserTimeout(tcp, b.pingAfter+b.pingTimeout)
}
