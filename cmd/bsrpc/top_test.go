package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/introspect"
	"github.com/bsrpc/bsrpc/stats"
)

// samples returns what a server with everything says at two moments.
func samples() (before, now *sample) {
	began := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	method := func(name string, ok, notFound, refused uint64) stats.Method {
		m := stats.Method{Name: name, Calls: []stats.Count{{Code: "ok", Calls: ok}}}
		if notFound > 0 {
			m.Calls = append(m.Calls, stats.Count{Code: "not found", Calls: notFound})
		}
		if refused > 0 {
			m.Refused = []stats.Count{{Code: "resource exhausted", Calls: refused}}
		}
		m.Latency = stats.MakeHistogram([]stats.Bucket{{Low: 1 << 20, High: 5 << 18, Count: ok}, {Low: 1 << 23, High: 5 << 21, Count: notFound}}, time.Second)
		return m
	}
	before = &sample{at: began.Add(time.Hour), counters: introspect.Counters{
		Started: began, Received: 1000, Sent: 5_000_000, Methods: []stats.Method{method("Scope.Read", 100, 0, 1), method("Scope.Idle", 5, 0, 0)},
	}, sessions: []introspect.Session{{ID: 1, Calls: 50}, {ID: 2, Calls: 3}}}
	now = &sample{at: before.at.Add(2 * time.Second), counters: introspect.Counters{
		Started: began, Sessions: 2, Connections: 3, Waiting: 1, Handlers: 1, Open: 4, InLine: 2, Streams: 1, Unsent: 1500, Panics: 7, RefusedConns: 9,
		Received: 3000, Sent: 9_000_000,
		Methods:   []stats.Method{method("Scope.Read", 2100, 0, 4), method("Scope.Find", 6, 4, 0), method("Scope.Idle", 5, 0, 0), method("Scope.\x1b[2JA", 1, 0, 0)},
		ToClients: []stats.Method{method("Screen.Show", 2, 0, 0)},
	}, sessions: []introspect.Session{
		{ID: 1, Name: "ann", Addr: "192.0.2.1:5000", Since: began, Calls: 90}, {ID: 2, Addr: "@", Since: now0(before, -90), Calls: 3},
		{ID: 7, Name: "bob\u202e", Addr: "192.0.2.7:5000", Position: 1},
	}, groups: []introspect.Group{
		{Name: "load"}, {Name: "scope", Holder: 1, Acquired: true, Since: now0(before, -30), Waiting: []uint64{2, 2}}, {Name: "supply", Holder: 2},
	}}
	return before, now
}

// now0 is some seconds after a sample.
func now0(p *sample, seconds int) time.Time { return p.at.Add(time.Duration(seconds) * time.Second) }

// A view has everything, as text and as JSON.
func TestTopGolden(t *testing.T) {
	before, now := samples()
	var got strings.Builder
	r := now.since(before)
	got.WriteString(r.text("127.0.0.1:7341", 20) + "\n")
	got.WriteString(r.text("127.0.0.1:7341", 1) + "\n")
	if err := writeJSON(&got, r); err != nil {
		t.Fatal(err)
	}
	for _, c := range got.String() {
		if c != '\n' && !printable(c) {
			t.Errorf("prints %q", c)
		}
	}
	const file = "testdata/top.golden"
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || got.String() != string(want) {
		t.Errorf("%s differs, see go test -update; %v; got:\n%s", file, err, got.String())
	}
	live := frame(r.text("a", 20))
	if !strings.HasPrefix(live, "\x1b[?7l\x1b[H") || !strings.HasSuffix(live, "\x1b[J\x1b[?7h") || strings.Count(live, "\x1b[K\n") != strings.Count(live, "\n") || strings.Contains(live, "\x1b[2J") {
		t.Errorf("in a terminal: %q", live)
	}
}

// A server that lies about its figures cannot make top fail or print without end.
func TestTopOfALiar(t *testing.T) {
	before, now := samples()
	c := &now.counters
	c.Methods = nil
	for i := range 1000 {
		c.Methods = append(c.Methods, stats.Method{
			Name: strings.Repeat("\a", 1000+i), Calls: []stats.Count{{Code: strings.Repeat("\x1b", 1000), Calls: math.MaxUint64}},
			Latency: stats.Histogram{Count: 1, Sum: math.MinInt64, P50: -1, Buckets: []stats.Bucket{{Low: -5, High: math.MaxInt64, Count: math.MaxUint64}, {Low: -9, Count: 1}}},
		})
		now.groups = append(now.groups, introspect.Group{Acquired: true, Since: time.Unix(math.MaxInt32<<20, 0), Waiting: make([]uint64, 1000)})
		now.sessions = append(now.sessions, introspect.Session{Name: strings.Repeat("\x9b", 1000), Addr: strings.Repeat("x", 1000), Position: math.MaxUint64})
	}
	c.Received, c.Started = 0, time.Unix(math.MaxInt32<<20, 0)
	for _, pair := range [][2]*sample{{before, now}, {now, before}, {now, now}} {
		text := pair[1].since(pair[0]).text(strings.Repeat("\x1b", 1000), 20)
		if len(text) > 20_000 {
			t.Errorf("prints %d bytes", len(text))
		}
		for _, r := range text {
			if r != '\n' && !printable(r) {
				t.Fatalf("prints %q", r)
			}
		}
	}
}

// top sees the calls of a real server, and ends with its count, or when it is interrupted.
func TestTop(t *testing.T) {
	address := serve(t, newDesk(t, nil))
	exit, out, failed := bsrpcCommand(t, "", "top", address, "--interval", "1ms", "--count", "2", "--json")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if exit != 0 || failed != "" || len(lines) != 2 {
		t.Fatalf("exit %d, %s%s", exit, out, failed)
	}
	var r rates
	if err := json.Unmarshal([]byte(lines[1]), &r); err != nil {
		t.Fatal(err)
	}
	names := ""
	for _, m := range r.Methods {
		names += m.Name + " "
	}
	if r.Server.Sessions != 1 || len(r.Sessions) != 1 || r.Sessions[0].Calls <= 0 || r.Server.Calls <= 0 ||
		!strings.Contains(names, "bsrpc.v1.Counters ") || !strings.Contains(names, "bsrpc.v1.Sessions ") {
		t.Errorf("got %+v", r)
	}
	if strings.Contains(out, "null") {
		t.Errorf("a list without elements is not null: %s", out)
	}
	exit, out, failed = bsrpcCommand(t, "", "top", address, "--interval", "1ms", "--count", "1", "--rows", "2")
	if exit != 0 || failed != "" || !strings.Contains(out, "bsrpc.v1.Counters") || !strings.Contains(out, "SESSION") || strings.Contains(out, "\x1b") {
		t.Errorf("exit %d, %s%s", exit, out, failed)
	}
	_, out, _ = bsrpcCommand(t, "", "top", address, "--interval", "1ms", "--count", "2")
	if strings.Count(out, "\n\n"+address+"  up ") != 1 || !strings.HasPrefix(out, address+"  up ") || strings.HasSuffix(out, "\n\n") {
		t.Errorf("an empty line between two views, and nowhere else: %q", out)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var text strings.Builder
	first := writerFunc(func(b []byte) (int, error) { cancel(); return text.Write(b) })
	if exit := run(ctx, []string{"top", address, "--interval", "1ms"}, strings.NewReader(""), first, first); exit != 0 || !strings.Contains(text.String(), "calls/s") {
		t.Errorf("interrupted: exit %d, %s", exit, text.String())
	}
	for _, args := range [][]string{{"--interval", "0s"}, {"--count", "0"}, {"--count", "-1"}, {"--rows", "0"}, {"Desk"}} {
		if exit, _, _ := bsrpcCommand(t, "", append([]string{"top", address}, args...)...); exit != exitUsage {
			t.Errorf("%v: exit %d", args, exit)
		}
	}
}

type writerFunc func(b []byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// A server shows its figures to operators. Others get to know what they lack.
func TestTopOfAStranger(t *testing.T) {
	address := serve(t, newDesk(t, &bsrpc.ServerOptions{OperatorRole: "ops", Authenticate: func(_ context.Context, p *bsrpc.Peer, _ bsrpc.Credentials) error {
		p.Name = "guest"
		return nil
	}, Roles: map[string]string{"Desk.*": "*"}}))
	exit, out, failed := bsrpcCommand(t, "", "top", address)
	if exit == 0 || out != "" || !strings.Contains(failed, "operators only") || !strings.Contains(failed, "OperatorRole") {
		t.Errorf("exit %d, %s%s", exit, out, failed)
	}
}

// A server that goes is told, and top goes on with the next one.
func TestTopOfALostServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	srv, next := newDesk(t, nil), newDesk(t, nil)
	done := make(chan error, 2)
	go func() { done <- srv.Serve(l) }()
	views := 0
	replacing := writerFunc(func(b []byte) (int, error) {
		if views++; views == 1 {
			srv.Close()
			<-done
			if l, err = net.Listen("tcp", address); err != nil {
				t.Error(err)
			}
			go func() { done <- next.Serve(l) }()
		}
		return len(b), nil
	})
	var failed strings.Builder
	exit := run(t.Context(), []string{"top", address, "--interval", "1ms", "--count", "3"}, strings.NewReader(""), replacing, &failed)
	if text := failed.String(); exit != 0 || views != 3 || strings.Count(text, "\n") != 1 || !strings.Contains(text, " the server is gone: ") {
		t.Errorf("exit %d, %d views, %s", exit, views, text)
	}
	next.Close()
	<-done
	check(t, exitNetwork, "nothing listens", "top", address)
}

// In a terminal the view has its height.
func TestTopFits(t *testing.T) {
	before, now := samples()
	r := now.since(before)
	whole := r.text("127.0.0.1:7341", 20)
	for height := range 60 {
		text := r.fitting("127.0.0.1:7341", 20, height)
		lines := strings.Count(text, "\n")
		if lines > max(height-1, 1) || height > strings.Count(whole, "\n") && text != whole {
			t.Errorf("height %d: %d lines", height, lines)
		}
		if height > 25 && !strings.Contains(text, "SESSION ") {
			t.Errorf("height %d: no sessions", height)
		}
	}
}

func TestBrief(t *testing.T) {
	var got []string
	for _, d := range []time.Duration{-1, 0, 1, 999, 12_345, 1_234_567, 999 * time.Millisecond, 59 * time.Second, 61 * time.Second, 3 * time.Hour, 50 * time.Hour} {
		got = append(got, brief(d))
	}
	for _, n := range []float64{0, 999, 1000, 12_345, 1e6, 5e9, 1e20} {
		got = append(got, byteSize(n))
	}
	const want = "[- - 0.001µs 0.999µs 12.3µs 1.23ms 999ms 59s 1m01s 3h00m 2d 0 B 999 B 1 kB 12.3 kB 1 MB 5 GB 1e+08 TB]"
	if fmt.Sprint(got) != want {
		t.Errorf("got %v", got)
	}
}

// While the server does not answer, top says so.
func TestTopWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cmd, out, failed := paperCommand(t)
		v := &topView{target: &target{timeout: 9 * time.Second}}
		p, err := v.ask(cmd, &operatorContract{
			Counters: func(ctx context.Context) (c introspect.Counters, err error) {
				time.Sleep(5 * time.Second)
				return c, ctx.Err()
			},
			Sessions: func(ctx context.Context) ([]introspect.Session, error) { return nil, ctx.Err() },
			Groups:   func(ctx context.Context) ([]introspect.Group, error) { return nil, ctx.Err() },
		})
		const want = "00:00:02.000 no answer for 2s; the server has 9s (--timeout)\n00:00:04.000 no answer for 4s; the server has 9s (--timeout)\n"
		if err != nil || p == nil || failed.String() != want || out.String() != "" {
			t.Errorf("%v, %q, %q", err, failed.String(), out.String())
		}
	})
}
