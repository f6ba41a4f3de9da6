package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
	"github.com/bsrpc/bsrpc/trace"
)

var listening = regexp.MustCompile(`listening on (\S+), for`)

// beginTap starts a tap, and returns the address for clients.
func beginTap(t *testing.T, args ...string) (address string, out *paper, stop func() int) {
	t.Helper()
	out, stop = begin(t, append([]string{"tap"}, args...)...)
	waitFor(t, "the tap listens", func() bool { return listening.MatchString(out.String()) })
	return listening.FindStringSubmatch(out.String())[1], out, stop
}

// steadyTrace returns lines without times, ports, and the size of INIT.
func steadyTrace(text string) string { return loopback.ReplaceAllString(steady(text), "ADDRESS") }

func TestTap(t *testing.T) {
	server := serve(t, newShelf(t, nil, "bolt", "nut"))
	file := filepath.Join(t.TempDir(), "r.rec")
	address, out, stop := beginTap(t, server, "--record", file, "--hex")
	client, err := bsrpc.Dial(t.Context(), "tcp", address, nil)
	if err != nil {
		t.Fatal(err)
	}
	sh, err := bsrpc.Bind[shelfContract](t.Context(), client, "Shelf")
	if err != nil {
		t.Fatal(err)
	}
	ctx := bsrpc.WithMetadata(t.Context(), bsrpc.Metadata{"tenant": "blue"})
	sh.Put(ctx, "screw\x1b", 1, "")
	sh.Stock(t.Context())
	for range sh.Watch(t.Context(), 1) {
	}
	sh.Each(t.Context(), values("a"), func(context.Context, string) error { return nil })
	sh.Drop(t.Context(), "ring")
	client.Close()
	waitFor(t, "both ends", func() bool { return strings.Count(out.String(), " end ") == 2 })
	if exit := stop(); exit != 0 {
		t.Errorf("exit %d", exit)
	}
	live := steadyTrace(out.String())
	for _, want := range []string{
		`#1 TIME > REQUEST `, `Shelf.Put left=T 22 bytes ("screw\u001b", "1", "") metadata.tenant=4 bytes`,
		`{"Items":["bolt","nut","screw\u001b"],"Count":"3","Key":"***","Where":{}}`, "** ** **",
		`Shelf.Drop not found (5) NoItem "no ring here\x1b[2J"`,
		`Shelf.Each stream=1 1 item, 9 bytes "a"`, `Shelf.Each(func 1) func=1 of c5.0 5 bytes ("a")`,
	} {
		if !strings.Contains(live, want) {
			t.Errorf("%s is not in\n%s", want, live)
		}
	}
	// What is read from the recording is what was printed.
	_, again, failed := bsrpcCommand(t, "", "tap", "--read", file, "--hex")
	var frames strings.Builder
	for line := range strings.Lines(live) {
		if strings.HasPrefix(line, "#1 ") && !strings.Contains(line, " open ") || strings.HasPrefix(line, "    ") {
			frames.WriteString(line)
		}
	}
	if have := steadyTrace(again); have != frames.String() || failed != "" {
		t.Errorf("--read prints\n%s\n%s\nwant\n%s", have, failed, frames.String())
	}
	if bad := hasControls(out.String()); bad != "" {
		t.Errorf("prints %q", bad)
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("the recording has mode %v, %v", info.Mode(), err)
	}
	_, shown, _ := bsrpcCommand(t, "", "tap", "--read", file, "--show-values")
	if !strings.Contains(shown, `"Key":"key3"`) || !strings.Contains(shown, `metadata.tenant="blue"`) {
		t.Errorf("--show-values hides values:\n%s", shown)
	}
	_, lines, _ := bsrpcCommand(t, "", "tap", "--read", file, "--json")
	for line := range strings.Lines(lines) {
		var e jsonEvent
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Conn != 1 || e.Frame == "" || e.Time.IsZero() {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// values is a stream of values.
func values[T any](list ...T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, v := range list {
			if !yield(v, nil) {
				return
			}
		}
	}
}

// Without a description all values are hidden, also at a server that is replaced by another version.
func TestTapHides(t *testing.T) {
	hidden := serve(t, newShelf(t, &bsrpc.ServerOptions{HideDescription: true}, "bolt"))
	address, out, stop := beginTap(t, hidden)
	useShelf(t, address)
	if stop(); strings.Contains(out.String(), "bolt") || !strings.Contains(out.String(), "values are hidden, the server does not describe its methods") {
		t.Errorf("values are shown:\n%s", out)
	}
	address, out, stop = beginTap(t, hidden, "--show-values")
	useShelf(t, address)
	if stop(); !strings.Contains(out.String(), "0x04000000626f6c74") || strings.Contains(out.String(), "hidden") {
		t.Errorf("values are hidden:\n%s", out)
	}
}

// The tap asks the server for layouts as a client of its own, which needs credentials too.
func TestTapNeedsCredentials(t *testing.T) {
	opts := &bsrpc.ServerOptions{Authenticate: func(context.Context, *bsrpc.Peer, bsrpc.Credentials) error { return errors.New("no token") }}
	_, out, stop := beginTap(t, serve(t, newShelf(t, opts)))
	if stop(); !strings.Contains(out.String(), "; for the tap itself: give a token with --token-file") {
		t.Errorf("have\n%s", out)
	}
}

// useShelf puts a bolt on the shelf over a connection.
func useShelf(t *testing.T, address string) {
	t.Helper()
	client, err := bsrpc.Dial(t.Context(), "tcp", address, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	sh, err := bsrpc.Bind[shelfContract](t.Context(), client, "Shelf")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sh.Put(t.Context(), "bolt", 1, ""); err != nil {
		t.Fatal(err)
	}
	if err := sh.Drop(t.Context(), "bolt"); err != nil {
		t.Fatal(err)
	}
}

// A server that comes later is described then.
func TestTapBeforeServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := l.Addr().String()
	l.Close()
	address, out, _ := beginTap(t, server)
	if !strings.Contains(out.String(), "values are hidden, ") {
		t.Errorf("have\n%s", out)
	}
	if _, err := bsrpc.Dial(t.Context(), "tcp", address, nil); err == nil {
		t.Error("connected to no server")
	}
	waitFor(t, "the line about the server", func() bool {
		return strings.Contains(out.String(), "< end ") && strings.Contains(out.String(), "not connected: ")
	})
}

func TestTapTLS(t *testing.T) {
	ca := bsrpctest.NewCA(t)
	config := ca.Server()
	cert, key := ca.Files("tap", "127.0.0.1")
	authority, _ := bsrpctest.WriteFiles(t, filepath.Join(t.TempDir(), "server"), config.Certificates[0])
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("open sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := serve(t, newShelf(t, &bsrpc.ServerOptions{
		TLS: config,
		Authenticate: func(_ context.Context, _ *bsrpc.Peer, c bsrpc.Credentials) error {
			if !c.HasToken("open sesame") {
				return io.ErrUnexpectedEOF
			}
			return nil
		},
	}, "bolt"))
	file := filepath.Join(t.TempDir(), "r.rec")
	address, out, stop := beginTap(t, server, "--ca", authority, "--token-file", token, "--tls-cert", cert, "--tls-key", key, "--record", file)
	check(t, 0, `"Count":"1"`, "call", address, "Shelf.Stock", "--ca", cert, "--token-file", token)
	check(t, 3, "does it expect TLS?", "call", address, "Shelf.Stock", "--token-file", token, "--insecure-credentials")
	if stop(); !strings.Contains(out.String(), `({"Items":["bolt"]`) || strings.Contains(out.String(), "sesame") {
		t.Errorf("have\n%s", out)
	}
	if bad := hasControls(out.String()); bad != "" {
		t.Errorf("prints %q", bad)
	}
}

type supplyContract struct {
	Set func(ctx context.Context, volts uint16, password string) (uint16, error) `bsrpc:"(,secret),id=8"`
}

type supply struct{}

func (supply) Set(_ context.Context, volts uint16, _ string) (uint16, error) { return volts + 1, nil }

// Clients of the basic wire have no names on the wire; the tap finds them by the ids of commands.
func TestTapBasic(t *testing.T) {
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, Basic: true})
	if err := bsrpc.RegisterAs[supplyContract](srv, "Supply", supply{}); err != nil {
		t.Fatal(err)
	}
	address, out, stop := beginTap(t, serve(t, srv))
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	nc.Write([]byte("\x08\x00\x00\x00\x00\x00\x00\x01"))
	if _, err := io.ReadFull(nc, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	nc.Write([]byte("\x0e\x00\x00\x00\x01\x08\x00\xb0\x04\x01\x00\x00\x00x"))
	if _, err := io.ReadFull(nc, make([]byte, 7)); err != nil {
		t.Fatal(err)
	}
	nc.Close()
	waitFor(t, "the ends", func() bool { return strings.Count(out.String(), " end ") == 2 })
	stop()
	for _, want := range []string{`Supply.Set command=8 7 bytes (1200, "***")`, `Supply.Set command=8 after=T 2 bytes (1201)`} {
		if !strings.Contains(steady(out.String()), want) {
			t.Errorf("%s is not in\n%s", want, out)
		}
	}
}

// Unix sockets at both sides; a token may be sent over them, also while it is recorded.
func TestTapUnixSockets(t *testing.T) {
	dir, err := os.MkdirTemp("", "") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Skip(err)
	}
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("open sesame"), 0o600); err != nil {
		t.Fatal(err)
	}
	serveOn(t, newShelf(t, nil, "bolt"), l)
	_, out, stop := beginTap(t, unixPrefix+filepath.Join(dir, "s"), "--listen", unixPrefix+filepath.Join(dir, "t"), "--token-file", token, "--record", filepath.Join(dir, "r"))
	check(t, 0, `"Count":"1"`, "call", unixPrefix+filepath.Join(dir, "t"), "Shelf.Stock", "--token-file", token)
	if stop(); !strings.Contains(out.String(), `({"Items":["bolt"]`) || !strings.Contains(out.String(), " from a unix socket\n") {
		t.Errorf("have\n%s", out)
	}
	check(t, 0, `({"Items":["bolt"]`, "tap", "--read", filepath.Join(dir, "r"))
}

func TestTapMistakes(t *testing.T) {
	s := &session{t: t, names: strings.NewReplacer()}
	golden, err := filepath.Abs("testdata/tap_mistakes.golden")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	if err := os.WriteFile("old.rec", []byte("bsrpc recording 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("cut.rec", []byte("bsrpc recording 1\n\x00\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{
		"", "--read a --replay b", "--read a x:1", "--read missing.rec", "--read old.rec", "--read cut.rec", "--replay a --listen x:1 y:1",
		"--replay a --hex y:1", "--replay a", "x:1 --tls-cert a", "x:1 --tls-cert a --tls-key b", "x:1 y:1", "x:1 --listen nowhere",
		"127.0.0.1:1 --record old.rec", "x:1 --ca old.rec", "--read old.rec --json",
	} {
		s.run(append([]string{"tap"}, strings.Fields(args)...)...)
	}
	compareFile(t, golden, s.text.String())
}

// A terminal that takes nothing does not keep the connection waiting.
func TestTapSlowTerminal(t *testing.T) {
	server := serve(t, newShelf(t, nil, "bolt"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stuck := make(chan struct{})
	errs := new(paper)
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"tap", server}, strings.NewReader(""), writerOf(func(b []byte) (int, error) { <-stuck; return len(b), nil }), errs)
	}()
	waitFor(t, "the tap listens", func() bool { return listening.MatchString(errs.String()) })
	address := listening.FindStringSubmatch(errs.String())[1]
	client, err := bsrpc.Dial(t.Context(), "tcp", address, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	sh, err := bsrpc.Bind[shelfContract](t.Context(), client, "Shelf")
	if err != nil {
		t.Fatal(err)
	}
	item := strings.Repeat("x", 1500)
	for range 1200 { // with lines of 1.5 MB
		if err := sh.Drop(t.Context(), item); bsrpc.CodeOf(err) != bsrpc.CodeNotFound {
			t.Fatal(err)
		}
	}
	cancel()
	select {
	case exit := <-done:
		if exit != 0 {
			t.Errorf("exit %d: %s", exit, errs)
		}
	case <-time.After(10 * time.Second):
		t.Error("the tap does not end")
	}
	close(stuck)
}

// A disk that is full ends the recording, and the exit code says so; the connections go on.
func TestTapFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	r := newRecorder(full)
	p := &trace.Piece{Bytes: []byte("x")}
	r.add(p)
	waitFor(t, "the error", func() bool { return r.failed() != nil })
	r.add(p)
	if err := r.close(); err == nil || failureOf(err).Exit != exitUsage || !strings.Contains(err.Error(), "the recording ends early: ") {
		t.Error(err)
	}
	r.add(p) // of a connection that the library closes later
}

// A disk that is slower than the connections ends the recording as well.
func TestTapSlowDisk(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r := newRecorder(out)
	r.most = 1 << 20
	p := &trace.Piece{Bytes: make([]byte, 64<<10)}
	for range 80 {
		r.add(p)
	}
	if err := r.failed(); err == nil || !strings.Contains(err.Error(), errSlowDisk.Error()) {
		t.Error(err)
	}
	in.Close()
	if err := r.close(); err == nil {
		t.Error("the recording is complete")
	}
}

// What a lost end has sent before arrives, whatever the other one does meanwhile.
func TestTapLostEnd(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	gone := make(chan struct{}, 8)
	address, out, _ := beginTap(t, l.Addr().String())
	go func() { // the first one asks for a description
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			nc.Write([]byte("the last words"))
			nc.Read(make([]byte, 1))
			nc.(*net.TCPConn).SetLinger(0)
			nc.Close()
			gone <- struct{}{}
		}
	}()
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.Write([]byte(strings.Repeat("x", 1000)))
	<-gone
	<-gone
	have, _ := io.ReadAll(nc)
	if string(have) != "the last words" {
		t.Errorf("%q", have)
	}
	nc.Close()
	waitFor(t, "the end", func() bool { return strings.Contains(out.String(), " end ") })
}

// Bytes pass as they are, whatever they are, and so does half-close.
func TestTapPassesBytes(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // echoes until the end, and says so
				defer nc.Close()
				io.Copy(nc, nc)
				nc.Write([]byte("bye"))
			}()
		}
	}()
	file := filepath.Join(t.TempDir(), "r.rec")
	address, out, stop := beginTap(t, l.Addr().String(), "--timeout", "1s", "--record", file)
	for _, text := range hostileBytes() {
		nc, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			nc.Write([]byte(text))
			nc.(*net.TCPConn).CloseWrite()
		}()
		have, err := io.ReadAll(nc)
		if err != nil || string(have) != text+"bye" {
			t.Errorf("%d bytes, want %d, %v", len(have), len(text)+3, err)
		}
		nc.Close()
	}
	if stop(); hasControls(out.String()) != "" {
		t.Errorf("prints %.1000q", out)
	}
	exit, again, failed := bsrpcCommand(t, "", "tap", "--read", file, "--hex", "--show-values")
	if exit != 0 || hasControls(again) != "" || !strings.Contains(again, "not-bsrpc") {
		t.Errorf("exit %d, %s, %.1000q", exit, failed, again)
	}
}

// hostileBytes are conversations that no client begins.
func hostileBytes() []string {
	hello := "\x0d\x00\x00\x00\x00\x00\x00\x01bsrp\x01"
	return []string{
		"GET / HTTP/1.1\r\n\x1b[2J\r\n\r\n", "\x16\x03\x01\x00\xf4", "", "\xff\xff\xff\xff", strings.Repeat("\x00", 100_000),
		hello + "\x10\x00\x00\x00\x10", hello + strings.Repeat("\x10\x00\x00\x00\x99\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 10),
		hello + hello + "\x18\x00\x00\x00\x10\x43\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80",
		strings.Repeat(hello, 2000), "\x05\x00\x00\x00\x01" + strings.Repeat("\x05\x00\x00\x00\x04\xff", 1000),
	}
}

// shelfMethods returns methods as a server describes them.
func shelfMethods(t *testing.T) *description {
	d := newDescription()
	for _, text := range []string{"Shelf.Put(string.le4, int.le8?, string.le4?) int.le8", "Shelf.Watch(int.le8) stream({Items []string.le4; Count int.le8; Key string.le4; Where? map[string.le4]uint.le2})", "Shelf.Asked() int.le8"} {
		m, err := checked(honest(text, nil))
		if err != nil {
			t.Fatal(err)
		}
		d.add(m)
	}
	return d
}

// Any file is read without a panic, and nothing in its lines moves the terminal.
func FuzzTapRead(f *testing.F) {
	f.Add([]byte("bsrpc recording 1\n"))
	if data, err := os.ReadFile(seedRecording); err == nil {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, p := range []*tap{{target: new(target), showValues: true, hex: true}, {target: &target{json: true}}} {
			var out strings.Builder
			if _, err := p.printRecording(t.Context(), bytes.NewReader(data), &out, methodSet{}); err != nil && !errors.Is(err, errCutOff) && failureOf(err).Exit != exitUsage {
				t.Error(err)
			}
			if bad := hasControls(out.String()); bad != "" {
				t.Errorf("prints %.300q", bad)
			}
		}
		r := &replay{tap: &tap{}, target: shelfMethods(t)}
		s, err := r.readScript(t.Context(), bytes.NewReader(data))
		if err != nil && !errors.Is(err, errCutOff) && failureOf(err).Exit != exitUsage {
			t.Errorf("readScript: %v", err)
		}
		if s == nil {
			return
		}
		for _, step := range s.steps {
			if _, why, _ := r.arguments(step.call); why == "" {
				c := &liveCall{recordedCall: step.call, method: r.target.methods[step.call.method]}
				for range c.method.layout.Results {
					c.results = append(c.results, json.RawMessage(`"1"`))
				}
				c.items = c.results
				list, _ := r.compare(c)
				for _, ch := range list {
					if bad := hasControls(ch.text("")); bad != "" {
						t.Errorf("prints %.300q", bad)
					}
				}
			}
		}
	})
}
