package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc"
)

// listen returns a listener and its address.
func listen(t *testing.T) (net.Listener, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, l.Addr().String()
}

// The probe follows the life of the server: without prices, ready, and during its last call, which
// is answered.
func TestProbe(t *testing.T) {
	calls, address := listen(t)
	health, probed := listen(t)
	srv, running, answer := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: slog.New(slog.DiscardHandler)}), make(chan bool), make(chan int)
	if err := srv.RegisterFunc("Shop.Price", func(_ context.Context, item string) (int, error) {
		running <- true
		return <-answer, nil
	}); err != nil {
		t.Fatal(err)
	}
	ctx, terminate := context.WithCancel(t.Context())
	defer terminate()
	loaded, ended := make(chan error), make(chan error, 1)
	go func() { ended <- run(ctx, srv, calls, health, func(context.Context) error { return <-loaded }) }()
	wantProbe := func(when string, want int) {
		t.Helper()
		for code := 0; code != want; { // a change may come a moment later
			reply, err := http.Get("http://" + probed + "/health")
			if err != nil {
				t.Fatal(when, err)
			}
			code = reply.StatusCode
			reply.Body.Close()
		}
	}
	wantProbe("without prices", http.StatusServiceUnavailable)
	loaded <- nil
	wantProbe("ready", http.StatusOK)
	if reply, err := http.Post("http://"+probed+"/Shop.Price", "application/json", strings.NewReader(`["bolt"]`)); err != nil || reply.StatusCode != http.StatusNotFound {
		t.Errorf("a call at the port of the probe: %v, %v", reply, err)
	}
	client, err := bsrpc.Dial(t.Context(), "tcp", address, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	shop, err := bsrpc.Bind[Shop](t.Context(), client, "Shop")
	if err != nil {
		t.Fatal(err)
	}
	last := make(chan error)
	go func() {
		cents, err := shop.Price(t.Context(), "bolt")
		if cents != 20 {
			err = errors.Join(err, errors.New("wrong answer"))
		}
		last <- err
	}()
	<-running
	terminate()
	wantProbe("in the last call", http.StatusServiceUnavailable)
	var e *bsrpc.Error
	if _, err := shop.Price(t.Context(), "nut"); !errors.As(err, &e) || e.Outcome != bsrpc.OutcomeNotRun {
		t.Errorf("a new call: %v", err)
	}
	answer <- 20
	if err := <-last; err != nil {
		t.Errorf("the last call: %v", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Without prices the server does not begin.
func TestLoad(t *testing.T) {
	calls, _ := listen(t)
	health, _ := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	srv, s := bsrpc.NewServer(nil), new(shop)
	if err := bsrpc.RegisterAs[Shop](srv, "Shop", s); err != nil {
		t.Fatal(err)
	}
	if err := run(ctx, srv, calls, health, s.load); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// The page has the files as they are.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../../../docs/guide/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"service.yaml", "deployment.yaml", "main.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want := string(text)
		if file == "main.go" { // its middle alone
			_, want, _ = strings.Cut(want, "// run serves until")
			want = "// run serves until" + want
		}
		if !strings.Contains(string(page), "\n"+want+"```\n") {
			t.Errorf("the page has not the text of %s:\n%s", file, want)
		}
	}
}
