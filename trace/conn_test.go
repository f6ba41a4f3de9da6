package trace_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
	"github.com/bsrpc/bsrpc/trace"
)

// A page is a writer for tests, safe for concurrent use.
type page struct {
	mu   sync.Mutex
	text strings.Builder
}

func (p *page) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *page) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

type greeter struct{}

func (greeter) Hello(name string) (string, error) {
	if name == "" {
		return "", &bsrpc.Error{Code: bsrpc.CodeInvalidArgument, Name: "NoName", Message: "no name"}
	}
	return "hello " + name, nil
}

func (greeter) Count(n int, yield func(int)) int {
	for i := range n {
		yield(i)
	}
	return n
}

type greeterContract struct {
	Hello func(ctx context.Context, name string) (string, error)
	Count func(ctx context.Context, n int, yield func(int)) (int, error)
}

// talk makes some calls over two ends of a connection, and closes it.
func talk(t *testing.T, near, far net.Conn) {
	t.Helper()
	srv := bsrpc.NewServer(nil)
	if err := srv.RegisterName("Greeter", greeter{}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		srv.ServeConn(far)
		close(ended)
	}()
	client, err := bsrpc.NewClient(t.Context(), near, nil)
	if err != nil {
		t.Fatal(err)
	}
	g, err := bsrpc.Bind[greeterContract](t.Context(), client, "Greeter")
	if err != nil {
		t.Fatal(err)
	}
	if s, err := g.Hello(t.Context(), "Bob"); s != "hello Bob" || err != nil {
		t.Error(s, err)
	}
	if _, err := g.Hello(t.Context(), ""); bsrpc.CodeOf(err) != bsrpc.CodeInvalidArgument {
		t.Error(err)
	}
	if n, err := g.Count(t.Context(), 3, func(int) {}); n != 3 || err != nil {
		t.Error(n, err)
	}
	client.Close()
	<-ended
}

// Both ends of a conversation have the same frames in their lines, whoever they are.
func TestConnAtBothEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var atClient, atServer page
		near, far := net.Pipe()
		talk(t, trace.NewConn(near, &atClient, nil), trace.NewConn(far, &atServer, nil))
		synctest.Wait()
		for _, want := range []string{
			"pipe 00:00:00.000000 > REQUEST        c2.0             31  Greeter.Hello left=20s 7 bytes\n",
			"Greeter.Count(func 1)", `invalid argument (3) NoName "no name"`, "< INIT ", "> BIND ", " closed",
		} {
			for who, p := range map[string]*page{"client": &atClient, "server": &atServer} {
				if !strings.Contains(p.String(), want) {
					t.Errorf("%s: %q is not in\n%s", who, want, p)
				}
			}
		}
		if a, b := strings.Count(atClient.String(), "REQUEST"), strings.Count(atServer.String(), "REQUEST"); a != 6 || b != 6 {
			t.Errorf("%d and %d requests, want 6", a, b)
		}
	})
}

// Record gets what a Reader returns.
func TestConnRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var file bytes.Buffer
		w := trace.NewWriter(&file)
		near, far := net.Pipe()
		nc := trace.NewConn(near, io.Discard, &trace.Options{Record: func(p *trace.Piece) {
			if err := w.Write(p); err != nil {
				t.Error(err)
			}
		}})
		talk(t, nc, far)
		synctest.Wait()
		pieces, err := read(file.Bytes())
		if err != io.EOF {
			t.Fatal(err)
		}
		dump := conversation(pieces).dump(nil)
		if n := strings.Count(dump, " end "); n != 2 || strings.Count(dump, "REQUEST") != 6 {
			t.Errorf("%d ends in\n%s", n, dump)
		}
	})
}

// No writer harms a connection: not one that fails, panics, ends its goroutine or hangs.
func TestConnWithBadWriters(t *testing.T) {
	hang := make(chan struct{})
	for name, write := range map[string]func(b []byte) (int, error){
		"fails":  func(b []byte) (int, error) { return 0, errors.New("full") },
		"short":  func(b []byte) (int, error) { return 1, nil },
		"panics": func(b []byte) (int, error) { panic("no") },
		"exits":  func(b []byte) (int, error) { runtime.Goexit(); return 0, nil },
		"hangs":  func(b []byte) (int, error) { <-hang; return len(b), nil },
	} {
		t.Run(name, func(t *testing.T) {
			near, far := net.Pipe()
			start := time.Now()
			w := writerFunc(write)
			talk(t, trace.NewConn(near, w, nil), trace.NewConn(far, w, nil))
			if d := time.Since(start); d > 10*time.Second {
				t.Errorf("it took %v", d)
			}
		})
	}
	close(hang)
}

type writerFunc func(b []byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// Lines that wait for a writer take 1 MiB at most; those beyond are counted.
func TestConnCountsDroppedLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out page
		release := make(chan struct{})
		w := writerFunc(func(b []byte) (int, error) { <-release; return out.Write(b) })
		near, far := net.Pipe()
		go io.Copy(io.Discard, far)
		nc := trace.NewConn(near, w, nil)
		nc.Write(unhex(t, clientHello[1:]))
		ping := unhex(t, "10000000 18 00 0000 0100000000000000")
		const n = 20_000
		for range n {
			nc.Write(ping)
		}
		close(release)
		synctest.Wait()
		nc.Close()
		far.Close()
		text := out.String()
		lines := strings.Count(text, " PING ")
		var dropped int
		for line := range strings.Lines(text) {
			if before, ok := strings.CutSuffix(line, " lines dropped: the writer is slow, or has failed\n"); ok {
				for _, c := range before {
					dropped = 10*dropped + int(c-'0')
				}
			}
		}
		if lines < 1000 || lines+dropped != n {
			t.Errorf("%d lines and %d dropped, want %d in all", lines, dropped, n)
		}
		if len(text) > 2<<20 {
			t.Errorf("%d bytes have waited", len(text))
		}
	})
}

// The line about dropped ones is the program's, as JSON for one.
func TestLinesLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out page
		release := make(chan struct{})
		q := trace.NewLines(writerFunc(func(b []byte) (int, error) { <-release; return out.Write(b) }), func(n int) string { return fmt.Sprintf("lost %d", n) })
		line := []byte(strings.Repeat("x", 1<<19) + "\n")
		q.Write(line)
		synctest.Wait() // the writer has it
		for range 4 {
			q.Write(line)
		}
		q.Wait(time.Second) // in vain
		close(release)
		q.Wait(time.Second)
		if n := strings.Count(out.String(), "x\n"); n != 2 || !strings.HasSuffix(out.String(), "x\nlost 3\n") {
			t.Errorf("%d lines, and at the end %q", n, out.String()[out.text.Len()-20:])
		}
	})
}

// halfPipe is a connection with half-close.
type halfPipe struct {
	net.Conn
	closed bool
}

func (p *halfPipe) CloseWrite() error { p.closed = true; return nil }

func TestConnPassesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out page
		near, far := net.Pipe()
		defer far.Close()
		plain := trace.NewConn(near, &out, nil)
		if _, ok := plain.(interface{ CloseWrite() error }); ok {
			t.Error("a connection without half-close has it")
		}
		half := &halfPipe{Conn: near}
		nc := trace.NewConn(half, &out, nil)
		if err := nc.(interface{ CloseWrite() error }).CloseWrite(); err != nil || !half.closed {
			t.Error("half-close does not pass through", err)
		}
		nc.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := nc.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		nc.SetDeadline(time.Now().Add(-time.Second))
		if _, err := nc.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		if nc.LocalAddr() != near.LocalAddr() || nc.RemoteAddr() != near.RemoteAddr() {
			t.Error("other addresses")
		}
		nc.Close()
		if _, err := nc.Read(make([]byte, 1)); !errors.Is(err, io.ErrClosedPipe) {
			t.Error(err)
		}
	})
}

// Around TLS the lines are those of frames, and the server still knows the certificate of its
// client. Below TLS they name it.
func TestConnAndTLS(t *testing.T) {
	ca := bsrpctest.NewCA(t)
	var above, below page
	names := make(chan []string, 1)
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{
		Authenticate: func(_ context.Context, p *bsrpc.Peer, _ bsrpc.Credentials) error {
			names <- p.CertificateNames
			return nil
		},
	})
	near, far := net.Pipe()
	ended := make(chan struct{})
	go func() {
		srv.ServeConn(trace.NewConn(tls.Server(far, ca.Server()), &above, nil))
		close(ended)
	}()
	client, err := bsrpc.NewClient(t.Context(), trace.NewConn(near, &below, nil), &bsrpc.ClientOptions{TLS: ca.Client("bench-7")})
	if err != nil {
		t.Fatal(err)
	}
	client.Close()
	<-ended
	if have := <-names; len(have) != 1 || have[0] != "bench-7" {
		t.Errorf("the names of the certificate are %q", have)
	}
	for want, p := range map[string]*page{"native=1 admitted": &above, "> TLS ": &below, "< TLS ": &below} {
		if !strings.Contains(p.String(), want) {
			t.Errorf("%q is not in\n%s", want, p)
		}
	}
	if strings.Contains(below.String(), "INIT") {
		t.Errorf("a frame in\n%s", &below)
	}
}

// A tracedListener traces the connections of a server.
type tracedListener struct {
	net.Listener
	w io.Writer
}

func (l tracedListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return trace.NewConn(nc, l.w, nil), nil
}

// A server still knows the process at the other end of a traced unix socket.
func TestConnOfAUnixSocket(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells the process")
	}
	var out page
	peers := make(chan *bsrpc.UnixPeer, 1)
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{
		OnConnect: func(_ context.Context, s *bsrpc.Session) error { peers <- s.Peer().Unix; return nil },
	})
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "socket"))
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(tracedListener{ln, &out})
	defer srv.Close()
	client, err := bsrpc.Dial(t.Context(), "unix", ln.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	client.Close()
	if p := <-peers; p == nil || int(p.PID) != os.Getpid() {
		t.Errorf("the peer is %+v", p)
	}
	if !strings.Contains(out.String(), "< INIT") {
		t.Errorf("have\n%s", &out)
	}
}
