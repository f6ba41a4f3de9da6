//go:build bsrpc_long

// Linking it takes longer than the test, so it runs in CI.

package main

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var update = flag.Bool("update", false, "rewrite testdata/demonstration.txt")

// The complete demonstration in virtual time, with acquisitions of 45 s.
func TestDemonstration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newTestServer(t)
		if err := demonstrate(t.Context(), srv.dial, srv.says); err != nil {
			t.Error(err)
		}
		srv.Close()
		want, err := os.ReadFile("testdata/demonstration.txt")
		if *update {
			err = os.WriteFile("testdata/demonstration.txt", []byte(srv.said()), 0o666)
		} else if err != nil || srv.said() != string(want) {
			t.Errorf("differs from testdata/demonstration.txt, %v:\n%s", err, srv.said())
		}
		if err != nil {
			t.Error(err)
		}
	})
}

// Server and clients in one process, over a socket.
func TestBothInOneProcess(t *testing.T) {
	var out bytes.Buffer
	p := program{out: &out, acquisition: time.Millisecond}
	if err := p.run(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if want := "NotConfigured: no settings yet; call Configure\nrack    session 2 left after 6 calls"; !strings.Contains(out.String(), want) {
		t.Errorf("said\n%swant\n%s", &out, want)
	}
}

// The server and client commands.
func TestServerAndClient(t *testing.T) {
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		p := program{out: w, addr: "127.0.0.1:0", acquisition: time.Millisecond}
		served <- p.run(ctx, []string{"server"})
		w.Close()
	}()
	lines := bufio.NewReader(r)
	line, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	addr := strings.TrimSpace(strings.TrimPrefix(line, "serving on"))
	rest := make(chan string)
	go func() {
		text, _ := io.ReadAll(lines)
		rest <- string(text)
	}()

	var out bytes.Buffer
	if err := (program{out: &out, addr: addr}).run(t.Context(), []string{"client"}); err != nil {
		t.Error(err)
	}
	if want := "2000 samples, 100 periods, -0.500 V to 0.500 V, mean 0.000 V"; !strings.Contains(out.String(), want) {
		t.Errorf("the client said\n%swant\n%s", &out, want)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if text := <-rest; !strings.Contains(text, "output off\nsupply  0 mV\nrack    session 1 left after 10 calls") {
		t.Errorf("the server said\n%s", text)
	}
}

func TestUsageErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().String()
	for _, args := range [][]string{{"sever"}, {"client", "x"}, {"server"}} {
		if err := (program{out: io.Discard, addr: taken}).run(t.Context(), args); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
	l.Close() // not listening any more
	if err := (program{out: io.Discard, addr: taken}).run(t.Context(), []string{"client"}); err == nil {
		t.Error("a client without a server got no error")
	}
}
