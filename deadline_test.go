package bsrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/basic"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// An oddConn is a connection with a certain kind of deadlines.
type oddConn struct {
	net.Conn
	how string
}

// The kinds of deadlines, and the delay of a limit with them.
var oddDeadlines = map[string]time.Duration{
	"proper":  0,
	"refused": 0,                     // SetDeadline returns an error, as ssh's channels do
	"panic":   0,                     // it panics
	"half":    0,                     // that of reading works, that of writing does not
	"own":     0,                     // a timeout is an error of the connection's own
	"lie":     netconn.DeadlineGrace, // it returns nil and stops nothing
	"later":   netconn.DeadlineGrace, // it returns nil at first, and then an error
}

var errOddDeadline = errors.New("deadline not supported")

func (c *oddConn) set(t time.Time, write bool, set func(time.Time) error) error {
	switch c.how {
	case "refused":
		return errOddDeadline
	case "panic":
		panic(errOddDeadline)
	case "half":
		if write {
			return errOddDeadline
		}
	case "lie":
		return nil
	case "later":
		if !t.IsZero() {
			return errOddDeadline
		}
	}
	return set(t)
}

func (c *oddConn) SetDeadline(t time.Time) error      { return c.set(t, true, c.Conn.SetDeadline) }
func (c *oddConn) SetReadDeadline(t time.Time) error  { return c.set(t, false, c.Conn.SetReadDeadline) }
func (c *oddConn) SetWriteDeadline(t time.Time) error { return c.set(t, true, c.Conn.SetWriteDeadline) }

func (c *oddConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	return n, c.own(err)
}

func (c *oddConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	return n, c.own(err)
}

func (c *oddConn) own(err error) error {
	if c.how == "own" && netconn.IsTimeout(err) {
		return ownTimeout{}
	}
	return err
}

type ownTimeout struct{}

func (ownTimeout) Error() string   { return "own timeout" }
func (ownTimeout) Timeout() bool   { return true }
func (ownTimeout) Temporary() bool { return true }

// oddly runs f with each kind of deadlines, in a bubble. odd wraps an end.
func oddly(t *testing.T, f func(t *testing.T, odd func(net.Conn) net.Conn, slack time.Duration)) {
	for how, slack := range oddDeadlines {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f(t, func(nc net.Conn) net.Conn { return &oddConn{nc, how} }, slack)
			})
		})
	}
}

// within checks that f takes the time of a limit.
func within(t testing.TB, what string, limit, slack time.Duration, f func()) {
	t.Helper()
	start := time.Now()
	f()
	if took := time.Since(start); slack == 0 && took < limit || took > limit+slack+10*transport.WatchdogPeriod {
		t.Errorf("%s of %v took %v", what, limit, took)
	}
}

// An oddPair is a client and a server joined by a connection with odd deadlines.
type oddPair struct {
	client *Client
	server interface {
		Shutdown(context.Context) error
		Close() error
	}
	served chan error
	hold   func(context.Context) error
	sum    func(context.Context, uint32, uint32) (uint32, error)
	began  chan struct{}
	let    func() // lets a running handler of hold return
}

func oddPairs(t *testing.T, f func(t *testing.T, p *oddPair, slack time.Duration)) {
	for _, end := range []string{"client", "server"} {
		for _, wire := range []string{"native", "basic"} {
			t.Run(end+"/"+wire, func(t *testing.T) {
				oddly(t, func(t *testing.T, odd func(net.Conn) net.Conn, slack time.Duration) {
					f(t, newOddPair(t, end, wire, odd), slack)
				})
			})
		}
	}
}

func newOddPair(t *testing.T, end, wire string, odd func(net.Conn) net.Conn) *oddPair {
	near, far := net.Pipe()
	if end == "client" {
		near = odd(near)
	} else {
		far = odd(far)
	}
	p := &oddPair{served: make(chan error, 1)}
	if wire == "native" {
		service := newTestee()
		srv := testeeServer(t, service, nil)
		go p.serve(srv, far)
		client, proxy := testeeClientOn(t, near, nil)
		p.client, p.server, p.hold, p.sum, p.began = client, srv, proxy.Hold, proxy.Add, service.began
		p.let = func() {}
		return p
	}
	clerk := newBasicClerk()
	srv := basicServer(t, clerk, nil)
	go p.serve(srv, far)
	client, err := NewClient(t.Context(), &plainInit{Conn: near}, basicOptions(nil))
	if err != nil {
		t.Fatal(err)
	}
	desk := bindBasic(t, client)
	p.client, p.server, p.hold, p.sum, p.began = client, srv, desk.Hold, desk.Add, clerk.began
	p.let = func() { clerk.release <- struct{}{} }
	return p
}

// serve reports the end of ServeConn, also by a Goexit.
func (p *oddPair) serve(srv *Server, nc net.Conn) {
	defer close(p.served)
	srv.ServeConn(nc)
}

func (p *oddPair) end() {
	p.client.Close()
	p.server.Close()
	<-p.served
}

// Calls end at their time and after a cancellation, with any kind of deadlines. If
// deadlines work or can be replaced, the connection continues.
func TestCallsEndWithoutDeadlines(t *testing.T) {
	oddPairs(t, func(t *testing.T, p *oddPair, slack time.Duration) {
		if sum, err := p.sum(t.Context(), 1, 2); sum != 3 || err != nil {
			t.Errorf("got %d, %v", sum, err)
		}
		within(t, "a call", 100*time.Millisecond, slack, func() {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if err := p.hold(ctx); err == nil {
				t.Error("no error")
			}
		})
		if slack == 0 {
			p.let()
			if sum, err := p.sum(t.Context(), 1, 2); sum != 3 || err != nil {
				t.Errorf("got %d, %v", sum, err)
			}
			within(t, "a cancelled call", 50*time.Millisecond, slack, func() {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(50*time.Millisecond, cancel)
				p.hold(ctx)
			})
			p.let()
		}
		p.end()
	})
}

// Close and Shutdown take no longer than with deadlines.
func TestEndsWithoutDeadlines(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, p *oddPair){
		"client": func(t *testing.T, p *oddPair) { p.client.Close() },
		"server": func(t *testing.T, p *oddPair) { p.server.Close() },
		"shutdown": func(t *testing.T, p *oddPair) {
			ctx, cancel := context.WithTimeout(t.Context(), 0)
			defer cancel()
			p.server.Shutdown(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			oddPairs(t, func(t *testing.T, p *oddPair, _ time.Duration) {
				held := make(chan error, 1)
				go func() { held <- p.hold(context.Background()) }()
				<-p.began
				within(t, name, 0, 0, func() {
					end(t, p)
					if err := <-held; err == nil {
						t.Error("no error")
					}
				})
				p.end()
			})
		})
	}
}

// The handshake of a client ends with its context and after DialTimeout.
func TestDialEndsWithoutDeadlines(t *testing.T) {
	peers := map[string]func(net.Conn){
		"deaf": func(net.Conn) {},
		"mute": func(nc net.Conn) {
			b := make([]byte, 1<<10)
			for {
				if _, err := nc.Read(b); err != nil {
					return
				}
			}
		},
		"basic that lets wait": func(nc net.Conn) { // and does not answer the next INIT
			basic.ReadFrame(nc, wire.MaxInit)
			nc.Write([]byte(basicNotYet))
			basic.ReadFrame(nc, wire.MaxInit)
		},
	}
	for name, peer := range peers {
		t.Run(name, func(t *testing.T) {
			oddly(t, func(t *testing.T, odd func(net.Conn) net.Conn, slack time.Duration) {
				const limit = 2 * time.Second
				for _, by := range []string{"context", "DialTimeout"} {
					near, far := net.Pipe()
					go peer(far)
					within(t, by, limit, slack+250*time.Millisecond, func() { // a poll's interval
						ctx, cancel := context.WithCancel(t.Context())
						defer cancel()
						opts := basicOptions(nil)
						if by == "context" {
							ctx, cancel = context.WithTimeout(ctx, limit)
							defer cancel()
						} else {
							opts.DialTimeout = limit
						}
						if _, err := NewClient(ctx, odd(near), opts); err == nil {
							t.Error("no error")
						}
					})
					far.Close()
				}
			})
		})
	}
}

// The handshake of a server ends after HandshakeTimeout, whatever the peer does.
func TestHandshakeTimeoutWithoutDeadlines(t *testing.T) {
	for name, send := range map[string]string{"silent": "", "half": basicInit[:6], "deaf": basicInit} {
		t.Run(name, func(t *testing.T) {
			oddly(t, func(t *testing.T, odd func(net.Conn) net.Conn, slack time.Duration) {
				srv := testeeServer(t, newTestee(), &ServerOptions{HandshakeTimeout: 3 * time.Second})
				near, far := net.Pipe()
				go near.Write([]byte(send))
				within(t, "HandshakeTimeout", 3*time.Second, slack, func() {
					if err := srv.ServeConn(odd(far)); err == nil {
						t.Error("no error")
					}
				})
				near.Close()
				srv.Close()
				checkBooked(t, srv)
			})
		})
	}
}

// An oddRaw is an end whose connection has odd deadlines, and a rawPeer.
type oddRaw struct {
	*rawPeer
	write2 func()       // makes the end write to its peer
	ended  func() error // waits for the end's connection to end
	close  func()
}

// oddRaws runs f with each end, wire and kind of deadlines.
func oddRaws(t *testing.T, limits Limits, f func(t *testing.T, p *oddRaw, slack time.Duration)) {
	for name, make := range map[string]func(testing.TB, func(net.Conn) net.Conn, Limits) *oddRaw{
		"client/native": oddRawNativeClient, "client/basic": oddRawBasicClient,
		"server/native": oddRawNativeServer, "server/basic": oddRawBasicServer,
	} {
		t.Run(name, func(t *testing.T) {
			oddly(t, func(t *testing.T, odd func(net.Conn) net.Conn, slack time.Duration) {
				p := make(t, odd, limits)
				f(t, p, slack)
				p.close()
				p.nc.Close()
			})
		})
	}
}

func oddRawNativeServer(t testing.TB, odd func(net.Conn) net.Conn, limits Limits) *oddRaw {
	srv := testeeServer(t, newTestee(), &ServerOptions{Limits: limits})
	near, far := net.Pipe()
	p := rawDialOver(t, srv, near, odd(far))
	p.runHandshake()
	ask := func() {
		p.send(wire.Frame{Type: wire.Request, Arg: rawAdd, ID: 2}, []byte("\x01\x00\x00\x00\x02\x00\x00\x00"))
	}
	return &oddRaw{p, ask, func() error { return <-p.served }, func() { srv.Close() }}
}

func oddRawBasicServer(t testing.TB, odd func(net.Conn) net.Conn, limits Limits) *oddRaw {
	srv := basicServer(t, newBasicClerk(), &ServerOptions{Limits: limits})
	near, far := net.Pipe()
	p := rawDialOver(t, srv, near, odd(far))
	p.ask(basicInit, basicAdmitted)
	return &oddRaw{p, func() { p.write([]byte(command(2, u32(1)+u32(2)))) }, func() error { return <-p.served }, func() { srv.Close() }}
}

func oddRawNativeClient(t testing.TB, odd func(net.Conn) net.Conn, limits Limits) *oddRaw {
	near, far := net.Pipe()
	client, proxy, p := rawServerOn(t, odd(near), far, &ClientOptions{Limits: limits, Logger: quiet})
	return oddRawClient(client, p, func() { go proxy.Add(context.Background(), 1, 2) })
}

func oddRawBasicClient(t testing.TB, odd func(net.Conn) net.Conn, limits Limits) *oddRaw {
	near, far := net.Pipe()
	p := &rawPeer{t: t, nc: far}
	go p.takeInit(basicAdmitted)
	client, err := NewClient(context.Background(), odd(near), basicOptions(&ClientOptions{Limits: limits}))
	if err != nil {
		t.Fatal(err)
	}
	desk := bindBasic(t, client)
	return oddRawClient(client, p, func() { go desk.Add(context.Background(), 1, 2) })
}

func oddRawClient(client *Client, p *rawPeer, call func()) *oddRaw {
	return &oddRaw{p, call, func() error { <-client.Done(); return client.Err() }, func() { client.Close() }}
}

// An unfinished frame ends the connection after FrameTimeout.
func TestFrameTimeoutWithoutDeadlines(t *testing.T) {
	limits := Limits{FrameTimeout: 2 * time.Second, PingAfter: NoLimit}
	oddRaws(t, limits, func(t *testing.T, p *oddRaw, slack time.Duration) {
		within(t, "FrameTimeout", 2*time.Second, slack, func() {
			p.write([]byte("\x20\x00\x00\x00\x01\x00"))
			go io.Copy(io.Discard, p.nc)
			if err := p.ended(); slack == 0 && !strings.Contains(fmt.Sprint(err), "FrameTimeout") {
				t.Errorf("got %v", err)
			}
		})
	})
}

// A peer that reads nothing ends the connection after WriteStall.
func TestWriteStallWithoutDeadlines(t *testing.T) {
	limits := Limits{WriteStall: 2 * time.Second, PingAfter: NoLimit}
	oddRaws(t, limits, func(t *testing.T, p *oddRaw, slack time.Duration) {
		p.write2()
		within(t, "WriteStall", 2*time.Second, slack+netconn.CloseTime, func() {
			if err := p.ended(); slack == 0 && !strings.Contains(fmt.Sprint(err), "WriteStall") {
				t.Errorf("got %v", err)
			}
		})
	})
}

// The graceful close is short even if the peer stays connected.
func TestGracefulCloseWithoutDeadlines(t *testing.T) {
	oddly(t, func(t *testing.T, odd func(net.Conn) net.Conn, slack time.Duration) {
		srv := testeeServer(t, newTestee(), nil)
		near, far := net.Pipe()
		p := rawDialOver(t, srv, near, &halfClosing{odd(far)})
		p.runHandshake()
		within(t, "graceful close", netconn.CloseTime, slack, func() {
			p.write([]byte(violations[0].frames))
			p.read()
			<-p.served
		})
		near.Close()
		srv.Close()
	})
}

// A halfClosing is a connection whose writing half can be closed.
type halfClosing struct{ net.Conn }

func (halfClosing) CloseWrite() error { return nil }

// A net.Conn that panics, exits the goroutine or returns invalid counts only ends its
// own connection.
func TestFaultyConnections(t *testing.T) {
	for name, spoil := range map[string]func(b []byte) (int, error){
		"panic":     func([]byte) (int, error) { panic("on purpose") },
		"goexit":    func([]byte) (int, error) { runtime.Goexit(); return 0, nil },
		"too many":  func(b []byte) (int, error) { return len(b) + 1, nil },
		"negative":  func([]byte) (int, error) { return -1, nil },
		"too few":   func([]byte) (int, error) { return 0, nil },
		"odd error": func([]byte) (int, error) { return 0, ownTimeout{} },
	} {
		for _, side := range []string{"reading", "writing"} {
			for _, how := range []string{"proper", "refused"} {
				t.Run(name+"/"+side+"/"+how, func(t *testing.T) {
					for _, end := range []string{"client", "server"} {
						for _, wire := range []string{"native", "basic"} {
							synctest.Test(t, func(t *testing.T) {
								var spoiled *spoilingConn
								p := newOddPair(t, end, wire, func(nc net.Conn) net.Conn {
									spoiled = &spoilingConn{oddConn: oddConn{nc, how}, side: side, spoil: spoil}
									return spoiled
								})
								spoiled.on.Store(true)
								start := time.Now()
								var err error
								for err == nil { // what is under way already is not spoiled
									ended := make(chan struct{})
									go func() { // which a Goexit ends
										defer close(ended)
										err = io.EOF
										_, err = p.sum(context.Background(), 1, 2)
									}()
									<-ended
								}
								if took := time.Since(start); took > netconn.CloseTime {
									t.Errorf("%s, %s: a call took %v: %v", end, wire, took, err)
								}
								p.end()
							})
						}
					}
				})
			}
		}
	}
}

// A spoilingConn changes the results of Read or Write while it is on.
type spoilingConn struct {
	oddConn
	side  string
	on    atomic.Bool
	spoil func(b []byte) (int, error)
}

func (c *spoilingConn) Read(b []byte) (int, error) {
	if c.side == "reading" && c.on.Load() {
		return c.spoil(b)
	}
	return c.oddConn.Read(b)
}

func (c *spoilingConn) Write(b []byte) (int, error) {
	if c.side == "writing" && c.on.Load() {
		return c.spoil(b)
	}
	return c.oddConn.Write(b)
}
