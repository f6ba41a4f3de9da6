package bsrpc

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// A fromConn is a connection from an address.
type fromConn struct {
	net.Conn
	ip string
}

func (c fromConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(c.ip), Port: 1} }

// rawDialFrom is rawDial from an address.
func rawDialFrom(t testing.TB, srv *Server, ip string) *rawPeer {
	near, far := net.Pipe()
	return rawDialOver(t, srv, near, fromConn{far, ip})
}

// isDropped reports whether the server has closed the connection of p.
func isDropped(p *rawPeer) bool {
	select {
	case err := <-p.served:
		p.served <- err
		return true
	default:
		return false
	}
}

// A flood of connections replaces its own, and not a slow client from another address. Of
// IPv6 a network of 64 bits is one address.
func TestMaxHandshakesByAddress(t *testing.T) {
	for _, flood := range []func(int) string{
		func(int) string { return "10.0.0.1" },
		func(i int) string {
			return net.IP{0x20, 1, 13, 0xb8, 0, 0, 0, 0, byte(i), byte(i >> 8), 15: 1}.String()
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			srv := testeeServer(t, newTestee(), &ServerOptions{Limits: Limits{MaxHandshakes: 16}})
			slow := []*rawPeer{rawDialFrom(t, srv, "10.0.0.2"), rawDialFrom(t, srv, "2001:db9::1"), rawDialFrom(t, srv, "10.0.0.2")}
			var crowd []*rawPeer
			for i := range 200 {
				crowd = append(crowd, rawDialFrom(t, srv, flood(i)))
			}
			time.Sleep(2 * dropTime)
			for i, p := range slow {
				if isDropped(p) {
					t.Errorf("the slow client %d is dropped", i)
				}
			}
			dropped := 0
			for _, p := range crowd {
				if isDropped(p) {
					dropped++
				}
			}
			if dropped != 200+3-16 {
				t.Errorf("%d connections of the flood are dropped, want %d", dropped, 200+3-16)
			}
			slow[0].runHandshake()
			for _, p := range append(slow, crowd...) {
				p.nc.Close()
				<-p.served
			}
			srv.Close()
			checkBooked(t, srv)
		})
	}
}

// A server without descriptors, far below MaxHandshakes, makes room: the older half of the
// silent connections of one address goes, and a slow client of another one stays.
func TestDescriptorsOfHandshakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), nil)
		slow := rawDialFrom(t, srv, "10.0.0.2")
		var crowd []*rawPeer
		for range 8 {
			crowd = append(crowd, rawDialFrom(t, srv, "10.0.0.1"))
		}
		synctest.Wait()
		l := newMemListener()
		served := make(chan error, 1)
		go func() { served <- srv.Serve(l) }()
		l.errs <- temporary{}
		time.Sleep(2 * dropTime)
		if n := len(slices.DeleteFunc(slices.Clone(crowd), isDropped)); n != 4 {
			t.Errorf("%d of 8 are left", n)
		}
		slow.runHandshake()
		for _, p := range append(crowd, slow) {
			p.nc.Close()
			<-p.served
		}
		srv.Close()
		<-served
		checkBooked(t, srv)
	})
}

// Clients of one address, with an Authenticate that takes its time, do not keep those of another
// address from being asked.
func TestSlowAuthenticateByAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), &ServerOptions{Limits: Limits{MaxHandshakes: 8}, Authenticate: func(ctx context.Context, p *Peer, _ Credentials) error {
			if strings.HasPrefix(p.Addr.String(), "10.0.0.1:") {
				<-ctx.Done()
			}
			return nil
		}})
		var crowd []*rawPeer
		for range 50 {
			p := rawDialFrom(t, srv, "10.0.0.1")
			p.write(wire.AppendClientInit(nil, &wire.Hello{Version: 1}))
			crowd = append(crowd, p)
		}
		time.Sleep(time.Second)
		other := rawDialFrom(t, srv, "10.0.0.2")
		other.runHandshake()
		for _, p := range append(crowd, other) {
			p.nc.Close()
			<-p.served
		}
		srv.Close()
		checkBooked(t, srv)
	})
}

// A lateConn writes nothing before late is closed.
type lateConn struct {
	net.Conn
	late chan struct{}
}

func (c *lateConn) Write(b []byte) (int, error) {
	<-c.late
	return c.Conn.Write(b)
}

// A dropped client reads why, also if its INIT comes after the end.
func TestMaxHandshakesIsNamed(t *testing.T) {
	lines, logger := linesAt(slog.LevelWarn)
	srv := testeeServer(t, newTestee(), &ServerOptions{Logger: logger, Limits: Limits{MaxHandshakes: 1}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	defer srv.Close()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	late := make(chan struct{})
	failed := make(chan error, 1)
	go func() {
		_, err := NewClient(t.Context(), &lateConn{nc, late}, nil)
		failed <- err
	}()
	eventually(t, func() string {
		if srv.handshaking.Count() == 1 {
			return ""
		}
		return "the client is not in its handshake"
	})
	other, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	eventually(t, func() string {
		if strings.Contains(lines.String(), "MaxHandshakes") {
			return ""
		}
		return "no line: " + lines.String()
	})
	close(late)
	err = <-failed
	var e *Error
	if !errors.As(err, &e) || e.Code != CodeResourceExhausted || e.Outcome != OutcomeNotRun || !strings.Contains(e.Message, "the server has Limits.MaxHandshakes (1) unfinished handshakes") {
		t.Errorf("got %v", err)
	}
}

// An address whose connections violate the protocol, or fail in the handshake, waits with its next
// handshakes. Connections of others, and its own open ones, do not.
func TestFailuresPauseAnAddress(t *testing.T) {
	for name, fail := range map[string]func(p *rawPeer){
		"violations": func(p *rawPeer) {
			p.runHandshake()
			p.send(wire.Frame{Type: wire.Admitted}, nil)
			p.wantClose(CodeInternal, "unexpected")
		},
		"HTTP":          func(p *rawPeer) { p.nc.Write([]byte("GET / HTTP/1.1\r\n\r\n")) },
		"gone at once":  func(*rawPeer) {},
		"odd INIT":      func(p *rawPeer) { p.write([]byte("\x06\x00\x00\x00\x00\xff")) },
		"another frame": func(p *rawPeer) { p.write([]byte("\x06\x00\x00\x00\x02\xff")) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := testeeServer(t, newTestee(), nil)
				took := func(ip string) time.Duration {
					p, began := rawDialFrom(t, srv, ip), time.Now()
					p.runHandshake()
					d := time.Since(began)
					p.nc.Close()
					<-p.served
					return d
				}
				open := rawDialFrom(t, srv, "10.0.0.1")
				open.runHandshake()
				for range 25 {
					p := rawDialFrom(t, srv, "10.0.0.1")
					go func() { // the server may have stopped reading
						fail(p)
						p.nc.Close()
					}()
					<-p.served
				}
				if d := took("10.0.0.1"); d < 100*time.Millisecond || d > time.Second {
					t.Errorf("a new connection of the address took %v", d)
				}
				if d := took("10.0.0.2"); d != 0 {
					t.Errorf("one of another address took %v", d)
				}
				began := time.Now()
				open.send(wire.Frame{Type: wire.Request, Arg: rawAdd, ID: 9}, []byte(u32(1)+u32(2)))
				if f, _ := open.read(); f.Type != wire.Response || time.Since(began) != 0 {
					t.Errorf("%v after %v", f.Type, time.Since(began))
				}
				open.nc.Close()
				<-open.served
				time.Sleep(4 * time.Second)
				if d := took("10.0.0.1"); d != 0 {
					t.Errorf("four seconds later: %v", d)
				}
				srv.Close()
				checkBooked(t, srv)
			})
		})
	}
}
