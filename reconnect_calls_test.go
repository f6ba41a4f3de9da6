package bsrpc

// What becomes of calls of every kind when a connection is lost, as docs/calls.md says.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// An office counts the calls of each kind.
type office struct{ ran atomic.Int64 }

func (o *office) Fail(text string) error {
	o.ran.Add(1)
	return &Error{Code: CodeUnavailable, Message: text}
}
func (o *office) Wait(ctx context.Context) (int, error) {
	o.ran.Add(1)
	<-ctx.Done()
	return 0, ctx.Err()
}
func (o *office) Nothing(ctx context.Context) error { _, err := o.Wait(ctx); return err }
func (o *office) Sum(in iter.Seq2[int, error]) (sum int, err error) {
	o.ran.Add(1)
	for n, err := range in {
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}
func (o *office) Count(ctx context.Context) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		o.ran.Add(1)
		for n := range 3 {
			if !yield(n, nil) {
				return
			}
		}
		<-ctx.Done()
	}
}
func (o *office) Read(ctx context.Context) io.ReadCloser {
	o.ran.Add(1)
	r, w := io.Pipe()
	go func() {
		w.Write([]byte("some"))
		<-ctx.Done()
		w.CloseWithError(ctx.Err())
	}()
	return r
}
func (o *office) Ask(ctx context.Context, ask func(string) (string, error)) (string, error) {
	o.ran.Add(1)
	return ask("name?")
}

// Offices is the contract of an office. All that may run twice is tagged.
type Offices struct {
	Fail  func(ctx context.Context, text string) error                                `bsrpc:"idempotent"`
	Wait  func(ctx context.Context) (int, error)                                      `bsrpc:"idempotent"`
	Sum   func(ctx context.Context, in iter.Seq2[int, error]) (int, error)            `bsrpc:"idempotent"`
	Count func(ctx context.Context) iter.Seq2[int, error]                             `bsrpc:"idempotent"`
	Read  func(ctx context.Context) (io.ReadCloser, error)                            `bsrpc:"idempotent"`
	Ask   func(ctx context.Context, ask func(string) (string, error)) (string, error) `bsrpc:"idempotent"`
}

// Posts is the contract of the oneway method of an office.
type Posts struct {
	Nothing func(ctx context.Context) error `bsrpc:"oneway"`
}

// Futures are the calls of an office by futures.
type Futures struct {
	Wait func(ctx context.Context) *Future[int] `bsrpc:"idempotent"`
}

// An officeScene is a client of an office, whose server is replaced.
type officeScene struct {
	*site
	client *Client
	p      *Offices
	now    *office
}

// inOffice runs f in a bubble.
func inOffice(t *testing.T, server ServerOptions, f func(t *testing.T, s *officeScene)) {
	synctest.Test(t, func(t *testing.T) {
		s := &officeScene{site: newSite(t, &server)}
		s.quiet = true
		s.begin(t)
		s.client = s.dial(t, "a", nil)
		s.p = bound[Offices](t, s.client, "Office")
		f(t, s)
		time.Sleep(time.Minute) // until the last iterator and callback have returned
	})
}

// begin starts a server with a new office.
func (s *officeScene) begin(t *testing.T) {
	s.now = new(office)
	srv := NewServer(&s.opts)
	if err := errors.Join(srv.RegisterName("Office", s.now), RegisterAs[Posts](srv, "Post", s.now)); err != nil {
		t.Fatal(err)
	}
	s.add("a", srv)
}

// replace kills the server and starts the next one.
func (s *officeScene) replace(t *testing.T) {
	s.kill("a")
	s.begin(t)
}

// wantLost checks the error of a call whose handler may have run, and that it has not run at the
// next server.
func (s *officeScene) wantLost(t *testing.T, err error, outcome Outcome) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Code != CodeUnavailable || e.Outcome != outcome {
		t.Errorf("got %v (%+v)", err, e)
	}
	time.Sleep(2 * time.Second) // the client is connected again
	if n := s.now.ran.Load(); n != 0 {
		t.Errorf("%d calls at the next server", n)
	}
}

// numbers yields 1, and 2 after 10 s.
func numbers(began *atomic.Int64) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		began.Add(1)
		if yield(1, nil) {
			time.Sleep(10 * time.Second)
			yield(2, nil)
		}
	}
}

// A call that was answered by an error is not sent again, whatever the code.
func TestLostAnswered(t *testing.T) {
	inOffice(t, ServerOptions{}, func(t *testing.T, s *officeScene) {
		err := s.p.Fail(t.Context(), "no stock")
		if CodeOf(err) != CodeUnavailable || s.now.ran.Load() != 1 {
			t.Error(err, s.now.ran.Load())
		}
	})
}

// A call that waits for its place, and so is not written yet, is sent again.
func TestLostUnwritten(t *testing.T) {
	inOffice(t, ServerOptions{MaxInflight: 1}, func(t *testing.T, s *officeScene) {
		blocked := make(chan error, 1)
		future, err := Bind[Futures](t.Context(), s.client, "Office")
		if err != nil {
			t.Fatal(err)
		}
		first := future.Wait(t.Context())
		go func() { blocked <- s.p.Fail(t.Context(), "here") }()
		synctest.Wait()
		s.replace(t)
		if err := <-blocked; err.Error() != "here" || s.now.ran.Load() != 1 {
			t.Error(err, s.now.ran.Load())
		}
		if _, err := first.Wait(t.Context()); err == nil || err.(*Error).Outcome != OutcomeUnknown {
			t.Error(err)
		}
	})
}

// A call with a stream among its arguments is sent again only before the stream has been read.
func TestLostUpload(t *testing.T) {
	inOffice(t, ServerOptions{}, func(t *testing.T, s *officeScene) {
		var began atomic.Int64
		result := make(chan error, 1)
		sum := 0
		call := func() { n, err := s.p.Sum(t.Context(), numbers(&began)); sum = n; result <- err }
		go call()
		synctest.Wait()
		s.replace(t)
		s.wantLost(t, <-result, OutcomeUnknown)
		s.replace(t)
		go call() // waits for the connection
		if err := <-result; err != nil || sum != 3 || began.Load() != 2 || s.now.ran.Load() != 1 {
			t.Error(err, sum, began.Load(), s.now.ran.Load())
		}
	})
}

// A call with a func among its arguments is sent again only if it has surely not run.
func TestLostCallback(t *testing.T) {
	inOffice(t, ServerOptions{}, func(t *testing.T, s *officeScene) {
		result := make(chan error, 1)
		go func() {
			_, err := s.p.Ask(t.Context(), func(string) (string, error) { time.Sleep(time.Minute); return "late", nil })
			result <- err
		}()
		time.Sleep(time.Second)
		s.replace(t)
		s.wantLost(t, <-result, OutcomeUnknown)
		s.replace(t)
		got, err := s.p.Ask(t.Context(), func(string) (string, error) { return "Bob", nil })
		if err != nil || got != "Bob" || s.now.ran.Load() != 1 {
			t.Error(got, err, s.now.ran.Load())
		}
	})
}

// A result stream ends with an error after the items that have come, and is not continued.
func TestLostStreams(t *testing.T) {
	inOffice(t, ServerOptions{}, func(t *testing.T, s *officeScene) {
		items, last := 0, error(nil)
		for n, err := range s.p.Count(t.Context()) {
			if err != nil {
				last = err
				break
			}
			if items++; n == 0 {
				synctest.Wait() // all items have come
				s.replace(t)
			}
		}
		if items != 3 {
			t.Error(items, "items")
		}
		s.wantLost(t, last, last.(*Error).Outcome)
		r, err := s.p.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.replace(t)
		data, err := io.ReadAll(r)
		if string(data) != "some" {
			t.Errorf("read %q", data)
		}
		s.wantLost(t, err, last.(*Error).Outcome)
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		// The streams of the next calls are whole.
		n, err := s.p.Sum(t.Context(), func(yield func(int, error) bool) { yield(7, nil) })
		if err != nil || n != 7 {
			t.Error(n, err)
		}
	})
}

// The call of a future and a oneway call whose func has returned are not sent again.
func TestLostEager(t *testing.T) {
	inOffice(t, ServerOptions{}, func(t *testing.T, s *officeScene) {
		f, err := Bind[Futures](t.Context(), s.client, "Office")
		if err != nil {
			t.Fatal(err)
		}
		future := f.Wait(t.Context())
		if err := bound[Posts](t, s.client, "Post").Nothing(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.replace(t)
		_, err = future.Wait(t.Context())
		s.wantLost(t, err, OutcomeUnknown)
		if n := s.client.OnewayErrors(); n != 1 {
			t.Error(n, "failed oneway calls")
		}
	})
}

// Client.Call is sent again as a call of a proxy; idempotent is not known to it.
func TestLostByName(t *testing.T) {
	inOffice(t, ServerOptions{}, func(t *testing.T, s *officeScene) {
		result := make(chan error, 1)
		go func() { result <- s.client.Call(t.Context(), "Office.Wait", nil, new(int)) }()
		synctest.Wait()
		s.replace(t)
		s.wantLost(t, <-result, OutcomeUnknown)
		s.replace(t)
		if err := s.client.Call(t.Context(), "Office.Fail", []any{"here"}); err == nil || err.Error() != "here" {
			t.Error(err)
		}
	})
}

// Bells is served by a client.
type Bells struct {
	Ring func(ctx context.Context, who string) (string, error)
}

// A ringer keeps a proxy for the client of each session.
type ringer struct{ bells []*Bells }

func (r *ringer) Join(ctx context.Context) (string, error) {
	b, err := Bind[Bells](ctx, SessionFrom(ctx), "Bell")
	if err != nil {
		return "", err
	}
	r.bells = append(r.bells, b)
	return b.Ring(ctx, "Bob")
}

func (r *ringer) Name() string { return "ringer" }

// A bell keeps a proxy for the server of each session.
type bell struct{ ringers []*nameContract }

type nameContract struct {
	Name func(ctx context.Context) (string, error)
}

func (b *bell) Ring(ctx context.Context, who string) (string, error) {
	p, err := Bind[nameContract](ctx, SessionFrom(ctx), "Ringer")
	b.ringers = append(b.ringers, p)
	return "dong " + who, err
}

// The sessions of Handlers, and proxies bound on sessions, end with the connection; the next one
// has its own.
func TestLostSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil)
		s.quiet = true
		r := new(ringer)
		start := func() {
			srv := NewServer(&s.opts)
			if err := srv.RegisterName("Ringer", r); err != nil {
				t.Fatal(err)
			}
			s.add("a", srv)
		}
		start()
		handlers, b := NewServer(&ServerOptions{Logger: quiet}), new(bell)
		if err := handlers.RegisterName("Bell", b); err != nil {
			t.Fatal(err)
		}
		type join struct {
			Join func(ctx context.Context) (string, error)
		}
		client := s.dial(t, "a", &ClientOptions{Handlers: handlers, OnReconnect: func(ctx context.Context, c *Client) error {
			p, err := Bind[join](ctx, c, "Ringer")
			if err == nil {
				_, err = p.Join(ctx)
			}
			return err
		}})
		p := bound[join](t, client, "Ringer")
		got, err := p.Join(t.Context())
		wantAt(t, got, err, "dong Bob")
		s.kill("a")
		start()
		got, err = p.Join(t.Context())
		wantAt(t, got, err, "dong Bob")
		if len(r.bells) != 3 || len(b.ringers) != 3 {
			t.Fatal(len(r.bells), len(b.ringers))
		}
		_, atServer := r.bells[0].Ring(t.Context(), "Eve")
		_, atClient := b.ringers[0].Name(t.Context())
		for _, err := range []error{atServer, atClient} {
			if CodeOf(err) != CodeUnavailable || err.(*Error).Outcome != OutcomeNotRun {
				t.Error("a proxy of the old session:", err)
			}
		}
		got, err = r.bells[1].Ring(t.Context(), "Eve")
		wantAt(t, got, err, "dong Eve")
		got, err = b.ringers[1].Name(t.Context())
		wantAt(t, got, err, "ringer")
	})
}

// Each sentence of the table in docs/calls.md has a test here or in reconnect_test.go.
func TestLostTable(t *testing.T) {
	tests := map[string]string{
		"a call not written yet":                           "TestLostUnwritten, TestReconnectDraining",
		"a call whose request may have arrived":            "TestReconnectResends",
		"a call refused by an interceptor":                 "TestReconnectInterceptorRefuses",
		"a call that was answered by an error":             "TestLostAnswered",
		"a call with a stream among its arguments":         "TestLostUpload",
		"a call with a func among its arguments":           "TestLostCallback",
		"a result stream":                                  "TestLostStreams",
		"a future, a oneway call whose func has returned":  "TestLostEager",
		"`Client.Call`":                                    "TestLostByName",
		"a proxy":                                          "TestReconnectMismatch",
		"a `*Session` in `Handlers`, and proxies bound":    "TestLostSessions",
		"state of the session at the server, exclusive gr": "TestOnReconnect",
	}
	text, err := os.ReadFile("docs/calls.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "## A lost connection")
	table, _, _ = strings.Cut(table, "\n## ")
	rows := 0
	for line := range strings.Lines(table) {
		cell, ok := strings.CutPrefix(line, "| ")
		if !ok || strings.HasPrefix(line, "| |") {
			continue
		}
		rows++
		found := false
		for begin := range tests {
			found = found || strings.HasPrefix(cell, begin)
		}
		if !found {
			t.Errorf("no test of %q", fmt.Sprintf("%.60s", cell))
		}
	}
	if rows != len(tests) {
		t.Errorf("%d rows, %d tests", rows, len(tests))
	}
}
