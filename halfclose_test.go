package bsrpc

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A duplex is one end of a connection in memory whose halves close one by one.
type duplex struct {
	net.Conn // what is read
	out      net.Conn
}

func (d *duplex) Write(b []byte) (int, error)        { return d.out.Write(b) }
func (d *duplex) CloseWrite() error                  { return d.out.Close() }
func (d *duplex) SetWriteDeadline(t time.Time) error { return d.out.SetWriteDeadline(t) }

func (d *duplex) SetDeadline(t time.Time) error {
	d.out.SetWriteDeadline(t)
	return d.SetReadDeadline(t)
}

func (d *duplex) Close() error {
	d.out.Close()
	return d.Conn.Close()
}

func duplexPair() (near, far *duplex) {
	a, b := net.Pipe()
	c, d := net.Pipe()
	return &duplex{a, c}, &duplex{d, b}
}

// halfClient connects a basic client by a duplex.
func halfClient(t *testing.T, srv *Server) *rawPeer {
	near, far := duplexPair()
	p := rawDialOver(t, srv, near, far)
	p.ask(basicInit, basicAdmitted)
	return p
}

// halves are methods: quick, slow, or waiting for others.
type halves struct{}

func (halves) Quick(n uint32) uint32 { return n }
func (halves) Slow(n uint32) uint32  { time.Sleep(3 * time.Millisecond); return n }
func (halves) Alone(n uint32) uint32 { time.Sleep(3 * time.Millisecond); return n }

type halvesContract struct {
	Quick func(n uint32) (uint32, error) `bsrpc:"id=0"`
	Slow  func(n uint32) (uint32, error) `bsrpc:"id=1"`
	Alone func(n uint32) (uint32, error) `bsrpc:"id=2,exclusive=one"`
}

// A basic client that has half-closed its connection gets the answers to all its
// requests: quick, slow or waiting for others. Then the connection ends.
func TestBasicHalfCloseIsAnswered(t *testing.T) {
	srv := NewServer(&ServerOptions{Basic: true, Logger: quiet})
	if err := RegisterAs[halvesContract](srv, "Halves", halves{}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	var asked, want strings.Builder
	asked.WriteString(basicInit)
	want.WriteString(basicAdmitted)
	for n := range uint32(12) {
		asked.WriteString(command(uint16(n%3), u32(n)))
		want.WriteString("\x09\x00\x00\x00\x01" + u32(n))
	}
	crowd := 20
	if !LongTests {
		crowd = 5
	}
	var clients sync.WaitGroup
	for range crowd {
		clients.Go(func() {
			nc, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			defer nc.Close()
			io.WriteString(nc, asked.String())
			nc.(*net.TCPConn).CloseWrite()
			if got, err := io.ReadAll(nc); string(got) != want.String() || err != nil {
				t.Errorf("got %d of %d bytes, %v", len(got), want.Len(), err)
			}
		})
	}
	clients.Wait()
	srv.Close()
}

// After a half-close, a handler gets the time of a silent peer. An idle connection
// ends at once, as does one with a truncated last frame.
func TestBasicHalfCloseHasAnEnd(t *testing.T) {
	for _, tt := range []struct {
		name   string
		opts   ServerOptions
		asks   string
		after  time.Duration // what the handler takes
		answer bool
		lasts  time.Duration
	}{
		{"idle", ServerOptions{}, "", 0, false, 0},
		{"quick", ServerOptions{}, command(7, ""), 0, true, 0},
		{"slow", ServerOptions{}, command(7, ""), 49 * time.Second, true, 49 * time.Second},
		{"cut behind", ServerOptions{}, command(7, "") + "\x09\x00", 3 * time.Second, true, 3 * time.Second},
		{"too slow", ServerOptions{}, command(7, ""), time.Hour, false, 50 * time.Second},
		{"too slow, by PingAfter", ServerOptions{Limits: Limits{PingAfter: time.Second, PingTimeout: time.Second}}, command(7, ""), time.Hour, false, 2 * time.Second},
		{"too slow, by SessionLease", ServerOptions{MaxSessions: 1}, command(7, ""), time.Hour, false, 20 * time.Second},
		{"without an end", ServerOptions{Limits: Limits{PingAfter: NoLimit}}, command(7, ""), time.Hour / 2, true, time.Hour / 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opts := tt.opts
				opts.Basic, opts.Logger = true, quiet
				srv := NewServer(&opts)
				if err := RegisterAs[struct {
					Wait func() (bool, error) `bsrpc:"id=7"`
				}](srv, "Half", &waitsFor{tt.after}); err != nil {
					t.Fatal(err)
				}
				p := halfClient(t, srv)
				p.write([]byte(tt.asks))
				start := time.Now()
				p.nc.(*duplex).CloseWrite()
				if tt.answer {
					p.wantBytes("\x06\x00\x00\x00\x01\x01")
				}
				p.wantEnd()
				if took := time.Since(start); took != tt.lasts {
					t.Errorf("it lasted %v, want %v", took, tt.lasts)
				}
				p.nc.Close()
				<-p.served
				time.Sleep(tt.after)
				srv.Close()
				checkBooked(t, srv)
			})
		})
	}
}

type waitsFor struct{ d time.Duration }

func (w *waitsFor) Wait() bool { time.Sleep(w.d); return true }

// A disconnected client is noticed when an answer cannot be written, and at once after
// a reset.
func TestBasicHalfCloseOfOneThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clerk := newBasicClerk()
		srv := basicServer(t, clerk, nil)
		p := halfClient(t, srv)
		p.write([]byte(command(2, u32(1)+u32(2)) + command(2, u32(1)+u32(2))))
		p.nc.Close()
		if err := <-p.served; err == nil || err == io.EOF {
			t.Errorf("ServeConn: %v", err)
		}
		srv.Close()
		checkBooked(t, srv)
	})
}
