package bsrpc_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// tlsServer returns a server with a lab that speaks TLS.
func tlsServer(t testing.TB, config *tls.Config) *bsrpc.Server {
	t.Helper()
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, TLS: config})
	if err := bsrpc.RegisterAs[labContract](srv, "Lab", lab{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	return srv
}

// With the option TLS at both ends, everything works as without. The name of the server
// comes from the address, and is verified.
func TestTLSByOptions(t *testing.T) {
	ca := bsrpctest.NewCA(t)
	config := ca.Server("127.0.0.1")
	srv := tlsServer(t, config)
	config.Certificates = nil // the server has a copy
	if err := srv.RegisterFunc("Who.Version", func(ctx context.Context) string {
		return tls.VersionName(bsrpc.SessionFrom(ctx).TLS().Version)
	}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	client := ca.Client()
	client.ServerName = ""
	c, err := bsrpc.Dial(t.Context(), "tcp", l.Addr().String(), &bsrpc.ClientOptions{TLS: client})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	lab, err := bsrpc.Bind[labContract](t.Context(), c, "Lab")
	if err != nil {
		t.Fatal(err)
	}
	if sum, err := lab.Add(t.Context(), 1, 2); sum != 3 || err != nil {
		t.Errorf("got %d, %v", sum, err)
	}
	if got, err := lab.Echo(t.Context(), make([]byte, 1<<20)); len(got) != 1<<20 || err != nil {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	var version string
	if err := c.Call(t.Context(), "Who.Version", nil, &version); version != "TLS 1.3" || err != nil {
		t.Errorf("got %q, %v", version, err)
	}
	client.ServerName = "elsewhere"
	_, err = bsrpc.Dial(t.Context(), "tcp", l.Addr().String(), &bsrpc.ClientOptions{TLS: client})
	wantError(t, err, bsrpc.CodeUnavailable, bsrpc.OutcomeNotRun, "wanted to match elsewhere")
	other := bsrpctest.NewCA(t).Client()
	other.ServerName = ""
	_, err = bsrpc.Dial(t.Context(), "tcp", l.Addr().String(), &bsrpc.ClientOptions{TLS: other})
	wantError(t, err, bsrpc.CodeUnavailable, bsrpc.OutcomeNotRun, "handshake: tls: failed to verify certificate: x509: certificate signed by unknown authority")
}

// Only one end speaks TLS: each learns it at once, and neither goes on without.
func TestTLSAtOneEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := bsrpctest.NewCA(t)
		var log bytes.Buffer
		opts := &bsrpc.ServerOptions{TLS: ca.Server(), Logger: slog.New(slog.NewTextHandler(&log, nil))}
		begin := time.Now()
		_, err := bsrpctest.Dial(t, bsrpc.NewServer(opts), nil)
		e := wantError(t, err, bsrpc.CodeFailedPrecondition, bsrpc.OutcomeNotRun, "the server requires TLS; set ClientOptions.TLS")
		if !e.Remote {
			t.Error("not the server's refusal")
		}
		near, far := net.Pipe()
		go bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet}).ServeConn(far)
		_, err = bsrpc.NewClient(t.Context(), near, &bsrpc.ClientOptions{TLS: ca.Client()})
		wantError(t, err, bsrpc.CodeUnavailable, bsrpc.OutcomeNotRun, "the server closed the connection in the TLS handshake; does it speak TLS?")

		// Other protocols at a TLS port, and at a TLS client.
		for _, test := range []struct{ bytes, want string }{
			{"GET / HTTP/1.1\r\n", "the peer speaks HTTP"},
			{"SSH-2.0-x\r\n", "the peer speaks SSH"},
			{"\x00\x00\x00\x00\x00 and more", "are neither TLS nor INIT: it does not speak bsrpc"},
			{"\x18\x00\x00\x00\x10 a REQUEST", "are neither TLS nor INIT: it does not speak bsrpc"},
			{"\xff\xff\x00\x00\x00 and more", "has a payload of 65530 bytes, want at most 8192: it does not speak bsrpc"},
		} {
			near, far := net.Pipe()
			go near.Write([]byte(test.bytes))
			if err := bsrpc.NewServer(opts).ServeConn(far); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%q: %v", test.bytes, err)
			}
			near.Close()
		}
		if !strings.Contains(log.String(), "the peer speaks HTTP") {
			t.Errorf("log:\n%s", &log)
		}
		near, far = net.Pipe()
		go func() {
			go io.Copy(io.Discard, far)
			far.Write([]byte("220 mail ready\r\n"))
		}()
		_, err = bsrpc.NewClient(t.Context(), near, &bsrpc.ClientOptions{TLS: ca.Client()})
		wantError(t, err, bsrpc.CodeUnavailable, bsrpc.OutcomeNotRun, `the server does not speak TLS; its first bytes are "220 m"`)
		far.Close()
		if d := time.Since(begin); d >= time.Second {
			t.Errorf("took %v", d)
		}
	})
}

// A cutConn closes after some bytes have been written.
type cutConn struct {
	net.Conn
	left int
}

func (c *cutConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b[:min(len(b), c.left)])
	if c.left -= n; c.left == 0 {
		c.Close()
	}
	return n, err
}

// A client whose server closes the connection within the TLS handshake, or after it, reads how far
// it came: a server that has answered does speak TLS.
func TestTLSClosedByServer(t *testing.T) {
	ca := bsrpctest.NewCA(t)
	for _, test := range []struct {
		after int // bytes from the server; its first answer has 1,200
		want  string
	}{
		{1, "the server closed the connection in the TLS handshake; does it speak TLS?"},
		{1500, "the server closed the connection within the TLS handshake, after its first answer: it stops, or has too many unfinished handshakes (Limits.MaxHandshakes)"},
		{math.MaxInt, "the server closed the connection before answering INIT"},
	} {
		t.Run(fmt.Sprint(test.after), func(t *testing.T) {
			near, far := net.Pipe()
			go func() {
				c := tls.Server(&cutConn{far, test.after}, ca.Server())
				if c.Handshake() == nil {
					io.ReadFull(c, make([]byte, 1))
				}
				far.Close()
			}()
			_, err := bsrpc.NewClient(t.Context(), near, &bsrpc.ClientOptions{TLS: ca.Client()})
			wantError(t, err, bsrpc.CodeUnavailable, bsrpc.OutcomeNotRun, test.want)
		})
	}
}

// The TLS handshake is within HandshakeTimeout and DialTimeout, however its bytes drip.
func TestTLSHandshakeTakesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := bsrpctest.NewCA(t)
		near, far := net.Pipe()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			hello := "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("x", 400)
			for i := range hello {
				if _, err := near.Write([]byte{hello[i]}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		begin := time.Now()
		err := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, TLS: ca.Server()}).ServeConn(far)
		if err == nil || err.Error() != "bsrpc: handshake: no INIT in 10s (HandshakeTimeout)" || time.Since(begin) != 10*time.Second {
			t.Errorf("the server: %v after %v", err, time.Since(begin))
		}
		near.Close()
		<-ended

		near, far = net.Pipe()
		go io.Copy(io.Discard, far)
		begin = time.Now()
		_, err = bsrpc.NewClient(t.Context(), near, &bsrpc.ClientOptions{TLS: ca.Client()})
		wantError(t, err, bsrpc.CodeDeadlineExceeded, bsrpc.OutcomeNotRun, "in 10s (DialTimeout)")
		if d := time.Since(begin); d != 10*time.Second {
			t.Errorf("the client took %v", d)
		}
		far.Close()
	})
}

// TLS 1.3 is the default, 1.2 an option, and 1.1 never possible.
func TestTLSVersions(t *testing.T) {
	ca := bsrpctest.NewCA(t)
	dial := func(server, client uint16) error {
		config := ca.Server()
		config.MinVersion = server
		near, far := net.Pipe()
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, TLS: config})
		defer srv.Close()
		go srv.ServeConn(far)
		config = ca.Client()
		config.MinVersion, config.MaxVersion = min(client, tls.VersionTLS12), client
		c, err := bsrpc.NewClient(t.Context(), tls.Client(near, config), nil)
		if err == nil {
			c.Close()
		}
		return err
	}
	if err := dial(0, tls.VersionTLS13); err != nil {
		t.Error(err)
	}
	if err := dial(0, tls.VersionTLS12); err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("1.2 by default: %v", err)
	}
	if err := dial(tls.VersionTLS12, tls.VersionTLS12); err != nil {
		t.Errorf("1.2 by option: %v", err)
	}
	if err := dial(tls.VersionTLS12, tls.VersionTLS11); err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("1.1: %v", err)
	}

	// The same for a client whose server has older versions only.
	meet := func(client, server uint16) error {
		old := ca.Server()
		old.MinVersion, old.MaxVersion = tls.VersionTLS10, server
		near, far := net.Pipe()
		go func() {
			tls.Server(far, old).Handshake()
			far.Close()
		}()
		config := ca.Client()
		config.MinVersion = client
		_, err := bsrpc.NewClient(t.Context(), near, &bsrpc.ClientOptions{TLS: config, Logger: quiet})
		return err
	}
	for _, test := range []struct {
		client, server uint16
		met            bool
	}{{0, tls.VersionTLS13, true}, {0, tls.VersionTLS12, false}, {tls.VersionTLS12, tls.VersionTLS12, true}, {tls.VersionTLS12, tls.VersionTLS11, false}, {tls.VersionTLS12, tls.VersionTLS10, false}} {
		err := meet(test.client, test.server)
		if met := err != nil && strings.Contains(err.Error(), "before answering INIT"); met != test.met {
			t.Errorf("a client of %x, a server of %x: %v", test.client, test.server, err)
		} else if !met {
			wantError(t, err, bsrpc.CodeUnavailable, bsrpc.OutcomeNotRun, "version")
		}
	}
}

// Configurations that are not secure, or cannot work, are errors of the options.
func TestTLSOptionErrors(t *testing.T) {
	ca := bsrpctest.NewCA(t)
	with := func(change func(*tls.Config)) *tls.Config {
		c := ca.Server()
		change(c)
		return c
	}
	for _, test := range []struct {
		config *tls.Config
		want   string
	}{
		{&tls.Config{}, "bsrpc: ServerOptions: TLS: a server needs Certificates, GetCertificate or GetConfigForClient"},
		{with(func(c *tls.Config) { c.MinVersion = tls.VersionTLS11 }), "MinVersion is TLS 1.1, which is not secure; want tls.VersionTLS12 or above, or 0 for TLS 1.3"},
		{with(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }), "MaxVersion is TLS 1.2, below MinVersion, which is TLS 1.3 (TLS 1.3 by default)"},
		{with(func(c *tls.Config) { c.CipherSuites = []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA} }), "CipherSuites contains TLS_RSA_WITH_AES_128_CBC_SHA, which is not secure"},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if err := bsrpc.NewServer(&bsrpc.ServerOptions{TLS: test.config}).Serve(l); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want %q", err, test.want)
		}
		l.Close()
	}
	if _, err := bsrpc.Dial(t.Context(), "tcp", "127.0.0.1:1", &bsrpc.ClientOptions{TLS: &tls.Config{MinVersion: tls.VersionTLS10}}); err == nil || !strings.Contains(err.Error(), "ClientOptions: TLS: MinVersion is TLS 1.0") {
		t.Errorf("the client: %v", err)
	}
	near, _ := net.Pipe()
	_, err := bsrpc.NewClient(t.Context(), near, &bsrpc.ClientOptions{TLS: &tls.Config{}})
	wantError(t, err, bsrpc.CodeInvalidArgument, bsrpc.OutcomeNotRun, "TLS.ServerName is not set")
}

// TLS within TLS is a mistake, at every way into the library.
func TestTLSTwice(t *testing.T) {
	const want = "TLS already, and the option TLS is set"
	ca := bsrpctest.NewCA(t)
	srv := tlsServer(t, ca.Server())
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	if err := srv.Serve(tls.NewListener(listen(), ca.Server())); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Serve: %v", err)
	}
	l := listen()
	go net.Dial("tcp", l.Addr().String())
	if err := srv.Serve(wrappingListener{tls.NewListener(l, ca.Server())}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Serve of another listener: %v", err)
	}
	near, far := net.Pipe()
	if err := srv.ServeConn(tls.Server(far, ca.Server())); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("ServeConn: %v", err)
	}
	_, err := bsrpc.NewClient(t.Context(), tls.Client(near, ca.Client()), &bsrpc.ClientOptions{TLS: ca.Client()})
	wantError(t, err, bsrpc.CodeInvalidArgument, bsrpc.OutcomeNotRun, want)
}

// With ClientCAs a server requires certificates, also if GetConfigForClient chooses.
func TestTLSRequiresClientCertificates(t *testing.T) {
	ca := bsrpctest.NewCA(t)
	required := ca.Server()
	required.ClientAuth = tls.NoClientCert
	chosen := &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return required, nil }}
	for _, config := range []*tls.Config{required, chosen} {
		srv := tlsServer(t, config)
		if _, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{TLS: ca.Client()}); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("without a certificate: %v", err)
		}
		if _, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{TLS: ca.Client("ann")}); err != nil {
			t.Errorf("with one: %v", err)
		}
	}
}

// A client whose certificate is refused is in the log, also within the minute of a scanner's line.
func TestRefusedCertificatesAreInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		ca := bsrpctest.NewCA(t)
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: slog.New(slog.NewTextHandler(&log, nil)), TLS: ca.Server()})
		stranger := bsrpctest.NewCA(t).Client("ann").Certificates[0]
		wrong := ca.Client()
		wrong.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &stranger, nil }
		come := func(hello func(net.Conn)) {
			near, far := net.Pipe()
			go hello(near)
			if srv.ServeConn(far) == nil {
				t.Error("not refused")
			}
			near.Close()
		}
		for range 3 {
			come(func(nc net.Conn) {
				io.WriteString(nc, "\x16\x03\x01\x00\x05\xff\xff\xff\xff\xff")
				io.Copy(io.Discard, nc)
			})
			come(func(nc net.Conn) { io.Copy(io.Discard, tls.Client(nc, wrong)) })
		}
		for text, want := range map[string]int{"client refused": 4, "TLS handshake: tls: failed to verify certificate: x509: certificate signed by unknown authority": 3} {
			if n := strings.Count(log.String(), text); n != want {
				t.Errorf("%q %d times, want %d:\n%s", text, n, want, &log)
			}
		}
	})
}

// The funcs of a tls.Config are user code: they may panic, and hang.
func TestTLSCallbacksFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := bsrpctest.NewCA(t)
		bad := ca.Client()
		bad.VerifyConnection = func(tls.ConnectionState) error { panic("oh") }
		srv := tlsServer(t, ca.Server())
		_, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{TLS: bad, Logger: quiet})
		if err == nil || !strings.Contains(err.Error(), "panic in the tls.Config") {
			t.Errorf("a panic: %v", err)
		}
		release := make(chan struct{})
		hangs := ca.Server()
		hangs.VerifyConnection = func(tls.ConnectionState) error { <-release; return errors.New("late") }
		near, far := net.Pipe()
		go func() {
			c := tls.Client(near, ca.Client())
			c.Handshake()
			io.Copy(io.Discard, c)
		}()
		begin := time.Now()
		if err := tlsServer(t, hangs).ServeConn(far); err == nil || time.Since(begin) > 12*time.Second {
			t.Errorf("a hang: %v after %v", err, time.Since(begin))
		}
		close(release)
	})
}

// Close waits for the handshakes, and not for what hangs in a func of the tls.Config: a refusal
// cannot be sent there.
func TestCloseWhileTLSHangs(t *testing.T) {
	ca := bsrpctest.NewCA(t)
	hang, reached := make(chan struct{}), make(chan struct{})
	defer close(hang)
	config := ca.Server()
	config.VerifyConnection = func(tls.ConnectionState) error {
		close(reached)
		<-hang
		return nil
	}
	// Not in a bubble: there, a goroutine that waits for a lock of crypto/tls stops the clock.
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, TLS: config, HandshakeTimeout: 50 * time.Millisecond})
	near, far := net.Pipe()
	defer near.Close()
	go srv.ServeConn(far)
	go tls.Client(near, ca.Client("ann")).Write([]byte("INIT, some time"))
	<-reached
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		srv.Close()
	}()
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Error("Close does not return")
	}
}

// A server without TLS that other machines can reach logs one warning.
func TestWarningWithoutTLS(t *testing.T) {
	const warning = "serving without TLS beyond this machine"
	ca := bsrpctest.NewCA(t)
	for _, test := range []struct {
		address string
		tls     *tls.Config
		wrap    bool
		want    int
	}{{":0", nil, false, 1}, {"127.0.0.1:0", nil, false, 0}, {":0", ca.Server(), false, 0}, {":0", nil, true, 0}} {
		var log bytes.Buffer
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{TLS: test.tls, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		for range 2 {
			l, err := net.Listen("tcp", test.address)
			if err != nil {
				t.Fatal(err)
			}
			if test.wrap {
				l = tls.NewListener(l, ca.Server())
			}
			l.Close()
			srv.Serve(l)
		}
		if n := strings.Count(log.String(), warning); n != test.want {
			t.Errorf("%+v: %d warnings\n%s", test, n, &log)
		}
	}
}

// Peer has the names of a verified certificate, at both ends, and of no other.
func TestPeerOfCertificate(t *testing.T) {
	ca := bsrpctest.NewCA(t)
	names := func(server, client *tls.Config) []string {
		t.Helper()
		srv := tlsServer(t, server)
		var got []string
		if err := srv.RegisterFunc("Who.Am", func(ctx context.Context) []string {
			p := bsrpc.SessionFrom(ctx).Peer()
			if (p.Certificate != nil) != (p.CertificateNames != nil) || p.Addr == nil {
				t.Errorf("got %+v", p)
			}
			return p.CertificateNames
		}); err != nil {
			t.Fatal(err)
		}
		c, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{TLS: client})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Call(t.Context(), "Who.Am", nil, &got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := names(ca.Server(), ca.Client("ann.example", "10.0.0.1")); !slices.Equal(got, []string{"ann.example", "10.0.0.1"}) {
		t.Errorf("got %q", got)
	}
	if got := names(ca.Server(), ca.Client()); len(got) > 0 {
		t.Errorf("without a certificate: %q", got)
	}
	unverified := ca.Server()
	unverified.ClientAuth, unverified.ClientCAs = tls.RequireAnyClientCert, nil
	stranger := ca.Client()
	stranger.Certificates = []tls.Certificate{bsrpctest.NewCA(t).Certificate("ann.example")}
	if got := names(unverified, stranger); len(got) > 0 {
		t.Errorf("with an unverified certificate: %q", got)
	}

	// At a client the peer is the server.
	handlers := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	if err := handlers.RegisterFunc("Client.Who", func(ctx context.Context) []string {
		return bsrpc.SessionFrom(ctx).Peer().CertificateNames
	}); err != nil {
		t.Fatal(err)
	}
	srv := tlsServer(t, ca.Server("localhost"))
	if err := srv.RegisterFunc("Who.Called", func(ctx context.Context) ([]string, error) {
		c, err := bsrpc.Bind[struct {
			Who func(context.Context) ([]string, error)
		}](ctx, bsrpc.SessionFrom(ctx), "Client")
		if err != nil {
			return nil, err
		}
		return c.Who(ctx)
	}); err != nil {
		t.Fatal(err)
	}
	c, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{TLS: ca.Client(), Handlers: handlers})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	if err := c.Call(t.Context(), "Who.Called", nil, &got); err != nil || !slices.Equal(got, []string{"localhost"}) {
		t.Errorf("the server: %q, %v", got, err)
	}
}

// A certificate is read again when its files change; until both fit, the last good one is
// used.
func TestReloadingCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := bsrpctest.NewCA(t)
		certFile, keyFile := ca.Files("server", "localhost", "first")
		cert, err := bsrpc.ReloadingCertificate(certFile, keyFile)
		if err != nil {
			t.Fatal(err)
		}
		current := func() string {
			time.Sleep(2 * time.Second)
			c, err := cert.GetCertificate(nil)
			if err != nil {
				t.Fatal(err)
			}
			if other, err := cert.GetClientCertificate(nil); other != c || err != nil {
				t.Errorf("the client's: %v", err)
			}
			return c.Leaf.DNSNames[1]
		}
		if got := current(); got != "first" {
			t.Errorf("got %s", got)
		}
		next, nextKey := ca.Files("next", "localhost", "second")
		rename := func(from, to string) {
			if err := os.Rename(from, to); err != nil {
				t.Fatal(err)
			}
		}
		rename(next, certFile) // the key follows later
		if got := current(); got != "first" {
			t.Errorf("got %s with a key of another", got)
		}
		rename(nextKey, keyFile)
		if got := current(); got != "second" {
			t.Errorf("got %s", got)
		}
		os.Remove(keyFile)
		if got := current(); got != "second" {
			t.Errorf("got %s without a key", got)
		}
		if _, err := bsrpc.ReloadingCertificate(certFile, keyFile); err == nil || !strings.HasPrefix(err.Error(), "bsrpc: certificate: open") {
			t.Errorf("without a key: %v", err)
		}
	})
}

// FuzzServerTLS sends bytes to a server with TLS, whole and in two parts. It must refuse both with
// the same error, once the client has left.
func FuzzServerTLS(f *testing.F) {
	ca := bsrpctest.NewCA(f)
	config := ca.Server()
	hello := make(chan []byte, 1)
	near, far := net.Pipe()
	go tls.Client(near, ca.Client("ann")).Handshake()
	go func() {
		b := make([]byte, 4096)
		n, _ := far.Read(b)
		hello <- b[:n]
		far.Close()
	}()
	whole := <-hello
	for _, seed := range [][]byte{whole, whole[:len(whole)-1], append(bytes.Clone(whole), whole...), append(bytes.Clone(whole), "\x14\x03\x03\x00\x01\x01\x17\x03\x03\x00\x01x"...),
		[]byte("\x15\x03\x01\x00\x02\x02\x28"), []byte("\x16\x03\x01\xff\xff\x01"), []byte("\x0d\x00\x00\x00\x00\x00\x00\x01bsrp\x01"), []byte("GET / HTTP/1.1\r\n\r\n")} {
		f.Add(seed, uint16(3))
		f.Add(seed, uint16(len(seed)/2))
	}
	f.Fuzz(func(t *testing.T, sent []byte, cut uint16) {
		refused := func(parts ...[]byte) (text string) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				go io.Copy(io.Discard, near)
				go func() {
					for _, p := range parts {
						near.Write(p)
						synctest.Wait()
					}
					near.Close()
				}()
				err := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, TLS: config}).ServeConn(far)
				if err == nil {
					t.Fatal("not refused")
				}
				text = err.Error()
			})
			return text
		}
		at := min(int(cut), len(sent))
		if once, twice := refused(sent), refused(sent[:at], sent[at:]); once != twice {
			t.Fatalf("whole: %s\nin two parts: %s", once, twice)
		}
	})
}

// NewServer and Dial copy the config: later changes have no effect, and neither have they on it.
func TestTLSConfigIsCopied(t *testing.T) {
	ca := bsrpctest.NewCA(t)
	config := ca.Server()
	opts := &bsrpc.ServerOptions{Logger: quiet, TLS: config}
	srv := bsrpc.NewServer(opts)
	if config.MinVersion != 0 {
		t.Error("MinVersion of the user's config has changed")
	}
	if err := bsrpc.RegisterAs[labContract](srv, "Lab", lab{}); err != nil {
		t.Fatal(err)
	}
	config.Certificates, config.MinVersion, opts.TLS = nil, tls.VersionTLS10, nil
	own := ca.Client()
	if _, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{TLS: own}); err != nil || own.MinVersion != 0 {
		t.Error(err, own.MinVersion)
	}
}
