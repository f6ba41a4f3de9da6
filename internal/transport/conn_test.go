package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// An echo is a Handler replying to each request with its body. A request with the Arg
// argHold runs until release is closed, and announces itself in began.
type echo struct {
	c       *Conn
	began   chan struct{}
	release chan struct{}
}

const (
	argHold = 1 + iota
	argRefuse
)

func (h *echo) Admit(f *wire.Frame) (*fault.Fault, error) {
	if f.Arg == argRefuse {
		return fault.Refusal(fault.Unimplemented, "refused"), nil
	}
	return nil, nil
}

func (h *echo) Request(m *Message) Job {
	kept, refusal := h.c.Keep(m)
	if refusal != nil {
		panic(refusal)
	}
	return &echoJob{h: h, m: kept}
}

func (h *echo) Bind(m *Message) error  { return errors.New("unexpected BIND") }
func (h *echo) Cancel(uint64) error    { return nil }
func (h *echo) Control(*Message) error { return nil }
func (h *echo) Idle()                  {}

// An echoJob is one request of an echo, and its answer.
type echoJob struct {
	h       *echo
	m       *Message
	head    wire.Frame
	refused *fault.Fault
}

func (j *echoJob) Run() (full bool) {
	if j.m.Arg == argHold {
		j.h.began <- struct{}{}
		<-j.h.release
	}
	return j.h.c.Reply(j)
}

func (j *echoJob) Detach() {}
func (j *echoJob) Leave()  { j.h.c.Flush() }
func (j *echoJob) Free()   {}

func (j *echoJob) Refuse(why *fault.Fault) {
	j.refused = why
	j.h.c.Reply(j)
}

func (j *echoJob) Encode() (*wire.Frame, *wire.Body) {
	j.head = wire.Frame{Type: wire.Response, ID: j.m.ID}
	return &j.head, &wire.Body{Buf: j.m.Body}
}

func (j *echoJob) Refused() bool { return j.refused != nil }
func (j *echoJob) MayHang() bool { return false }
func (j *echoJob) Await()        {}
func (j *echoJob) Queued(bool)   {}

// A pair is two connected Conns. They end with the test, which then checks that they
// hold nothing for calls.
type pair struct {
	client, server *Conn
	handler        *echo
}

func newPair(t *testing.T, client, server net.Conn) *pair {
	t.Helper()
	l := &limits.Conn{
		MaxMessage: 16 << 20, MaxInflight: 1024, MaxErrorText: 1 << 10, ConnBytes: 32 << 20, OutQueue: 1 << 20,
		WriteStall: 10 * time.Second, FrameTimeout: time.Minute, PingAfter: math.MaxInt64, PingTimeout: math.MaxInt64,
	}
	violation := func(err error) { t.Errorf("protocol violation: %v", err) }
	p := &pair{handler: &echo{began: make(chan struct{}, 1), release: make(chan struct{})}}
	p.server = New(Config{NetConn: netconn.Wrap(server), Limits: l, Peer: &wire.Hello{}, Handler: p.handler, Serves: true, Turns: new(limits.Turns), OnViolation: violation})
	p.handler.c = p.server
	p.client = New(Config{NetConn: netconn.Wrap(client), Limits: l, Peer: &wire.Hello{}, Handler: &echo{}, SharesLease: true, OnViolation: violation})
	go p.client.Run()
	go p.server.Run()
	t.Cleanup(func() {
		if err := p.client.Err(); err == nil {
			checkEmpty(t, "client", p.client)
			checkEmpty(t, "server", p.server)
		}
		p.client.Fail(fault.New(fault.Unavailable, fault.OutcomeUnknown, "end of the test"))
		p.client.Wait()
		p.server.Wait()
		for _, c := range []*Conn{p.client, p.server} {
			<-c.EndRequests()
			if StopTimers(c) {
				t.Error("a timer is set after the end")
			}
		}
	})
	return p
}

// checkEmpty waits until c holds nothing for calls.
func checkEmpty(t *testing.T, name string, c *Conn) {
	t.Helper()
	for start := time.Now(); Residue(c) != ""; time.Sleep(WatchdogPeriod) {
		if time.Since(start) > 5*time.Second {
			t.Errorf("%s: %s", name, Residue(c))
			return
		}
	}
}

// call sends a request with a body, and returns the body of the answer.
func (p *pair) call(ctx context.Context, arg uint16, body []byte) ([]byte, error) {
	call := NewCall()
	call.Head = wire.Frame{Type: wire.Request, Arg: arg}
	if err := Do(ctx, p.client, call, &wire.Body{Buf: body}); err != nil {
		return nil, err
	}
	data, _ := call.Body()
	return data, nil
}

// overEach runs a test over an in-memory connection, written by a goroutine of the Conn,
// and over a socket, written by callers.
func overEach(t *testing.T, test func(t *testing.T, p *pair)) {
	t.Run("pipe", func(t *testing.T) {
		client, server := net.Pipe()
		test(t, newPair(t, client, server))
	})
	t.Run("socket", func(t *testing.T) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Skip(err)
		}
		defer ln.Close()
		client, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		test(t, newPair(t, client, server))
	})
}

// Callers get their own answers, short and chunked ones, while others call.
func TestCalls(t *testing.T) {
	overEach(t, func(t *testing.T, p *pair) {
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				for n := range 40 {
					body := bytes.Repeat(fmt.Appendf(nil, "%d.%d ", i, n), 1+n)
					if n%20 == 19 {
						body = bytes.Repeat(body, 1+wire.MaxUnchunked/len(body)*(1+i%3))
					}
					got, err := p.call(context.Background(), 0, body)
					if err != nil || !bytes.Equal(got, body) {
						t.Errorf("caller %d, call %d: %d bytes, %v; want %d bytes", i, n, len(got), err, len(body))
					}
				}
			})
		}
		wg.Wait()
	})
}

// A job keeping the leader is replaced: other calls go on, and its own answer arrives.
func TestLeaderIsReplaced(t *testing.T) {
	overEach(t, func(t *testing.T, p *pair) {
		held := make(chan error, 1)
		go func() {
			_, err := p.call(context.Background(), argHold, []byte("held"))
			held <- err
		}()
		<-p.handler.began
		for range 3 {
			if _, err := p.call(context.Background(), 0, []byte("quick")); err != nil {
				t.Fatal(err)
			}
		}
		close(p.handler.release)
		if err := <-held; err != nil {
			t.Error(err)
		}
	})
}

// A refused request is answered as not run. A cancelled call ends at once, and the slot
// is free again after the peer's answer.
func TestRefusedAndCancelled(t *testing.T) {
	overEach(t, func(t *testing.T, p *pair) {
		var f *fault.Fault
		if _, err := p.call(context.Background(), argRefuse, nil); !errors.As(err, &f) || f.Code != fault.Unimplemented || f.Outcome != fault.NotRun {
			t.Errorf("refused: got %v", err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		if _, err := p.call(ctx, argHold, []byte("held")); !errors.As(err, &f) || f.Code != fault.DeadlineExceeded || f.Outcome != fault.OutcomeUnknown {
			t.Errorf("cancelled: got %v", err)
		}
		close(p.handler.release)
	})
}

// Draining answers the calls in flight and then closes with a reason; later calls fail.
func TestDrain(t *testing.T) {
	overEach(t, func(t *testing.T, p *pair) {
		held := make(chan error, 1)
		go func() {
			_, err := p.call(context.Background(), argHold, []byte("held"))
			held <- err
		}()
		<-p.handler.began
		p.server.Drain()
		var f *fault.Fault
		if _, err := p.call(context.Background(), 0, nil); !errors.As(err, &f) || f.Code != fault.Unavailable || f.Outcome != fault.NotRun {
			t.Errorf("while draining: got %v", err)
		}
		close(p.handler.release)
		if err := <-held; err != nil {
			t.Errorf("in flight: %v", err)
		}
		<-p.client.Done()
		if err := p.client.Err(); !errors.As(err, &f) || f.Code != fault.Unavailable || !f.Remote {
			t.Errorf("the connection ended with %v", err)
		}
	})
}

// A peer may send its announced PINGs and a burst, and is forgiven excess later.
func TestPingLimit(t *testing.T) {
	start := time.Minute
	p := pingLimit{rate: pingRateOf(&wire.Hello{}), tokens: pingBurst, at: start}
	var got []bool
	for range pingBurst + maxExcessPings {
		got = append(got, p.take(start))
	}
	if want := slices.Index(got, false); want != pingBurst+maxExcessPings-1 {
		t.Errorf("first PING too many: %d, want %d", want, pingBurst+maxExcessPings-1)
	}
	p = pingLimit{rate: 1, at: start, excess: maxExcessPings - 1}
	if now := start + pingBurst*time.Second; !p.take(now) || p.excess != 0 {
		t.Errorf("after silence: excess %d, want 0", p.excess)
	}
}
