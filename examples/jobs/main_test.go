//go:build bsrpc_long

// Linking it takes longer than the test, so it runs in CI.

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"log"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// newJobs returns a proxy of a server in memory, and the server's log.
func newJobs(t *testing.T) (*Jobs, *bytes.Buffer) {
	t.Helper()
	logged := new(bytes.Buffer)
	srv := bsrpc.NewServer(nil)
	if err := bsrpc.RegisterAs[Jobs](srv, "Jobs", &service{log: log.New(logged, "", 0)}); err != nil {
		t.Fatal(err)
	}
	return bsrpctest.Bind[Jobs](t, srv, "Jobs"), logged
}

func TestProgress(t *testing.T) {
	jobs, _ := newJobs(t)
	_, progress, err := jobs.Submit(t.Context(), Job{Below: 100, Every: 30}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := bsrpctest.Collect(progress)
	if want := []Progress{{30, 10}, {60, 17}, {90, 24}, {100, 25}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	var e *bsrpc.Error
	if _, _, err := jobs.Submit(t.Context(), Job{Below: 100}, nil); !errors.As(err, &e) || e.Code != bsrpc.CodeInvalidArgument {
		t.Errorf("a wrong job: %v", err)
	}
}

// A client leaves a job by break, or by its context: the job stops.
func TestLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		jobs, logged := newJobs(t)
		ctx, cancel := context.WithCancel(t.Context())
		for name, leave := range map[string]func(int64, Progress) bool{
			"break":  func(int64, Progress) bool { return false },
			"cancel": func(int64, Progress) bool { cancel(); return true },
		} {
			logged.Reset()
			_, err := follow(ctx, jobs, Job{Below: 1 << 30, Every: 1 << 10}, nil, leave)
			if name == "break" && err != nil || name == "cancel" && !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", name, err)
			}
			if ctx.Err() != nil {
				ctx = t.Context()
			}
			synctest.Wait()
			if got := logged.String(); !strings.HasSuffix(got, ": stopped, context canceled\n") {
				t.Errorf("%s: the server says %q", name, got)
			}
		}
	})
}

// The server asks before a long job, and before no other.
func TestConfirm(t *testing.T) {
	jobs, _ := newJobs(t)
	asked := 0
	no := func(_ context.Context, question string) (bool, error) {
		asked++
		return false, nil
	}
	if _, _, err := jobs.Submit(t.Context(), Job{Below: long, Every: 1}, no); bsrpc.CodeOf(err) != bsrpc.CodeAborted || asked != 1 {
		t.Errorf("a job that was not confirmed: %v, asked %d times", err, asked)
	}
	if _, _, err := jobs.Submit(t.Context(), Job{Below: 2, Every: 1}, no); err != nil || asked != 1 {
		t.Errorf("a short job: %v, asked %d times", err, asked)
	}
	broken := errors.New("no keyboard")
	ask := func(context.Context, string) (bool, error) { return true, broken }
	if _, _, err := jobs.Submit(t.Context(), Job{Below: long, Every: 1}, ask); err == nil || !strings.Contains(err.Error(), "no keyboard") {
		t.Errorf("a confirm that fails: %v", err)
	}
}

// A fake of the server is a struct literal, and its stream a func.
func TestFake(t *testing.T) {
	lost := errors.New("connection lost")
	fake := &Jobs{Submit: func(context.Context, Job, Confirm) (int64, iter.Seq2[Progress, error], error) {
		return 7, func(yield func(Progress, error) bool) {
			_ = yield(Progress{10, 4}, nil) && yield(Progress{}, lost)
		}, nil
	}}
	last, err := follow(t.Context(), fake, Job{}, nil, func(id int64, p Progress) bool { return id == 7 })
	if err != lost || last != (Progress{10, 4}) {
		t.Errorf("got %v, %v", last, err)
	}
}

func checkOutput(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, want := range want {
		if !strings.Contains(text, want) {
			t.Errorf("not printed: %q\n%s", want, text)
		}
	}
}

var (
	clientSays = []string{
		"client: job 1: 9592 primes below 100000\n", "client: job 1: 41538 primes below 500000\n",
		" primes are enough, left the job\n",
		"client: 100 ms are over: ",
		"client: asked \"search 1073741824 numbers?\": yes\n",
		"client: said no: not confirmed\n",
		"client: refused: want Below of 2 or more",
	}
	serverSays = []string{
		"server: job 1: done, 41538 primes\n", "server: job 2: stopped, context canceled\n",
		"server: job 3: stopped, context ", // deadline exceeded, or canceled by its caller at the deadline
	}
)

func TestBothInOneProcess(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), log.New(&out, "", 0), "", ""); err != nil {
		t.Fatal(err)
	}
	checkOutput(t, out.String(), append(clientSays, serverSays...)...)
}

// The two commands.
func TestServerAndClient(t *testing.T) {
	var server, client bytes.Buffer
	ready := &firstLine{Writer: &server, line: make(chan string, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- run(ctx, log.New(ready, "", 0), "server", "127.0.0.1:0") }()
	addr := strings.TrimSpace(strings.TrimPrefix(<-ready.line, "serving on"))
	if err := run(t.Context(), log.New(&client, "", 0), "client", addr); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	checkOutput(t, client.String(), clientSays...)
	checkOutput(t, server.String(), serverSays...)
}

// A firstLine sends its first line to a channel.
type firstLine struct {
	io.Writer
	line chan string
	sent bool
}

func (f *firstLine) Write(p []byte) (int, error) {
	if !f.sent {
		f.line <- string(p)
		f.sent = true
	}
	return f.Writer.Write(p)
}

func TestUsageErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // not listening any more
	for _, command := range []string{"sever", "client x", "client"} {
		if err := run(t.Context(), log.New(io.Discard, "", 0), command, l.Addr().String()); err == nil {
			t.Errorf("%q: no error", command)
		}
	}
}

// The contract works with every one released. After a change that fits:
// BSRPC_GOLDEN=update go test -tags bsrpc_long
func TestContract(t *testing.T) { bsrpctest.Golden(t, "testdata/jobs.contract", Jobs{}) }
