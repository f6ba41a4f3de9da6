package bsrpc

import (
	"math"
	"net"
	"time"
)

// How much may lie unread between two ends on one machine. More would only be a
// queue, in front of every small message and too long for the processor's cache;
// networks need it, to have enough under way. Linux takes twice of each.
const (
	localTCP  = 128 << 10 // in the sender's buffer; the reader's takes what has come, whatever its size
	localUnix = 256 << 10 // there is only one buffer
)

// shortenLocal gives a connection on one machine such buffers.
func shortenLocal(nc net.Conn) {
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
	setUserTimeout(tcp, max(b.pingAfter+b.pingTimeout, time.Second)) // less is what a lost packet takes
}
