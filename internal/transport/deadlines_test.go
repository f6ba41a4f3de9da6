package transport

import (
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/netconn"
)

// An overtakenConn delays each removal of a deadline, after which its goroutine has still to set it.
type overtakenConn struct {
	net.Conn
	removals chan struct{} // a removal begins
	remove   chan struct{} // and goes on
}

func (c *overtakenConn) hold(t time.Time) {
	if t.IsZero() && c.removals != nil {
		c.removals <- struct{}{}
		<-c.remove
	}
}

func (c *overtakenConn) SetDeadline(t time.Time) error { c.hold(t); return c.Conn.SetDeadline(t) }
func (c *overtakenConn) SetReadDeadline(t time.Time) error {
	c.hold(t)
	return c.Conn.SetReadDeadline(t)
}
func (c *overtakenConn) SetWriteDeadline(t time.Time) error {
	c.hold(t)
	return c.Conn.SetWriteDeadline(t)
}

// A goroutine interrupts a Read or Write while another one removes the deadline of an earlier
// interrupt: the newer one counts, also if the connection sees it first. Otherwise the call would go
// on, and the guard would close the connection as one that ignores deadlines.
func TestDeadlinesInAnotherOrder(t *testing.T) {
	for name, of := range map[string]struct {
		set, remove func(nc net.Conn, t time.Time) error
		call        func(nc net.Conn) error
	}{
		"read":             {net.Conn.SetReadDeadline, net.Conn.SetReadDeadline, readOne},
		"write":            {net.Conn.SetWriteDeadline, net.Conn.SetWriteDeadline, writeOne},
		"both, and a read": {net.Conn.SetReadDeadline, net.Conn.SetDeadline, readOne},
		"write, and both":  {net.Conn.SetDeadline, net.Conn.SetWriteDeadline, writeOne},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				c := &overtakenConn{Conn: near}
				nc := netconn.Wrap(c)
				c.removals, c.remove = make(chan struct{}), make(chan struct{})
				removed := make(chan error, 1)
				go func() { removed <- of.remove(nc, time.Time{}) }()
				<-c.removals
				if err := of.set(nc, netconn.LongAgo); err != nil {
					t.Error(err)
				}
				close(c.remove)
				if err := <-removed; err != nil {
					t.Error(err)
				}
				start := time.Now()
				if err := of.call(nc); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) > 0 {
					t.Errorf("%v, after %v", err, time.Since(start))
				}
				nc.Close()
				far.Close()
			})
		})
	}
}

func readOne(nc net.Conn) error {
	_, err := nc.Read(make([]byte, 1))
	return err
}

func writeOne(nc net.Conn) error {
	_, err := nc.Write(make([]byte, 1))
	return err
}
