package bsrpc

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// nativeInit returns an INIT of a client with the given fields.
func nativeInit(version byte, fields string) string {
	payload := "\x00\x00\x01bsrp" + string([]byte{version}) + fields
	return u32(uint32(5+len(payload))) + "\x00" + payload
}

// The answers of a server to all kinds of first frames.
func TestFirstFramesOfClients(t *testing.T) {
	const basic, native, closed = "basic", "native", "closed"
	for _, tt := range []struct {
		name, frame string
		answer      string // an EXCEPTION, a native refusal, or none
		want        string // in the answer and in ServeConn's error
	}{
		{"another native version", nativeInit(2, ""), native, "the client speaks version 2 of the native wire, this end version 1"},
		{"a future version with other fields", nativeInit(255, "anything"), native, "the client speaks version 255 of the native wire, this end version 1"},
		{"critical field", nativeInit(1, "\x01\x80\x00\x00\x00\x00"), native, "INIT: unknown field 0x8001 is required by the peer"},
		{"field that lies", nativeInit(1, "\x01\x00\xff\xff\xff\xff"), native, "INIT: want "},
		{"field cut", nativeInit(1, "\x01"), native, "INIT: want 2 bytes, have 1"},
		{"basic peer", u32(8) + "\x00\x00\x00\x01", basic, "this server does not speak the basic wire (ServerOptions.Basic)"},
		{"another basic major version", u32(8) + "\x00\x07\x00\x00", basic, "this server does not speak the basic wire (ServerOptions.Basic)"},
		{"marker cut", u32(12) + "\x00\x00\x00\x01bsrp", basic, "this server does not speak the basic wire"},
		{"INIT of two bytes", u32(7) + "\x00\x00\x00", basic, "Cannot deserialize version, insufficient bytes: 2. Expected 3"},
		{"empty INIT", u32(5) + "\x00", basic, "Cannot deserialize version, insufficient bytes: 0. Expected 3"},
		{"basic request first", u32(8) + "\x01\x00\x00\x00", basic, "Need to initialize connection first"},
		{"native request first", rawHead(24, wire.Request, 0, 0, 1) + u64(0), basic, "Need to initialize connection first"},
		{"size 0", u32(0) + "\x00", closed, "Reported message size too small: 0"},
		{"size below the head", u32(4) + "\x00", closed, "Reported message size too small: 4"},
		{"size above the most", u32(5+8193) + "\x00", closed, "has a payload of 8193 bytes"},
		{"greatest size", u32(1<<32-1) + "\x00", closed, "has a payload of 4294967290 bytes"},
		{"HTTP GET", "GET / HTTP/1.1\r\n\r\n", closed, `the peer speaks HTTP ("GET /")`},
		{"HTTP POST", "POST /rpc HTTP/1.1\r\n\r\n", closed, "the peer speaks HTTP"},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", closed, "the peer speaks HTTP"},
		{"TLS", "\x16\x03\x01\x00\xf1\x01\x00\x00", closed, "the peer speaks TLS, this end does not"},
		{"SSH", "SSH-2.0-OpenSSH_9.6\r\n", closed, "the peer speaks SSH"},
		{"bytes that would forge a log line", "\r\n\x1b[2J\xff", closed, `("\r\n\x1b[2")`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := testeeServer(t, newTestee(), nil)
				stop := witness(t, srv)
				p := rawDial(t, srv)
				go p.nc.Write([]byte(tt.frame))
				switch tt.answer {
				case basic:
					typ, payload := p.readBasic()
					name, text, err := wire.ReadException(payload)
					if typ != wire.Exception || name == "" || !strings.Contains(text, tt.want) || err != nil {
						t.Errorf("got %v, %q, %q, %v", typ, name, text, err)
					}
				case native:
					typ, payload := p.readBasic()
					h, err := wire.ReadServerInit(payload)
					if typ != wire.Init || err != nil || Code(h.RefusalCode) != CodeFailedPrecondition || !strings.Contains(h.Refusal, tt.want) {
						t.Errorf("got %v, %+v, %v", typ, h, err)
					}
				}
				p.wantEnd()
				if err := <-p.served; err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("ServeConn: got %v, want %q", err, tt.want)
				}
				stop()
				srv.Close()
				checkBooked(t, srv)
			})
		})
	}
}

// An unknown optional field has no effect.
func TestUnknownInitField(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), nil)
		p := rawDial(t, srv)
		p.write([]byte(nativeInit(1, "\x34\x12\x03\x00\x00\x00abc")))
		typ, payload := p.readBasic()
		h, err := wire.ReadServerInit(payload)
		if typ != wire.Init || err != nil || h.Waiting || h.RefusalCode != 0 || h.MaxMessage != 16<<20 || h.ConnBytes != 32<<20 || h.MaxInflight != 1024 {
			t.Errorf("got %v, %+v, %v", typ, h, err)
		}
		p.nc.Close()
		<-p.served
		srv.Close()
	})
}

// The reactions of a client to the first frame of a server.
func TestFirstFramesOfServers(t *testing.T) {
	for _, tt := range []struct {
		name, answer string
		want         string
		remote       bool
	}{
		{"another native version", u32(11) + "\x00\x01bsrp\x02", "handshake: the server speaks version 2 of the native wire, this end version 1", false},
		{"basic server", u32(6) + "\x00\x01", "handshake: the server speaks only the basic wire", false},
		{"basic server that refuses", u32(6) + "\x00\x00", "handshake: the server speaks only the basic wire", false},
		{"EXCEPTION", string(wire.AppendException(nil, "ProtocolError", "go away")), "go away", true},
		{"EXCEPTION that lies", u32(13) + "\x04\xff\xff\xff\xff\x00\x00\x00\x00", "handshake: answer to INIT: EXCEPTION: want", false},
		{"refusal", string(wire.AppendServerInit(nil, &wire.Hello{Version: 1, RefusalCode: 8, Refusal: "full"})), "full", true},
		{"critical field", u32(17) + "\x00\x01bsrp\x01\x01\x80\x00\x00\x00\x00", "handshake: answer to INIT: unknown field 0x8001 is required", false},
		{"empty answer", u32(5) + "\x00", "handshake: answer to INIT: empty response", false},
		{"another frame", u32(5) + "\x02", "handshake: answer to INIT: type 0x02", false},
		{"nothing", "", "bsrpc: handshake: the server closed the connection before answering INIT; is it shutting down, or does it expect TLS?", false},
		{"cut", u32(11) + "\x00\x01bs", "handshake: the server closed the connection before answering INIT", false},
		{"lying length", u32(1<<32-1) + "\x00", "it does not speak bsrpc", false},
		{"HTTP", "HTTP/1.1 400 Bad Request\r\n\r\n", "handshake: the peer is an HTTP server", false},
		{"TLS", "\x15\x03\x01\x00\x02\x02\x28", "handshake: the peer speaks TLS, this end does not; set ClientOptions.TLS", false},
		{"SSH", "SSH-2.0-OpenSSH_9.6\r\n", "handshake: the peer speaks SSH", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				p := &rawPeer{t: t, nc: far}
				go func() {
					p.readBasic()
					far.Write([]byte(tt.answer))
					far.Close()
				}()
				client, err := NewClient(context.Background(), near, nil)
				var e *Error
				if client != nil || !errors.As(err, &e) || e.Outcome != OutcomeNotRun || e.Remote != tt.remote || !strings.Contains(e.Error(), tt.want) {
					t.Errorf("got %v, %v; want %q", client, err, tt.want)
				}
				if _, err := near.Write(nil); err != io.ErrClosedPipe {
					t.Errorf("the connection is left open: %v", err)
				}
			})
		})
	}
}

// HandshakeTimeout is one moment from the beginning, whatever arrives.
func TestHandshakeTimeoutIsExact(t *testing.T) {
	first := nativeInit(1, "")
	for n := range first {
		synctest.Test(t, func(t *testing.T) {
			srv := testeeServer(t, newTestee(), &ServerOptions{HandshakeTimeout: 7 * time.Second})
			p := rawDial(t, srv)
			start := time.Now()
			for i := range n { // slowly: what comes does not renew the time
				time.Sleep(500 * time.Millisecond / time.Duration(n))
				p.write([]byte(first[i : i+1]))
			}
			typ, payload := p.readBasic()
			if h, err := wire.ReadServerInit(payload); typ != wire.Init || err != nil || Code(h.RefusalCode) != CodeUnavailable || !strings.Contains(h.Refusal, "no whole INIT in 7s (the server's HandshakeTimeout)") {
				t.Errorf("after %d bytes: %v, %+v, %v", n, typ, h, err)
			}
			p.wantEnd()
			if took := time.Since(start); took != 7*time.Second {
				t.Errorf("after %d bytes: ended after %v", n, took)
			}
			if err := <-p.served; !netconn.IsTimeout(err) {
				t.Errorf("ServeConn: %v", err)
			}
			srv.Close()
		})
	}
}

// HandshakeTimeout also limits the writing of the answer, but not the session.
func TestHandshakeTimeoutEndsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), nil)
		p := rawDial(t, srv)
		start := time.Now()
		p.write([]byte(nativeInit(1, "")))
		if err := <-p.served; !netconn.IsTimeout(err) || time.Since(start) != 10*time.Second {
			t.Errorf("a peer that does not read: %v after %v", err, time.Since(start))
		}
		quietPeer := rawClient(t, srv)
		time.Sleep(time.Hour)
		quietPeer.wantAlive(2)
		quietPeer.nc.Close()
		<-quietPeer.served
		srv.Close()
	})
}

// DialTimeout and the context of NewClient, with a server that sends nothing.
func TestDialTimeoutIsExact(t *testing.T) {
	for _, tt := range []struct {
		name    string
		opts    *ClientOptions
		timeout time.Duration // of the context
		want    time.Duration
	}{
		{"default", nil, 0, 10 * time.Second},
		{"option", &ClientOptions{DialTimeout: 3 * time.Second}, 0, 3 * time.Second},
		{"context", &ClientOptions{DialTimeout: NoLimit}, 25 * time.Second, 25 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				go io.Copy(io.Discard, far)
				ctx, cancel := context.Background(), context.CancelFunc(func() {})
				if tt.timeout > 0 {
					ctx, cancel = context.WithTimeout(ctx, tt.timeout)
				}
				defer cancel()
				start := time.Now()
				_, err := NewClient(ctx, near, tt.opts)
				var e *Error
				if !errors.As(err, &e) || !errors.Is(err, context.DeadlineExceeded) || e.Outcome != OutcomeNotRun {
					t.Errorf("got %#v", err)
				}
				if took := time.Since(start); took != tt.want {
					t.Errorf("after %v, want %v", took, tt.want)
				}
				far.Close()
			})
		})
	}
}

// MaxHandshakes drops the oldest connection. A quick client gets in beside any number
// of slow peers.
func TestMaxHandshakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), &ServerOptions{Limits: Limits{MaxHandshakes: 3}})
		var idle []*rawPeer
		for range 5 {
			idle = append(idle, rawDial(t, srv))
			time.Sleep(2 * dropTime) // to write the reason
		}
		for i, p := range idle[:2] {
			select {
			case err := <-p.served:
				if err == nil {
					t.Errorf("the connection %d: no error", i)
				}
			default:
				t.Errorf("the connection %d is not dropped", i)
			}
		}
		client, proxy := testeeClient(t, srv, nil) // one more: the oldest of three goes
		if sum, err := proxy.Add(t.Context(), 1, 2); sum != 3 || err != nil {
			t.Errorf("got %d, %v", sum, err)
		}
		<-idle[2].served
		synctest.Wait()
		for i, p := range idle[3:] {
			select {
			case err := <-p.served:
				t.Errorf("the connection %d is dropped: %v", 3+i, err)
			default:
			}
			p.nc.Close()
			<-p.served
		}
		client.Close()
		srv.Close()
		checkBooked(t, srv)
	})
}

// A client whose admission is being written cannot be dropped any more: it would read two
// answers. The end of the server does not wait for it.
func TestAdmittedIsNotDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), &ServerOptions{Limits: Limits{MaxHandshakes: 1}})
		var admitted []*rawPeer
		for range 3 {
			p := rawDial(t, srv)
			p.write(wire.AppendClientInit(nil, &wire.Hello{Version: 1}))
			synctest.Wait() // the server writes the answer
			admitted = append(admitted, p)
		}
		time.Sleep(2 * dropTime)
		for i, p := range admitted[:2] {
			if typ, payload := p.readBasic(); typ != wire.Init || payload[0] != 1 {
				t.Errorf("client %d: got %v %q", i, typ, payload)
			}
			r := wire.BindRequest{Service: "Probe", Names: []string{"Add"}}
			p.send(wire.Frame{Type: wire.Bind, Flags: wire.Describe, ID: 1}, r.Append(nil))
			p.wantAnswer(1)
			p.wantAlive(2)
		}
		began := time.Now()
		srv.Close()
		if took := time.Since(began); took > time.Second {
			t.Errorf("Close took %v", took)
		}
		for _, p := range admitted {
			<-p.served
			p.nc.Close()
		}
		checkBooked(t, srv)
	})
}

// MaxConns refuses with a reason, and admits again after a connection has ended.
func TestMaxConns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), &ServerOptions{Limits: Limits{MaxConns: 2}})
		first, _ := testeeClient(t, srv, nil)
		second, proxy := testeeClient(t, srv, nil)
		refused := func() error {
			near, far := net.Pipe()
			go srv.ServeConn(far)
			client, err := NewClient(t.Context(), near, nil)
			if err == nil {
				client.Close()
			}
			return err
		}
		err := refused()
		var e *Error
		if !errors.As(err, &e) || e.Code != CodeResourceExhausted || !e.Remote || e.Outcome != OutcomeNotRun || !strings.Contains(e.Message, "Limits.MaxConns (2)") {
			t.Errorf("got %#v", err)
		}
		if _, err := proxy.Add(t.Context(), 1, 2); err != nil {
			t.Error(err)
		}
		first.Close()
		synctest.Wait()
		if err := refused(); err != nil {
			t.Errorf("with room again: %v", err)
		}
		second.Close()
		srv.Close()
		checkBooked(t, srv)
	})
}

// A TLS client at a plain port fails soon, on real sockets.
func TestTLSClientAtPlainServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := testeeServer(t, newTestee(), nil)
	var served sync.WaitGroup
	served.Add(1)
	go func() { defer served.Done(); srv.Serve(l) }()
	_, err = tls.Dial("tcp", l.Addr().String(), &tls.Config{ServerName: "x"})
	if err == nil {
		t.Error("a TLS handshake with a plain server succeeded")
	}
	srv.Close()
	served.Wait()
}

// Before a client has proved who it is, it takes little more memory than the bytes received, whatever
// it announces, and with the longest INIT or AUTH less than 64 KiB.
func TestHandshakeHoldsLittle(t *testing.T) {
	init := string(wire.AppendClientInit(nil, &wire.Hello{Version: 1, Auth: true}))
	for _, tt := range []struct {
		name, frame string
		most        int // bytes of memory for each connection
	}{
		{"nothing", "", 16 << 10},
		{"INIT announced", u32(5+wire.MaxInit) + "\x00", 16 << 10},
		{"INIT but for a byte", u32(5+wire.MaxInit) + "\x00" + strings.Repeat("\x00", wire.MaxInit-1), 64 << 10},
		{"AUTH announced", init + rawHead(wire.MaxAuth, wire.Auth, 0, 0, 0), 16 << 10},
		{"AUTH but for a byte", init + rawHead(wire.MaxAuth, wire.Auth, 0, 0, 0) + strings.Repeat("\x00", wire.MaxAuth-16-1), 64 << 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := testeeServer(t, newTestee(), &ServerOptions{HandshakeTimeout: time.Hour, Authenticate: nameByUser})
				peers := make([]*rawPeer, 50)
				before := heap()
				for i := range peers {
					peers[i] = rawDial(t, srv)
					peers[i].write([]byte(tt.frame))
				}
				synctest.Wait()
				if used := (heap() - before) / len(peers); used > tt.most {
					t.Errorf("%d bytes of heap for each connection, want at most %d", used, tt.most)
				}
				for _, p := range peers {
					p.nc.Close()
					<-p.served
				}
				srv.Close()
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // the longest INIT is read whole, and refused
		srv := testeeServer(t, newTestee(), nil)
		p := rawDial(t, srv)
		p.write([]byte(u32(5+wire.MaxInit) + "\x00"))
		p.write(make([]byte, wire.MaxInit))
		if typ, _ := p.readBasic(); typ != wire.Exception {
			t.Errorf("got %v", typ)
		}
		p.wantEnd()
		<-p.served
		srv.Close()
	})
}

// A waiting client may not call: nothing runs, and it keeps its place. One that leaves and comes back
// goes to the end of the queue.
func TestWaitingClientsMayNotCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := newTestee()
		srv := testeeServer(t, service, &ServerOptions{MaxSessions: 1})
		holder, proxy := testeeClient(t, srv, nil)
		enter := func() *rawPeer {
			p := rawDial(t, srv)
			p.write(firstInit)
			if typ, payload := p.readBasic(); typ != wire.Init || payload[0] != 0 {
				t.Fatalf("got %v %q", typ, payload)
			}
			return p
		}
		refused := func(p *rawPeer, id uint64) {
			t.Helper()
			f, body := p.skipTo(wire.Error)
			failure, err := wire.ReadFailure(body)
			if f.ID != id || Code(f.Arg) != CodeFailedPrecondition || f.Flags != wire.NotRun || err != nil || !strings.Contains(failure.Message, "the session is not admitted yet; wait for ADMITTED") {
				t.Errorf("got %v, %v, %q", f, Code(f.Arg), failure.Message)
			}
		}
		first, returns := enter(), enter()
		third := enter()
		r := wire.BindRequest{Service: "Probe", Names: []string{"Hold"}}
		first.send(wire.Frame{Type: wire.Bind, Flags: wire.Describe, ID: 1}, r.Append(nil))
		refused(first, 1)
		for id := uint64(2); id < 5; id++ {
			first.request(id, 0, "")
			refused(first, id)
		}
		first.write(bigRequest(5, 0, 1<<20, 0))
		refused(first, 5)
		synctest.Wait()
		if n := len(service.began); n != 0 {
			t.Errorf("%d handlers have begun", n)
		}
		returns.nc.Close()
		<-returns.served
		again := enter()
		if sum, err := proxy.Add(t.Context(), 1, 2); sum != 3 || err != nil {
			t.Errorf("the holder: %d, %v", sum, err)
		}
		holder.Close()
		for i, p := range []*rawPeer{first, third, again} {
			p.skipTo(wire.Admitted)
			if n := len(srv.Sessions()); n != 1 {
				t.Errorf("client %d: %d sessions", i, n)
			}
			r := wire.BindRequest{Service: "Probe", Names: []string{"Add"}}
			p.send(wire.Frame{Type: wire.Bind, Flags: wire.Describe, ID: 10}, r.Append(nil))
			p.wantAnswer(10)
			p.wantAlive(11)
			p.nc.Close()
			<-p.served
		}
		srv.Close()
		checkBooked(t, srv)
	})
}
