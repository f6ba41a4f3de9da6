package basic

import (
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// A slowConn takes a time for each Write.
type slowConn struct {
	net.Conn
	time time.Duration
	late time.Time // of the deadline that ends the connection
}

func (c *slowConn) Write(b []byte) (int, error) {
	time.Sleep(c.time)
	return len(b), nil
}

func (c *slowConn) SetWriteDeadline(at time.Time) error { c.late = at; return nil }

// A write that is over when its timer fires has an excuse if the time before had one. Which of the
// two is first is a matter of luck.
func TestWriteEndsWithItsTimer(t *testing.T) {
	const stall = 10 * time.Second
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			c := &slowConn{time: 3 * stall}
			if err := write(c, net.Buffers{{1}}, stall, func() bool { return true }); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Hour)
			if !c.late.IsZero() {
				t.Error("a timer ends the connection after its write")
			}
			if err := write(c, net.Buffers{{1}}, stall, neverExcused); err == nil || c.late.IsZero() {
				t.Errorf("without an excuse: %v", err)
			}
		})
	}
}
