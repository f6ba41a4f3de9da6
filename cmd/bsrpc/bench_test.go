package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
	"github.com/bsrpc/bsrpc/layout"
)

// A staller makes its first call wait, and fails every tenth one if it is told so.
type staller struct {
	calls atomic.Int64
	stall time.Duration
	fails bool
}

func (s *staller) Do(ctx context.Context) error {
	n := s.calls.Add(1)
	if n == 1 {
		select {
		case <-ctx.Done():
		case <-time.After(s.stall):
		}
	}
	if s.fails && n%10 == 0 {
		return &bsrpc.Error{Code: bsrpc.CodeNotFound, Name: "Lab.Gone", Message: "gone"}
	}
	return nil
}

// stallLoad returns a load on a server with s, in a bubble.
func stallLoad(t *testing.T, s *staller, concurrency int) *load {
	t.Helper()
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	if err := srv.RegisterName("Lab", s); err != nil {
		t.Fatal(err)
	}
	client, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{NoReconnect: true})
	if err != nil {
		t.Fatal(err)
	}
	return &load{clients: []*bsrpc.Client{client}, method: "Lab.Do", args: fixedArgs{nil}, concurrency: concurrency, duration: time.Second, sleep: time.Sleep}
}

// Latencies count from the intended start: one call that takes 200 ms delays the 20 that were
// due meanwhile, and all of them are slow.
func TestBenchStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := stallLoad(t, &staller{stall: 200 * time.Millisecond}, 1).run(t.Context(), 100)
		if r.Started != 100 || r.Failed != 0 || r.NotStarted != 0 {
			t.Errorf("%d started, %d failed, %d did not start", r.Started, r.Failed, r.NotStarted)
		}
		for _, test := range []struct {
			percentile float64
			want       time.Duration
		}{{100, 200 * time.Millisecond}, {90, 110 * time.Millisecond}, {85, 60 * time.Millisecond}} {
			got := time.Duration(r.latencies.ValueAtPercentile(test.percentile))
			if d := got - test.want; d < -11*time.Millisecond || d > 11*time.Millisecond {
				t.Errorf("p%v is %v, want about %v", test.percentile, got, test.want)
			}
		}
		if late := time.Duration(r.late.Max()); late < 180*time.Millisecond || late > 200*time.Millisecond {
			t.Errorf("the latest start is %v late", late)
		}
	})
}

// A schedule that the callers cannot keep says how many calls did not start; more callers keep it.
func TestBenchBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if r := stallLoad(t, &staller{stall: 2 * time.Second}, 1).run(t.Context(), 100); r.Started != 1 || r.NotStarted != 99 {
			t.Errorf("%d started, %d did not start", r.Started, r.NotStarted)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r := stallLoad(t, &staller{stall: 2 * time.Second}, 2).run(t.Context(), 100)
		if p99 := time.Duration(r.latencies.ValueAtPercentile(98)); r.Started != 100 || r.NotStarted != 0 || p99 > 10*time.Millisecond {
			t.Errorf("%d started, %d did not start, p98 %v", r.Started, r.NotStarted, p99)
		}
	})
}

// Errors are counted by code, outcome and name; a lost connection and an interrupt end the run.
func TestBenchErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := stallLoad(t, &staller{fails: true}, 4).run(t.Context(), 200)
		want := errorKind{bsrpc.CodeNotFound, bsrpc.OutcomeAnswered, "Lab.Gone"}
		if r.Started != 200 || r.Failed != 20 || len(r.errors) != 1 || r.errors[want] == nil || r.errors[want].count != 20 {
			t.Errorf("%d started, %d failed: %v", r.Started, r.Failed, r.errors)
		}
		if f := failureOf(failedCalls([]*tally{r})); f.Exit != exitApplication || f.Message != "20 of 200 calls failed, most of them with: gone" {
			t.Errorf("%+v", f)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		l := stallLoad(t, new(staller), 4)
		time.AfterFunc(305*time.Millisecond, func() { l.clients[0].Close() }) // between two calls
		begin := time.Now()
		r := l.run(t.Context(), 100)
		if d := time.Since(begin); r.Lost == nil || d > 400*time.Millisecond || r.Started-r.Failed != 31 {
			t.Errorf("%v after %v, %d calls, %d failed", r.Lost, d, r.Started, r.Failed)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer time.AfterFunc(305*time.Millisecond, cancel).Stop() // between two calls
		r := stallLoad(t, &staller{stall: time.Hour}, 4).run(ctx, 100)
		if r.Started != 30 || r.Failed != 0 || r.CutOff != 1 || r.NotStarted != 0 || r.Lost != nil {
			t.Errorf("%d started, %d failed, %d cut off, %d did not start, %v", r.Started, r.Failed, r.CutOff, r.NotStarted, r.Lost)
		}
	})
}

// A run lasts as long as is asked for, also if its last call ends earlier: otherwise the rate would be wrong.
func TestBenchFewCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := stallLoad(t, &staller{stall: 10 * time.Millisecond}, 4).run(t.Context(), 1)
		if r.Started != 1 || r.Elapsed != time.Second || r.achieved() != 1 {
			t.Errorf("%d started in %v, %v calls/s", r.Started, r.Elapsed, r.achieved())
		}
	})
}

// The closed loop makes one call after another.
func TestBenchMax(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &staller{stall: 2 * time.Second}
		l := stallLoad(t, s, 1)
		r := l.run(t.Context(), 0)
		if r.Started != 1 || r.NotStarted != 0 || time.Duration(r.latencies.Max()) < 1990*time.Millisecond {
			t.Errorf("%d started, %d did not start, max %v", r.Started, r.NotStarted, time.Duration(r.latencies.Max()))
		}
	})
}

// The calls of a warm-up are made, and not counted.
func TestBenchWarmUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(staller)
		cmd, out := new(cobra.Command), new(strings.Builder)
		cmd.SetContext(t.Context())
		cmd.SetOut(out)
		f := benchFlags{warmUp: 30 * time.Millisecond}
		err := f.run(cmd, &server{target: new(target)}, stallLoad(t, s, 4), []float64{100})
		if n := s.calls.Load(); err != nil || n != 103 || !strings.Contains(out.String(), " 100 succeeded, 0 failed\n") {
			t.Errorf("%v, %d calls, want 3 that do not count, and 100: %s", err, n, out)
		}
	})
}

// measured runs bench. A machine that stands still for the few milliseconds of a run makes no calls: then it runs again.
func measured(t *testing.T, args ...string) (exit int, stdout, stderr string) {
	t.Helper()
	none := regexp.MustCompile(`\b0 succeeded, 0 failed|"failed":0\b.*"succeeded":0\b`)
	for range 50 {
		if exit, stdout, stderr = bsrpcCommand(t, "", args...); !none.MatchString(stdout) {
			break
		}
	}
	return exit, stdout, stderr
}

// checkMeasured is check for a run of bench.
func checkMeasured(t *testing.T, exit int, want string, args ...string) {
	t.Helper()
	if got, out, failed := measured(t, append([]string{"bench"}, args...)...); got != exit || !strings.Contains(out+failed, want) {
		t.Errorf("bench %v: exit %d, %s%s, want %d and %q", args, got, out, failed, exit, want)
	}
}

// Methods with streams, readers and nil funcs: a call ends with its stream.
func TestBenchStreams(t *testing.T) {
	address := serve(t, newDesk(t, nil))
	file := filepath.Join(t.TempDir(), "numbers")
	if err := os.WriteFile(file, []byte("1\n2\n\n39\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args         []string
		items, bytes int64 // of a call
	}{
		{[]string{"Desk.Watch", "3"}, 3, 0},
		{[]string{"Desk.Copy", "@" + file}, 0, 8},
		{[]string{"Desk.Sum", "@" + file}, 0, 0},
		{[]string{"Desk.Sum", "[1, 2]"}, 0, 0},
		{[]string{"Desk.Each", "null"}, 0, 0},
	} {
		exit, out, failed := measured(t, append([]string{"bench", "--address", address, "--json", "--rate", "max", "--concurrency", "2", "--duration", "20ms"}, test.args...)...)
		var run struct{ Succeeded, Failed, Items, Bytes int64 }
		err := json.Unmarshal([]byte(out), &run)
		if n := run.Succeeded; err != nil || exit != 0 || n == 0 || run.Items != n*test.items || run.Bytes != n*test.bytes {
			t.Errorf("%v: exit %d, %v, %s", test.args, exit, err, out+failed)
		}
	}
	checkMeasured(t, 0, " a second\n    latency    p50 ", address, "Desk.Watch", "3", "--rate", "200", "--duration", "100ms")
	checkMeasured(t, 3, "calls failed, most of them with: Desk.Hang", address, "Desk.Hang", "--rate", "200", "--duration", "20ms", "--timeout", "30ms")
	check(t, 2, "line 2 of the stream: ", "bench", address, "Desk.Sum", "@"+wrongNumbers(t))
}

// wrongNumbers returns a file with a line that is not a number.
func wrongNumbers(t *testing.T) string {
	file := filepath.Join(t.TempDir(), "wrong")
	if err := os.WriteFile(file, []byte("1\nx\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// The command as a whole: its numbers, lines of a ramp, plots, and mistakes.
func TestBench(t *testing.T) {
	address := serve(t, newDesk(t, nil))
	dir := t.TempDir()
	calls := filepath.Join(dir, "calls")
	if err := os.WriteFile(calls, []byte("[1, 2]\n\n[\"-3\", 4]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"short": "[1]\n", "wrong": "[1, 2]\n[1, \"x\"]\n", "object": "{}\n", "empty": "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	svg, png := filepath.Join(dir, "one.svg"), filepath.Join(dir, "ramp.png")
	for _, args := range [][]string{
		{"Desk.Add", "1", "2", "--plot", svg},
		{"Desk.Add", "--calls", calls},
		{"Desk.Add", "--template", "{{.Index}}", "{{.Int -5 5}}", "--connections", "3"},
		{"Desk.Echo", "--template", `{{.Letters 4}} {{.Pick "a" "b"}} {{.Float}}`},
		{"Desk.Login", `{"User": "Ann"}`},
		{"Desk.Size", "@" + calls},
		{"Desk.Add", "1", "2", "--rate", "max", "--concurrency", "2"},
	} {
		args = append([]string{"bench", "--address", address, "--json", "--duration", "50ms"}, args...)
		if !slices.Contains(args, "--rate") {
			args = append(args, "--rate", "400")
		}
		exit, out, failed := measured(t, args...)
		var run struct {
			Succeeded, Failed, NotStarted int64
			Achieved                      float64
			LatencyNanoseconds            map[string]int64
		}
		if err := json.Unmarshal([]byte(out), &run); err != nil || exit != 0 {
			t.Errorf("%v: exit %d, %v, %s", args, exit, err, out+failed)
			continue
		}
		if max := slices.Contains(args, "max"); run.Failed != 0 || run.Achieved <= 0 || run.LatencyNanoseconds["p50"] == 0 || !max && run.Succeeded+run.NotStarted != 20 {
			t.Errorf("%v: %s", args, out)
		}
	}
	exit, out, failed := bsrpcCommand(t, "", "bench", address, "Desk.Add", "1", "2", "--ramp", "200:400:100", "--duration", "20ms", "--plot", png)
	if lines := strings.Split(strings.TrimSpace(out), "\n"); exit != 0 || len(lines) != 5 || !strings.HasPrefix(strings.TrimSpace(lines[4]), "400 ") {
		t.Errorf("exit %d, %s", exit, out+failed)
	}
	for file, begin := range map[string]string{svg: "<?xml", png: "\x89PNG"} {
		if data, err := os.ReadFile(file); err != nil || !bytes.HasPrefix(data, []byte(begin)) {
			t.Errorf("%s: %v, %.20q", file, err, data)
		}
	}
	checkMeasured(t, 1, "calls failed, most of them with: ", address, "Desk.Fail", "5", "--rate", "200", "--duration", "20ms")
	none := filepath.Join(dir, "none.svg")
	checkMeasured(t, 1, "broken", address, "Desk.Fail", "5", "--rate", "200", "--duration", "20ms", "--plot", none)
	if _, err := os.Stat(none); err == nil {
		t.Error("a plot without a call")
	}
	checkMeasured(t, 0, "closed loop, 1 caller, 1 connection\n", address, "Desk.Add", "1", "2", "--rate", "max", "--concurrency", "1", "--duration", "20ms")
	transcript(t, "testdata/bench.golden", append(words(
		"bench ADDRESS",
		"bench ADDRESS Desk.Ad",
		"bench ADDRESS Desk.Add 1",
		"bench ADDRESS Desk.Add 1 x",
		"bench ADDRESS Desk.Watch {{.Index}} --template",
		"bench ADDRESS Desk.Each f",
		"bench ADDRESS Desk.Add 1 2 --rate 0",
		"bench ADDRESS Desk.Add 1 2 --rate fast",
		"bench ADDRESS Desk.Add 1 2 --ramp 1:2",
		"bench ADDRESS Desk.Add 1 2 --ramp 2:1:1",
		"bench ADDRESS Desk.Add 1 2 --ramp 1:2:1 --rate 7",
		"bench ADDRESS Desk.Add 1 2 --duration 0",
		"bench ADDRESS Desk.Add 1 2 --warm-up -1s",
		"bench ADDRESS Desk.Add 1 2 --concurrency 0",
		"bench ADDRESS Desk.Add 1 2 --connections 200",
		"bench ADDRESS Desk.Add 1 2 --plot out.pdf",
		"bench ADDRESS Desk.Add 1 2 --plot DIR/missing/out.svg",
		"bench ADDRESS Desk.Add 1 2 --calls DIR/calls",
		"bench ADDRESS Desk.Add --calls DIR/missing",
		"bench ADDRESS Desk.Add --calls DIR/short",
		"bench ADDRESS Desk.Add --calls DIR/wrong",
		"bench ADDRESS Desk.Add --calls DIR/object",
		"bench ADDRESS Desk.Add --calls DIR/empty",
		"bench ADDRESS Desk.Add --calls DIR/calls --template",
		"bench ADDRESS Desk.Add 1 --template",
		"bench ADDRESS Desk.Add 1 {{.Index}}",
		"bench ADDRESS Desk.Add 1 {{.Idx}} --template",
		"bench ADDRESS Desk.Add 1 {{ --template",
	), line{args: []string{"bench", "ADDRESS", "Desk.Add", "1", "{{.Int 5 1}}", "--template"}}), "ADDRESS", address, "DIR", dir)
}

// A server with one place serves the calls: the connection that has asked for the method has gone.
func TestBenchOnePlace(t *testing.T) {
	address := serve(t, newDesk(t, &bsrpc.ServerOptions{MaxSessions: 1}))
	checkMeasured(t, 0, "4 succeeded, 0 failed", address, "Desk.Add", "1", "2", "--rate", "200", "--duration", "20ms", "--timeout", "20s")
}

// The arguments of a call depend on its number and the seed alone.
func TestTemplates(t *testing.T) {
	m, err := layout.ParseMethod("A.M(int.le8, string.le1, float.le8)")
	if err != nil {
		t.Fatal(err)
	}
	words := []string{"{{.Int 0 1000000}}", `{{.Letters 8}}{{.Pick "x" "y"}}`, "{{.Float}}"}
	one, err := newTemplates(m.Params, words, 1)
	if err != nil {
		t.Fatal(err)
	}
	again, err := newTemplates(m.Params, words, 1)
	if err != nil {
		t.Fatal(err)
	}
	other, err := newTemplates(m.Params, words, 2)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for i := range int64(20) {
		a, errA := one.encode(nil, i)
		b, errB := again.encode(nil, i)
		c, errC := other.encode(nil, i)
		if errA != nil || errB != nil || errC != nil || !bytes.Equal(a, b) || bytes.Equal(a, c) || seen[string(a)] {
			t.Errorf("call %d: %x, %x, %x", i, a, b, c)
		}
		seen[string(a)] = true
	}
}

func TestParseRate(t *testing.T) {
	for text, want := range map[string]float64{"1": 1, "0.5": 0.5, "20k": 20_000, "1.5k": 1500, "0": 0, "-1": 0, "x": 0, "NaN": 0, "Inf": 0, "99999k": 0, "k": 0, "": 0} {
		if got, err := parseRate(text); (err == nil) != (want > 0) || err == nil && got != want {
			t.Errorf("%s: %v, %v, want %v", text, got, err, want)
		}
	}
}

func TestLatencyText(t *testing.T) {
	for ns, want := range map[int64]string{999: "999ns", 1234: "1.23µs", 45678: "45.7µs", 456789: "457µs", 1_234_567: "1.23ms", 12_345_678_901: "12.3s", 0: "0s"} {
		if got := latencyText(ns); got != want {
			t.Errorf("%d: %s, want %s", ns, got, want)
		}
	}
}
