package bsrpc_test

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc"
)

// An uncomparableConn cannot be the key of a map, or an operand of ==.
type uncomparableConn struct {
	net.Conn
	onWrite func()
}

func (c uncomparableConn) Write(b []byte) (int, error) {
	c.onWrite()
	return c.Conn.Write(b)
}

type uncomparableListener struct {
	net.Listener
	_ []func(net.Conn) bool
}

func (l uncomparableListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	return uncomparableConn{Conn: nc, onWrite: func() {}}, err
}

// An uncomparableAddr is a net.Addr that cannot be compared.
func TestUncomparableTypes(t *testing.T) {
	for _, basic := range []bool{false, true} {
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, Basic: basic})
		if err := bsrpc.RegisterAs[labContract](srv, "Lab", lab{}); err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 2)
		var addrs []string
		for range 2 {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			addrs = append(addrs, l.Addr().String())
			go func() { served <- srv.Serve(uncomparableListener{Listener: l}) }()
		}
		for _, addr := range addrs {
			for range 3 {
				nc, err := net.Dial("tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				client, err := bsrpc.NewClient(t.Context(), uncomparableConn{Conn: nc, onWrite: func() {}}, nil)
				if err != nil {
					t.Fatal(err)
				}
				proxy, err := bsrpc.Bind[labContract](t.Context(), client, "Lab")
				if err != nil {
					t.Fatal(err)
				}
				if sum, err := proxy.Add(t.Context(), 1, 2); sum != 3 || err != nil {
					t.Errorf("got %d, %v", sum, err)
				}
				defer client.Close()
			}
			half, err := net.Dial("tcp", addr) // in its handshake
			if err != nil {
				t.Fatal(err)
			}
			defer half.Close()
		}
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
		for range 2 {
			if err := <-served; err != bsrpc.ErrServerClosed {
				t.Errorf("Serve: %v", err)
			}
		}
	}
}

// Keys of Session.Set have the same rules as those of context.WithValue, checked
// before a lock is taken.
func TestSessionKeys(t *testing.T) {
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	err := srv.RegisterFunc("Keys.Try", func(ctx context.Context) (texts []string) {
		s := bsrpc.SessionFrom(ctx)
		for _, key := range []any{nil, []int{1}, struct{ any }{[]int{1}}, func() {}} {
			func() {
				defer func() { texts = append(texts, recover().(string)) }()
				s.Set(key, 1)
			}()
			if v := s.Value(key); v != nil {
				t.Errorf("%T: Value is %v", key, v)
			}
		}
		s.Set("key", 7)
		if v := s.Value("key"); v != 7 {
			t.Errorf("Value is %v", v)
		}
		return texts
	})
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	go srv.ServeConn(far)
	client, err := bsrpc.NewClient(t.Context(), near, nil)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	if err := client.Call(t.Context(), "Keys.Try", nil, &texts); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"nil key", "type []int is not comparable", "is not comparable", "type func() is not comparable"} {
		if !strings.Contains(texts[i], want) {
			t.Errorf("panic %q, want %q", texts[i], want)
		}
	}
	client.Close()
	srv.Close()
}

// A Server not created by NewServer reports that when it is used.
func TestZeroServer(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	for name, use := range map[string]func(*bsrpc.Server){
		"Panics":         func(s *bsrpc.Server) { s.Panics() },
		"Sessions":       func(s *bsrpc.Server) { s.Sessions() },
		"Serve":          func(s *bsrpc.Server) { s.Serve(nil) },
		"ServeConn":      func(s *bsrpc.Server) { s.ServeConn(far) },
		"ListenAndServe": func(s *bsrpc.Server) { s.ListenAndServe("tcp", "127.0.0.1:0") },
		"Shutdown":       func(s *bsrpc.Server) { s.Shutdown(t.Context()) },
		"Close":          func(s *bsrpc.Server) { s.Close() },
	} {
		for _, s := range []*bsrpc.Server{nil, new(bsrpc.Server)} {
			func() {
				defer func() {
					if text, _ := recover().(string); !strings.Contains(text, "use NewServer") {
						t.Errorf("%s of %v panics with %q", name, s == nil, text)
					}
				}()
				use(s)
			}()
		}
	}
	srv := bsrpc.NewServer(nil)
	if err := srv.Serve(nil); err == nil || !strings.Contains(err.Error(), "nil listener") {
		t.Errorf("Serve(nil): %v", err)
	}
	if err := srv.ServeConn(nil); err == nil || !strings.Contains(err.Error(), "nil connection") {
		t.Errorf("ServeConn(nil): %v", err)
	}
}
