package bsrpc

import (
	"bytes"
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// authServer returns a server with the methods of rawClient and an Authenticate for the token
// "open".
func authServer(t *testing.T) *Server {
	return testeeServer(t, newTestee(), &ServerOptions{Authenticate: func(_ context.Context, p *Peer, c Credentials) error {
		if !c.HasToken("open") {
			return errTestAuth
		}
		p.Name = c.User()
		return nil
	}})
}

var errTestAuth = &Error{Code: CodeInternal, Message: "details"}

// authBytes returns an AUTH frame.
func authBytes(t *testing.T, user, token string) []byte {
	t.Helper()
	b, err := wire.AppendAuth(nil, user, token)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// INIT, AUTH and BIND may be one flight, of a single write or of one for each byte.
func TestHandshakeInOneFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := wire.BindRequest{Service: "Probe", Names: []string{"Add"}}
		flight := wire.AppendClientInit(nil, &wire.Hello{Version: 1, Auth: true})
		flight = append(flight, authBytes(t, "ann", "open")...)
		flight = append(flight, frameBytes(wire.Frame{Type: wire.Bind, Flags: wire.Describe, ID: 1}, r.Append(nil))...)
		for _, step := range []int{1, len(flight)} {
			srv := authServer(t)
			p := rawDial(t, srv)
			written := make(chan struct{})
			go func() {
				defer close(written)
				for part := range slices.Chunk(flight, step) {
					p.nc.Write(part)
				}
			}()
			if typ, payload := p.readBasic(); typ != wire.Init {
				t.Fatalf("got %v %q", typ, payload)
			}
			p.wantAnswer(1)
			<-written
			if got := srv.Sessions()[0].Peer().Name; got != "ann" {
				t.Errorf("the name is %q", got)
			}
			p.nc.Close()
			srv.Close()
		}
	})
}

// Whatever an unproved client sends, it learns the same, and nothing else of it is read.
func TestHandshakeOfTheUnproved(t *testing.T) {
	init := wire.AppendClientInit(nil, &wire.Hello{Version: 1, Auth: true})
	plain := wire.AppendClientInit(nil, &wire.Hello{Version: 1})
	r := wire.BindRequest{Service: "Probe", Names: []string{"Add"}}
	bind := frameBytes(wire.Frame{Type: wire.Bind, Flags: wire.Describe, ID: 1}, r.Append(nil))
	long := append(frameBytes(wire.Frame{Type: wire.Auth}, nil), make([]byte, wire.MaxAuth-15)...)
	long[0], long[1] = byte(len(long)), byte(len(long)>>8)
	for _, test := range []struct {
		name string
		sent []byte
	}{
		{"wrong token", append(init[:len(init):len(init)], authBytes(t, "ann", "sesame")...)},
		{"no credentials", append(init[:len(init):len(init)], authBytes(t, "", "")...)},
		{"no AUTH announced", plain},
		{"AUTH without its announcement", append(plain[:len(plain):len(plain)], authBytes(t, "ann", "open")...)},
		{"BIND in place of AUTH", append(init[:len(init):len(init)], bind...)},
		{"reserved flags", append(init[:len(init):len(init)], frameBytes(wire.Frame{Type: wire.Auth, Flags: 1}, nil)...)},
		{"an id", append(init[:len(init):len(init)], frameBytes(wire.Frame{Type: wire.Auth, ID: 1}, nil)...)},
		{"a cut field", append(init[:len(init):len(init)], frameBytes(wire.Frame{Type: wire.Auth}, []byte{1, 0, 9, 0, 0, 0, 'a'})...)},
		{"an unknown required field", append(init[:len(init):len(init)], frameBytes(wire.Frame{Type: wire.Auth}, []byte{1, 0x80, 0, 0, 0, 0})...)},
		{"a frame above 8 KiB", append(init[:len(init):len(init)], long...)},
		{"a frame too short", append(init[:len(init):len(init)], 5, 0, 0, 0, byte(wire.Auth))},
		{"a size below a header", append(init[:len(init):len(init)], 4, 0, 0, 0, byte(wire.Auth))},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := authServer(t)
				p := rawDial(t, srv)
				go p.nc.Write(append(test.sent[:len(test.sent):len(test.sent)], bind...))
				typ, payload := p.readBasic()
				h, err := wire.ReadServerInit(payload)
				if typ != wire.Init || err != nil || h.RefusalCode != uint16(CodeUnauthenticated) || !strings.HasPrefix(h.Refusal, "bsrpc: unauthenticated (id ") || strings.Contains(h.Refusal, "details") {
					t.Errorf("got %v %q, %v", typ, payload, err)
				}
				if h.RefusalCode, h.Refusal = 0, ""; *h != (wire.Hello{Version: 1}) {
					t.Errorf("a stranger learns %+v", *h)
				}
				p.nc.Close()
				srv.Close()
			})
		})
	}
}

// A client on a slow network reads why it was refused.
func TestUnauthenticatedReadsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := authServer(t)
		p := rawDial(t, srv)
		init := wire.AppendClientInit(nil, &wire.Hello{Version: 1, Auth: true})
		p.nc.Write(append(init, authBytes(t, "ann", "sesame")...))
		time.Sleep(time.Second)
		typ, payload := p.readBasic()
		h, err := wire.ReadServerInit(payload)
		if typ != wire.Init || err != nil || h.RefusalCode != uint16(CodeUnauthenticated) {
			t.Errorf("got %v %q, %v", typ, payload, err)
		}
		p.nc.Close()
		srv.Close()
	})
}

// An AUTH of 8 KiB is read; a second AUTH, or one after the handshake, ends the connection.
func TestAuthOncePerConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := authServer(t)
		p := rawDial(t, srv)
		p.write(wire.AppendClientInit(nil, &wire.Hello{Version: 1, Auth: true}))
		auth := authBytes(t, strings.Repeat("u", wire.MaxAuth-16-6-6-4), "open")
		if len(auth) != wire.MaxAuth {
			t.Fatalf("%d bytes", len(auth))
		}
		p.write(auth)
		if typ, payload := p.readBasic(); typ != wire.Init || bytes.Contains(payload, []byte("unauth")) {
			t.Fatalf("got %v %q", typ, payload)
		}
		p.write(authBytes(t, "ann", "open"))
		f, body := p.read()
		if f.Type != wire.Close || !bytes.Contains(body, []byte("unknown frame type 0x1e")) {
			t.Errorf("got %v %q", f.Type, body)
		}
		p.nc.Close()
		srv.Close()
	})
}

// A client of the basic wire cannot prove anything, and is refused with the reason, wherever roles,
// Authorize or Authenticate are set.
func TestBasicClientAtGuardedServer(t *testing.T) {
	for name, opts := range map[string]*ServerOptions{
		"Authenticate": {Authenticate: func(context.Context, *Peer, Credentials) error { return nil }},
		"Authorize":    {Authorize: func(context.Context, *Session, Method) error { return nil }},
		"Roles":        {Roles: map[string]string{"Probe.*": "*"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			opts.Basic = true
			srv := testeeServer(t, newTestee(), opts)
			p := rawDial(t, srv)
			p.write([]byte{8, 0, 0, 0, 0, 0, 0, 1})
			typ, payload := p.readBasic()
			if typ != wire.Exception || !bytes.Contains(payload, []byte("the basic wire cannot prove an identity")) {
				t.Errorf("%s: got %v %q", name, typ, payload)
			}
			p.nc.Close()
			srv.Close()
		})
	}
}

// Options for connections have no meaning in the Handlers of a client, and no client of the
// basic wire may have credentials.
func TestAccessOptionsOfClients(t *testing.T) {
	credentials := func(context.Context) (Credentials, error) { return Credentials{}, nil }
	h := NewServer(&ServerOptions{Authenticate: func(context.Context, *Peer, Credentials) error { return nil }})
	for _, test := range []struct {
		opts *ClientOptions
		want string
	}{
		{&ClientOptions{Handlers: h}, "TLS, Authenticate, Authorize, OperatorRole, Roles or the tag roles= is an option for connections"},
		{&ClientOptions{Basic: true, Credentials: credentials}, "Credentials: the basic wire has none; leave out Basic"},
	} {
		near, _ := net.Pipe()
		if _, err := NewClient(t.Context(), near, test.opts); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want %q", err, test.want)
		}
	}
}
