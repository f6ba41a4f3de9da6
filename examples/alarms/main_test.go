//go:build bsrpc_long

// It waits for two seconds, so it runs in CI.

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

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

// A station is a monitor and its server in memory.
type station struct {
	*monitor
	srv *bsrpc.Server
	log buffer
}

func newStation(t *testing.T) *station {
	t.Helper()
	s := new(station)
	s.monitor = newMonitor(log.New(&s.log, "", 0), 1)
	var err error
	if s.srv, err = s.server(); err != nil {
		t.Fatal(err)
	}
	return s
}

// connect subscribes an operator, whose methods are a struct literal.
func (s *station) connect(t *testing.T, name string, operator any, opts *bsrpc.ServerOptions) (*bsrpc.Client, []Alarm) {
	t.Helper()
	handlers := bsrpc.NewServer(opts)
	if err := bsrpc.RegisterAs[Operator](handlers, "Operator", operator); err != nil {
		t.Fatal(err)
	}
	client, err := bsrpctest.Dial(t, s.srv, &bsrpc.ClientOptions{Handlers: handlers})
	if err != nil {
		t.Fatal(err)
	}
	alarms, err := bsrpc.Bind[Alarms](t.Context(), client, "Alarms")
	if err != nil {
		t.Fatal(err)
	}
	list, err := alarms.Subscribe(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return client, list
}

var boiler = Alarm{ID: 1, Sensor: "boiler", Value: 95, Limit: 90}

// The first answer acknowledges an alarm, and the question to the others is withdrawn.
func TestAcknowledge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStation(t)
		var out [2]buffer
		absent := make(chan string)
		s.connect(t, "Ann", &desk{"Ann", log.New(&out[0], "", 0), answerAfter(time.Minute, "on my way")}, nil)
		s.connect(t, "Bob", &desk{"Bob", log.New(&out[1], "", 0), func(ctx context.Context, _ Alarm) (string, error) {
			select {
			case note := <-absent:
				return note, nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}}, nil)
		s.raise(boiler)
		time.Sleep(time.Hour)
		_, list := s.connect(t, "Cleo", &desk{"Cleo", log.New(io.Discard, "", 0), answerAfter(0, "")}, nil)
		if !slices.Equal(list, []Alarm{boiler}) {
			t.Errorf("a late client gets %v", list)
		}
		s.clear(boiler)
		synctest.Wait()
		for i, want := range []string{
			"Ann: alarm 1, boiler at 95.0, limit 90\nAnn: alarm 1 is over\n",
			"Bob: alarm 1, boiler at 95.0, limit 90\nBob: alarm 1 needs no answer any more\nBob: alarm 1 is over\n",
		} {
			if got := out[i].String(); got != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		}
		want := "server: alarm 1, boiler at 95.0, limit 90\nserver: alarm 1 is acknowledged by Ann: on my way\n"
		if got := s.log.String(); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	})
}

// The end of an alarm withdraws the question. A client that left is dropped.
func TestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStation(t)
		late := make(chan error, 2)
		ask := func(ctx context.Context, _ Alarm) (string, error) {
			<-ctx.Done()
			late <- context.Cause(ctx)
			return "", ctx.Err()
		}
		d := &desk{"Ann", log.New(io.Discard, "", 0), ask}
		client, _ := s.connect(t, "Ann", d, nil)
		s.raise(boiler)
		synctest.Wait()
		s.clear(boiler)
		if err := <-late; err != context.Canceled {
			t.Errorf("the question ended with %v", err)
		}
		s.raise(Alarm{ID: 2})
		synctest.Wait()
		client.Close()
		if err := <-late; !errors.Is(err, bsrpc.ErrClosed) {
			t.Errorf("the question ended with %v", err)
		}
		synctest.Wait()
		if n, _ := s.state(); n != 0 || !strings.Contains(s.log.String(), "server: Ann has left\n") {
			t.Errorf("%d members\n%s", n, s.log.String())
		}
		s.clear(Alarm{ID: 2})
		synctest.Wait()
	})
}

// A slow client loses its session. The others get all alarms at once, in order.
func TestSlowClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStation(t)
		asleep := func(ctx context.Context, _ Alarm) error { <-ctx.Done(); return ctx.Err() }
		absent := func(ctx context.Context, a Alarm) (string, error) { return "", asleep(ctx, a) }
		var got []int64
		s.connect(t, "Ann", &Operator{
			Raise:       func(_ context.Context, a Alarm) error { got = append(got, a.ID); return nil },
			Clear:       func(_ context.Context, a Alarm) error { got = append(got, -a.ID); return nil },
			Acknowledge: absent,
		}, nil)
		slow, _ := s.connect(t, "Bob", &Operator{Raise: asleep, Clear: asleep, Acknowledge: absent}, &bsrpc.ServerOptions{MaxInflight: 2})
		began := time.Now()
		var want []int64
		for id := range int64(50) {
			s.raise(Alarm{ID: id + 1})
			s.clear(Alarm{ID: id + 1})
			want = append(want, id+1, -id-1)
			synctest.Wait()
		}
		if !slices.Equal(got, want) || time.Since(began) > time.Second {
			t.Errorf("after %v: %v", time.Since(began), got)
		}
		<-slow.Done()
		var e *bsrpc.Error
		if err := slow.Err(); !errors.As(err, &e) || e.Code != bsrpc.CodeAborted || e.Message != "too slow: 16 alarms are waiting" {
			t.Errorf("the slow client: %v", err)
		}
		synctest.Wait()
		if n, _ := s.state(); n != 1 {
			t.Errorf("%d members", n)
		}
	})
}

// A client without the methods of an operator is refused, with the reason.
func TestNotAnOperator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStation(t)
		_, err := bsrpctest.Dial(t, s.srv, nil)
		if err == nil || !strings.Contains(err.Error(), "the client has no service Operator") {
			t.Error(err)
		}
	})
}

// The same seed gives the same alarms. Each begins before it ends.
func TestSensors(t *testing.T) {
	alarms := func() (all []Alarm) {
		rng, id := rand.New(rand.NewPCG(1, 0)), int64(0)
		sensors := newSensors()
		for range 1000 {
			for _, s := range sensors {
				a, begins := s.step(rng, func() int64 { id++; return id })
				if a == nil {
					continue
				}
				if seen := slices.Contains(all, *a); seen == begins || a.Value <= a.Limit {
					t.Errorf("%v begins: %t", a, begins)
				}
				all = append(all, *a)
			}
		}
		return all
	}
	first := alarms()
	if len(first) < 20 || !slices.Equal(first, alarms()) {
		t.Errorf("%d alarms", len(first))
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

func TestAllInOneProcess(t *testing.T) {
	var out buffer
	c := &command{out: log.New(&out, "", 0), seed: 1}
	if err := c.run(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	checkOutput(t, out.String(),
		" is acknowledged by Ann: on my way\n", "Bob: alarm 1 is over\n", " needs no answer any more\n",
		"Carl: the server has closed the session: too slow: 16 alarms are waiting\n", "server: Carl has left\n",
	)
}

// The two commands. The operator has typed a note.
func TestServerAndClient(t *testing.T) {
	var server, client buffer
	ready := &firstLine{Writer: &server, line: make(chan string, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		c := &command{out: log.New(ready, "", 0), addr: "127.0.0.1:0", every: 10 * time.Millisecond, seed: 1}
		served <- c.run(ctx, []string{"server"})
	}()
	addr := strings.TrimSpace(strings.TrimPrefix(<-ready.line, "serving on"))
	acknowledged := make(chan struct{})
	go func() {
		defer close(acknowledged)
		for !strings.Contains(server.String(), " is acknowledged by Ann: fixed\n") && t.Context().Err() == nil {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	c := &command{out: log.New(&client, "", 0), in: strings.NewReader("fixed\n"), addr: addr}
	if err := c.run(t.Context(), []string{"client", "Ann"}); err == nil || !strings.Contains(err.Error(), "shutting down") {
		t.Error(err)
	}
	<-acknowledged
	if err := <-served; err != nil {
		t.Error(err)
	}
	checkOutput(t, client.String(), "Ann: alarm ", "Who looks after alarm ")
	checkOutput(t, server.String(), "server: Ann has left\n")
}

// A firstLine sends its first line to a channel, and does not write it.
type firstLine struct {
	io.Writer
	line chan string
	sent bool
}

func (f *firstLine) Write(p []byte) (int, error) {
	if !f.sent {
		f.sent = true
		f.line <- string(p)
		return len(p), nil
	}
	return f.Writer.Write(p)
}

func TestUsageErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // not listening any more
	for _, args := range [][]string{{"sever"}, {"client"}, {"client", "Ann"}} {
		c := &command{out: log.New(io.Discard, "", 0), in: strings.NewReader(""), addr: l.Addr().String()}
		if err := c.run(t.Context(), args); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
