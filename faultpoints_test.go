package bsrpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var errInjected = errors.New("injected")

// points are the places at which faults inject errors and pauses.
var points = []string{"before write", "after write", "before dispatch", "after handler"}

// faults make one point return an error or pause, each fifth time.
type faults struct {
	point  string
	pauses bool // in place of an error

	mu   sync.Mutex // guards the rest
	on   bool
	hits int
	ran  map[int]int // handlers, by the token of their call
}

// at is called at each point.
func (f *faults) at(point string) error {
	f.mu.Lock()
	hit := f.on && point == f.point
	if hit {
		f.hits++
		hit = f.hits%5 == 0
	}
	f.mu.Unlock()
	switch {
	case !hit:
		return nil
	case f.pauses:
		time.Sleep(50 * time.Millisecond)
		return nil
	}
	return errInjected
}

// set switches the faults.
func (f *faults) set(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.on = on
}

// run is the handler.
func (f *faults) run(token int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ran[token]++
	return token
}

// intercept is an Interceptor.
func (f *faults) intercept(next CallFunc) CallFunc {
	return func(ctx context.Context, c *Call) error {
		if err := f.at("before dispatch"); err != nil {
			return err
		}
		if err := next(ctx, c); err != nil {
			return err
		}
		return f.at("after handler")
	}
}

// A faultyPipe is an end of a connection.
type faultyPipe struct {
	net.Conn
	faults *faults
}

func (c *faultyPipe) Write(b []byte) (int, error) {
	if err := c.faults.at("before write"); err != nil {
		c.Close()
		return 0, err
	}
	n, err := c.Conn.Write(b)
	if err == nil {
		if err = c.faults.at("after write"); err != nil {
			c.Close()
		}
	}
	return n, err
}

// Whatever fails or pauses while an end closes, drains or restarts: each call has one true outcome, and
// each point is reached.
func TestFaultPoints(t *testing.T) {
	for _, point := range points {
		for _, pauses := range []bool{false, true} {
			for _, end := range []string{"close", "drain", "restart"} {
				t.Run(fmt.Sprintf("%s/pauses=%v/%s", point, pauses, end), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						testFaultPoint(t, &faults{point: point, pauses: pauses, ran: make(map[int]int)}, end)
					})
				})
			}
		}
	}
}

func testFaultPoint(t *testing.T, f *faults, end string) {
	var mu sync.Mutex // guards srv
	var srv *Server
	start := func() *Server {
		next := NewServer(&ServerOptions{Logger: quiet, Interceptors: []Interceptor{f.intercept}})
		if err := next.RegisterFunc("T.Run", f.run); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		defer mu.Unlock()
		srv = next
		return next
	}
	first := start()
	d, err := newDialer(&ClientOptions{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	d.open = func(context.Context, Endpoint) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		near, far := net.Pipe()
		go srv.ServeConn(&faultyPipe{far, f})
		return &faultyPipe{near, f}, nil
	}
	client, err := d.dial(t.Context(), Endpoint{"mem", "a", ""})
	if err != nil {
		t.Fatal(err)
	}
	type contract struct {
		Run func(ctx context.Context, token int) (int, error)
	}
	p, err := Bind[contract](t.Context(), client, "T")
	if err != nil {
		t.Fatal(err)
	}
	f.set(true)
	var callers sync.WaitGroup
	for caller := range 4 {
		callers.Go(func() {
			for i := range 50 {
				token := caller*1000 + i
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				got, err := p.Run(ctx, token)
				cancel()
				f.mu.Lock()
				ran := f.ran[token]
				f.mu.Unlock()
				var e *Error
				switch {
				case err == nil && (ran != 1 || got != token):
					t.Errorf("call %d is answered with %d and has run %d times", token, got, ran)
				case errors.As(err, &e) && e.Outcome == OutcomeNotRun && ran != 0:
					t.Errorf("call %d has run %d times: %v", token, ran, err)
				case err != nil && e == nil:
					t.Errorf("call %d: %v without an outcome", token, err)
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	time.Sleep(200 * time.Millisecond)
	switch end {
	case "close":
		client.Close()
	case "drain":
		old := first
		start()
		if err := old.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	case "restart":
		start()
		first.Close()
	}
	callers.Wait()
	f.set(false)
	if end != "close" {
		if got, err := p.Run(t.Context(), 9999); got != 9999 || err != nil {
			t.Errorf("afterwards: %d, %v", got, err)
		}
	}
	client.Close()
	first.Close()
	srv.Close()
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hits < 5 {
		t.Errorf("%q was reached %d times", f.point, f.hits)
	}
	for token, ran := range f.ran {
		if ran > 1 {
			t.Errorf("call %d has run %d times", token, ran)
		}
	}
}
