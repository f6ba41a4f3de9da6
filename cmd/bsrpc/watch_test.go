package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"iter"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
	"github.com/bsrpc/bsrpc/layout"
)

// A paper is a writer that tests read while a command writes.
type paper struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *paper) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *paper) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// paperCommand returns a command that writes on paper.
func paperCommand(t *testing.T) (cmd *cobra.Command, out, failed *paper) {
	cmd, out, failed = new(cobra.Command), new(paper), new(paper)
	cmd.SetContext(t.Context())
	cmd.SetOut(out)
	cmd.SetErr(failed)
	return cmd, out, failed
}

// begin runs a command until stop is called, which returns its exit code. Both of its outputs go
// to the paper.
func begin(t *testing.T, args ...string) (out *paper, stop func() int) {
	t.Helper()
	out = new(paper)
	return out, beginWith(t, out, out, args...)
}

func beginWith(t *testing.T, stdout, stderr io.Writer, args ...string) (stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 1)
	go func() { done <- run(ctx, args, strings.NewReader(""), stdout, stderr) }()
	exit, stopped := 0, false
	stop = func() int {
		if !stopped {
			cancel()
			exit, stopped = <-done, true
		}
		return exit
	}
	t.Cleanup(func() { stop() })
	return stop
}

func TestWatch(t *testing.T) {
	address := serve(t, newShelf(t, nil, "bolt"))
	s := &session{t: t, names: strings.NewReplacer(address, "ADDRESS")}
	s.run("watch", address, "Shelf.Watch", "0")
	s.run("watch", address, "Shelf.Watch", "0", "--count", "1", "--json", "--show-values")
	s.run("watch", address, "Shelf.Stock", "--every", "1ms", "--count", "4")
	s.run("watch", address, "Shelf.Stock", "--every", "1ms", "--count", "3", "--json")
	s.run("watch", address, "Shelf.Asked", "--every", "1ms", "--count", "2")
	s.run("watch", address, "Shelf.Put", "nut", "--every", "1ms", "--count", "2", "--metadata", "tenant=blue")
	s.run("watch", address, "Shelf.Put", "--every", "1ms")
	s.run("watch", address, "Shelf.Drop", "nut")
	s.run("watch", address, "Shelf.Add", "[]")
	s.run("watch", address, "Shelf.Nothing")
	s.run("watch", address)
	s.run("watch", address, "Shelf.Stock", "--every", "0")
	s.run("watch", address, "Shelf.Stock", "--count", "0")
	desk := serve(t, newDesk(t, nil))
	s.names = strings.NewReplacer(desk, "DESK")
	s.run("watch", desk, "Desk.Copy", "@-")
	s.run("watch", desk, "Desk.Size", "@-")
	compareFile(t, "testdata/watch.golden", s.text.String())
}

// troubled fails as a test says.
type troubled struct{ errors chan error }

func (tr *troubled) Ask(ctx context.Context) (int, error) {
	select {
	case err := <-tr.errors:
		return 7, err
	default:
		return 7, nil
	}
}

func (tr *troubled) Items(ctx context.Context) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		if yield(1, nil) {
			yield(0, <-tr.errors)
		}
	}
}

// Errors of the method are states, and the last one is the exit code.
func TestWatchErrors(t *testing.T) {
	tr := &troubled{errors: make(chan error, 3)}
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	if err := srv.RegisterName("Trouble", tr); err != nil {
		t.Fatal(err)
	}
	address := serve(t, srv)
	bad := &bsrpc.Error{Code: bsrpc.CodeUnavailable, Name: "Busy", Message: "not now\x1b[2J"}
	s := &session{t: t, names: strings.NewReplacer(address, "ADDRESS")}
	tr.errors <- bad
	tr.errors <- bad
	s.run("watch", address, "Trouble.Ask", "--every", "1ms", "--count", "4")
	tr.errors <- bad
	s.run("watch", address, "Trouble.Ask", "--every", "1ms", "--count", "1", "--json")
	tr.errors <- bad
	s.run("watch", address, "Trouble.Items")
	tr.errors <- nil
	s.run("watch", address, "Trouble.Items")
	compareFile(t, "testdata/watch_errors.golden", s.text.String())
}

// If the server goes, watch says so, and connects again.
func TestWatchReconnects(t *testing.T) {
	for _, args := range [][]string{{"Shelf.Stock", "--every", "1ms"}, {"Desk.Hang2"}} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := l.Addr().String()
		start := func(l net.Listener) *bsrpc.Server {
			srv := newShelf(t, nil, "bolt")
			if err := srv.RegisterName("Desk", holder{}); err != nil {
				t.Fatal(err)
			}
			go srv.Serve(l)
			t.Cleanup(func() { srv.Close() })
			return srv
		}
		srv := start(l)
		out, stop := begin(t, append([]string{"watch", address}, args...)...)
		waitFor(t, "a first value", func() bool { return strings.Contains(out.String(), "\n") })
		srv.Close()
		waitFor(t, "the loss", func() bool { return strings.Contains(out.String(), "the server is gone: ") })
		if l, err = net.Listen("tcp", address); err != nil {
			t.Fatal(err)
		}
		start(l)
		waitFor(t, "the connection", func() bool {
			_, after, ok := strings.Cut(out.String(), "connected again\n")
			return ok && after != ""
		})
		if exit := stop(); exit != 0 {
			t.Errorf("exit %d", exit)
		}
		if n := strings.Count(out.String(), "the server is gone"); n != 1 {
			t.Errorf("%d losses:\n%s", n, out)
		}
	}
}

// A server of another version may come in its place.
func TestWatchOtherVersion(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	start := func(l net.Listener, service any) *bsrpc.Server {
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
		if err := srv.RegisterName("Gate", service); err != nil {
			t.Fatal(err)
		}
		go srv.Serve(l)
		t.Cleanup(func() { srv.Close() })
		return srv
	}
	srv := start(l, teller{})
	out, _ := begin(t, "watch", address, "Gate.Tell", "ann", "x", "--every", "1ms")
	waitFor(t, "a first value", func() bool { return strings.Contains(out.String(), `"ann!x"`) })
	srv.Close()
	if l, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	start(l, otherTeller{})
	waitFor(t, "the change, and its error", func() bool {
		return strings.Contains(out.String(), "connected again; the method has changed: Gate.Tell(string) (string, error)\n") &&
			strings.Contains(out.String(), "bsrpc: arguments: want 1, got 2: Gate.Tell(string) (string, error)\n")
	})
}

// holder has a stream without an end.
type holder struct{}

func (holder) Hang2(ctx context.Context) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		yield(1, nil)
		<-ctx.Done()
	}
}

func TestWatchNoServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	check(t, 3, "nothing listens on", "watch", l.Addr().String(), "Shelf.Stock")
}

func TestChanges(t *testing.T) {
	const text = "{A int.le4; B []int.le4; M map[string.le4]{K string.le4; V bool}; P *string.le4}"
	l, err := layout.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		old, new string
		secret   []string
		want     string
	}{
		{`{"A":1,"B":[1,2],"M":{},"P":null}`, `{"A":1,"B":[1,2],"M":{},"P":null}`, nil, ""},
		{`{"A":1,"B":[1,2],"M":{},"P":null}`, `{"A":2,"B":[1],"M":{"x":{"K":"a","V":true}},"P":"p"}`, nil,
			"~ A: 1 -> 2\n- B[1]: 2\n+ M.x: {\"K\":\"a\",\"V\":true}\n~ P: null -> \"p\"\n"},
		{`{"A":1,"B":[],"M":{"a b":{"K":"x","V":true},"q":{"K":"","V":false}},"P":null}`, `{"A":1,"B":[],"M":{"a b":{"K":"y","V":true}},"P":null}`, nil,
			"~ M[\"a b\"].K: \"x\" -> \"y\"\n- M.q: {\"K\":\"\",\"V\":false}\n"},
		{`{"A":1,"B":[],"M":{"a":{"K":"x","V":true}},"P":null}`, `{"A":1,"B":[],"M":{"a":{"K":"y","V":true}},"P":null}`, []string{"M[].K"}, "~ (secret)\n"},
		{`{"A":1,"B":[],"M":{},"P":"a"}`, `{"A":2,"B":[],"M":{},"P":"b"}`, []string{"P"}, "~ A: 1 -> 2\n"},
		{`{"A":1,"B":[],"M":{},"P":"\udcff"}`, `{"A":1,"B":[],"M":{},"P":"\udcfe"}`, nil, "~ P: \"\\udcff\" -> \"\\udcfe\"\n"},
		{`{"A":1,"B":[],"M":{},"P":"\u001b"}`, `{"A":1,"B":[],"M":{},"P":"` + strings.Repeat("x", 300) + `"}`, nil, "~ P: \"\\u001b\" -> \"" + strings.Repeat("x", 255) + "...\n"},
	} {
		list, more := changes(l, json.RawMessage(test.old), json.RawMessage(test.new), test.secret)
		var got strings.Builder
		for _, c := range list {
			got.WriteString(c.text("") + "\n")
		}
		if got.String() != test.want || more != 0 {
			t.Errorf("%s\n%s: got\n%swant\n%s", test.old, test.new, got.String(), test.want)
		}
	}
	many := strings.Repeat("1,", 500) + "1"
	list, more := changes(&layout.Type{Kind: layout.Slice, Elem: &layout.Type{Kind: layout.Int, Format: layout.LE4}},
		json.RawMessage("["+many+"]"), json.RawMessage("["+strings.ReplaceAll(many, "1", "2")+"]"), nil)
	if len(list) != maxChanges || more != 501-maxChanges {
		t.Errorf("%d changes and %d more", len(list), more)
	}
}

func TestMarks(t *testing.T) {
	var out strings.Builder
	if err := (marker{&out, true}).line("12:00 ", "~ A: 1 -> 2"); err != nil || out.String() != "12:00 \x1b[33m~ A: 1 -> 2\x1b[0m\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

// Any two texts have differences that print, and equal ones have none.
func FuzzChanges(f *testing.F) {
	f.Add(`{"a":[1,{"b":null}]}`, `{"a":[1,{"b":"x"}],"c":1}`)
	f.Add(`"\udcff"`, `{"":0}`)
	f.Fuzz(func(t *testing.T, old, now string) {
		list, _ := changes(&layout.Type{Kind: layout.Bool}, json.RawMessage(old), json.RawMessage(now), nil)
		if (len(list) == 0) != (old == now) {
			t.Errorf("%d changes", len(list))
		}
		for _, c := range list {
			if bad := hasControls(c.text("x ")); bad != "" || strings.Contains(c.text(""), "\n") {
				t.Errorf("prints %q", bad)
			}
			c.mark()
		}
		io.WriteString(io.Discard, now)
	})
}

// stuck answers its first call at once, the second after five seconds, and later ones too late.
type stuck struct{ calls atomic.Int64 }

func (s *stuck) Ask(ctx context.Context) (int, error) {
	n := s.calls.Add(1)
	switch n {
	case 1:
	case 2:
		time.Sleep(5 * time.Second)
	default:
		<-ctx.Done()
		time.Sleep(time.Second)
	}
	return int(n), nil
}

// While a call has no answer, watch says so at growing intervals. Calls that are out of time one after another
// are one wait.
func TestWatchWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
		if err := srv.RegisterName("Lab", new(stuck)); err != nil {
			t.Fatal(err)
		}
		client, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{NoReconnect: true})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 31500*time.Millisecond)
		defer cancel()
		tg := &target{timeout: 6 * time.Second}
		s, err := tg.open(ctx, client)
		if err != nil {
			t.Fatal(err)
		}
		cmd, out, failed := paperCommand(t)
		w := &watch{target: tg, cmd: cmd, name: "Lab.Ask", every: time.Second, count: -1}
		if w.method, err = s.method(ctx, w.name); err != nil {
			t.Fatal(err)
		}
		w.poll(ctx, s)
		time.Sleep(time.Second) // the last call ends at the server
		var said []string
		for line := range strings.Lines(failed.String()) {
			_, text, _ := strings.Cut(line, " ")
			said = append(said, strings.TrimSuffix(text, "; a call may take 6s (--timeout)\n"))
		}
		want := []string{"2s", "4s", "2s", "4s", "8s", "16s"}
		for i := range want {
			want[i] = "Lab.Ask: no answer for " + want[i]
		}
		if !slices.Equal(said, want) {
			t.Errorf("said %q", said)
		}
		if have := out.String(); strings.Count(have, "\n") != 3 || !strings.Contains(have, " ~ \"1\" -> \"2\"\n") || !strings.Contains(have, "! ") {
			t.Errorf("printed %q", have)
		}
	})
}
