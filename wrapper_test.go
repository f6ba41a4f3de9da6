package bsrpc

import (
	"bytes"
	"context"
	"net"
	"sync/atomic"
	"testing"
)

// A cipherConn embeds a socket and changes every byte. Its promoted methods bypass
// that.
type cipherConn struct {
	*net.TCPConn
	in, out atomic.Int64 // bytes that have passed
}

const cipherKey = 0x5a

func (c *cipherConn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	for i := range b[:n] {
		b[i] ^= cipherKey
	}
	c.in.Add(int64(n))
	return n, err
}

func (c *cipherConn) Write(b []byte) (int, error) {
	sealed := bytes.Clone(b) // Write must not change b
	for i := range sealed {
		sealed[i] ^= cipherKey
	}
	n, err := c.TCPConn.Write(sealed)
	c.out.Add(int64(n))
	return n, err
}

func cipherPair(t testing.TB) (near, far *cipherConn) {
	a, b := tcpPair(t)
	return &cipherConn{TCPConn: a.(*net.TCPConn)}, &cipherConn{TCPConn: b.(*net.TCPConn)}
}

// A plainInit is the connection of a client whose INIT lacks its native part, so that
// any server treats it as basic.
type plainInit struct {
	net.Conn
	begun bool
}

func (c *plainInit) Write(b []byte) (int, error) {
	if c.begun {
		return c.Conn.Write(b)
	}
	c.begun = true
	if _, err := c.Conn.Write([]byte(basicInit)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// All bytes pass through the methods of a type around a socket, at both ends and on
// both wires.
func TestWrappedSocketIsNotLookedThrough(t *testing.T) {
	sizes := []int{0, 1, 100, 70_000, 1 << 20, 16<<20 - 100}
	if !LongTests {
		sizes = sizes[:5]
	}
	total := int64(0)
	for _, n := range sizes {
		total += int64(n)
	}
	echoes := func(t *testing.T, near, far *cipherConn, echo func(context.Context, []byte) ([]byte, error)) {
		for _, n := range sizes {
			body := bytes.Repeat([]byte{byte(n), 1, 2, 3, 4, 5, 6}, n/7+1)[:n]
			if got, err := echo(t.Context(), body); err != nil || !bytes.Equal(got, body) {
				t.Fatalf("%d bytes: got %d, %v", n, len(got), err)
			}
		}
		eventually(t, func() string {
			if near.out.Load() != far.in.Load() || near.in.Load() != far.out.Load() || near.out.Load() < total {
				return "the ends have counted different bytes"
			}
			return ""
		})
	}
	t.Run("native", func(t *testing.T) {
		srv := testeeServer(t, newTestee(), nil)
		near, far := cipherPair(t)
		served := make(chan error, 1)
		go func() { served <- srv.ServeConn(far) }()
		client, proxy := testeeClientOn(t, near, nil)
		echoes(t, near, far, proxy.Echo)
		client.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
		srv.Close()
	})
	t.Run("basic", func(t *testing.T) {
		srv := basicServer(t, newBasicClerk(), nil)
		near, far := cipherPair(t)
		served := make(chan error, 1)
		go func() { served <- srv.ServeConn(far) }()
		client, err := NewClient(t.Context(), &plainInit{Conn: near}, basicOptions(nil))
		if err != nil {
			t.Fatal(err)
		}
		echoes(t, near, far, bindBasic(t, client).Echo)
		client.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
		srv.Close()
	})
}

// A holdingConn writes on another goroutine, and its Close waits for that.
type holdingConn struct {
	*net.TCPConn
	held  chan []byte
	ended chan struct{}
}

func newHoldingConn(nc net.Conn) *holdingConn {
	c := &holdingConn{TCPConn: nc.(*net.TCPConn), held: make(chan []byte, 1<<10), ended: make(chan struct{})}
	go func() {
		defer close(c.ended)
		for b := range c.held {
			c.TCPConn.Write(b)
		}
	}()
	return c
}

func (c *holdingConn) Write(b []byte) (int, error) {
	c.held <- bytes.Clone(b)
	return len(b), nil
}

func (c *holdingConn) Close() error {
	close(c.held)
	<-c.ended
	return c.TCPConn.Close()
}

// A half-close of the socket in a wrapper would cut off bytes still in the wrapper.
func TestWrappedSocketIsNotHalfClosed(t *testing.T) {
	rounds := 50
	if !LongTests {
		rounds = 15
	}
	for range rounds {
		srv := testeeServer(t, newTestee(), nil)
		near, far := tcpPair(t)
		served := make(chan error, 1)
		go func() { served <- srv.ServeConn(newHoldingConn(far)) }()
		client, _ := testeeClientOn(t, near, nil)
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		<-client.Done()
		wantCall(t, client.Err(), CodeUnavailable, OutcomeUnknown, "the server is shutting down")
		<-served
	}
}
