package bsrpc

import (
	"net"
	"syscall"
	"testing"
	"time"
)

// A peer on the basic wire cannot answer a PING. The system checks within the same
// time whether its machine is reachable.
func TestKeepAlive(t *testing.T) {
	srv := basicServer(t, newBasicClerk(), &ServerOptions{MaxSessions: 1, Limits: Limits{SessionLease: 40 * time.Second, PingAfter: time.Hour}})
	t.Cleanup(func() { srv.Close() })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	p := &rawPeer{t: t, nc: near}
	p.ask(basicInit, basicAdmitted)
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for c := range srv.conns {
		for _, option := range []struct{ level, name, want int }{
			{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 20},
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, 5},
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, 4},
			{syscall.IPPROTO_TCP, 0x12, 40_000}, // TCP_USER_TIMEOUT
		} {
			if got := socketOption(t, c.conn.(*basicConn).NetConn(), option.level, option.name); got != option.want {
				t.Errorf("option %d of %d: got %d, want %d", option.name, option.level, got, option.want)
			}
		}
	}
}

func socketOption(t *testing.T, nc net.Conn, level, name int) (v int) {
	t.Helper()
	raw, err := nc.(*net.TCPConn).SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { v, err = syscall.GetsockoptInt(int(fd), level, name) })
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}
