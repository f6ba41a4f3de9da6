package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// The test binary is also the servers.
func TestMain(m *testing.M) {
	if slices.Contains(os.Args, "server") {
		main()
		return
	}
	os.Setenv("GORACE", "atexit_sleep_ms=0") // of the servers
	os.Exit(m.Run())
}

// A buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// No call fails while all servers are upgraded, and each runs once.
func TestFleet(t *testing.T) {
	var out buffer
	if err := run(t.Context(), nil, &out, []string{"-for", "1500ms"}); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	const want = `(?s)lab-1 serves release 1.*all servers say: lab-1, release 1; lab-2, release 1; lab-3, release 1
.*the console is at http://.*lab-3 serves release 2.*all servers say: lab-1, release 2; lab-2, release 2; lab-3, release 2
.*calls: ([0-9,]+), [0-9,]+ of them streams [^
]*
calls at the servers: ([0-9,]+)
failed: 0
sent again: 0
latency of Measure: p50 .*
upgraded: lab-1 to release 2; .*
upgraded: lab-3 to release 2; .*
readings with the new field: [1-9]`
	found := regexp.MustCompile(want).FindStringSubmatch(out.String())
	if found == nil || found[1] != found[2] {
		t.Errorf("got\n%s", &out)
	}
}

// An interrupt ends the run early, with the summary.
func TestInterrupt(t *testing.T) {
	var out buffer
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := run(ctx, nil, &out, []string{"-for", "0"}); err != nil || !strings.Contains(out.String(), "\nfailed: 0\n") || strings.Contains(out.String(), "upgraded") {
		t.Errorf("%v\n%s", err, &out)
	}
}

func TestMistakes(t *testing.T) {
	for want, args := range map[string][]string{
		`unknown command ["clint"]`: {"clint"},
		"want the broker":           {"server"},
		"-for: want a duration":     {"-for", "-1s"},
		"no release 3":              {"-nats", "nats://127.0.0.1:1", "-release", "3", "server"},
		"nats://127.0.0.1:1: ":      {"-nats", "nats://127.0.0.1:1", "server"},
	} {
		if err := run(t.Context(), nil, new(buffer), args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v", args, err)
		}
	}
}

// The console calls the servers.
func TestConsole(t *testing.T) {
	srv, err := newServer("lab-1", 2)
	if err != nil {
		t.Fatal(err)
	}
	client, err := bsrpctest.Dial(t, srv, nil)
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := bsrpc.Bind[Instruments[newReading]](t.Context(), client, service)
	if err != nil {
		t.Fatal(err)
	}
	page, stop, err := console(proxy)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	for _, call := range []struct{ method, args, want string }{
		{"Measure", `["meter-07"]`, `[{"Server":"lab-1","Volts":`},
		{"Measure", `["meter-31"]`, `there is no instrument \"meter-31\"`},
		{"Record", `["meter-30", 2]`, `"Celsius":2`},
	} {
		answer, err := http.Post(page+service+"."+call.method, "application/json", strings.NewReader(call.args))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || !strings.Contains(string(text), call.want) {
			t.Errorf("%+v: got %s, %v", call, text, err)
		}
	}
}
