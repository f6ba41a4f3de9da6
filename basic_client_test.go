package bsrpc

// A client with the option Basic, and a simulated server of basic-socket-rpc.

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/basic"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/wire"
)

func basicOptions(opts *ClientOptions) *ClientOptions {
	o := ClientOptions{}
	if opts != nil {
		o = *opts
	}
	o.Basic, o.Logger = true, quiet
	return &o
}

// takeInit reads an INIT, which must begin with the version, and answers.
func (p *rawPeer) takeInit(answer string) {
	p.t.Helper()
	typ, payload := p.readBasic()
	if typ != wire.Init || !strings.HasPrefix(string(payload), "\x00\x00\x01") {
		p.t.Errorf("got %v %q, want INIT", typ, payload)
	}
	p.write([]byte(answer))
}

// takeCommand reads a REQUEST.
func (p *rawPeer) takeCommand() (id uint16, args string) {
	p.t.Helper()
	typ, payload := p.readBasic()
	id, b, ok := wire.ReadCommand(payload)
	if typ != wire.BasicRequest || !ok {
		p.t.Fatalf("got %v %q, want REQUEST", typ, payload)
	}
	return id, string(b)
}

func response(results string) []byte {
	return append(wire.AppendBasicHeader(nil, wire.BasicResponse, len(results)), results...)
}

// basicRaw connects a client to a rawPeer in the role of the server.
func basicRaw(t testing.TB, opts *ClientOptions) (*Client, *basicDesk, *rawPeer) {
	t.Helper()
	near, far := net.Pipe()
	p := &rawPeer{t: t, nc: far}
	go p.takeInit(basicAdmitted)
	client, err := NewClient(context.Background(), near, basicOptions(opts))
	if err != nil {
		t.Fatal(err)
	}
	return client, bindBasic(t, client), p
}

// basicPart is basicDesk without the method that has no id.
type basicPart struct {
	Hello  func(ctx context.Context, name string) (string, error)                  `bsrpc:"id=0"`
	Add    func(ctx context.Context, a, b uint32) (uint32, error)                  `bsrpc:"id=2"`
	Narrow func(ctx context.Context, v uint64) (uint64, error)                     `bsrpc:"(le2) le2,id=20"`
	Truth  func(ctx context.Context, b bool) (bool, error)                         `bsrpc:"id=21"`
	Hold   func(ctx context.Context) error                                         `bsrpc:"id=24,timeout=5s"`
	Echo   func(ctx context.Context, b []byte) ([]byte, error)                     `bsrpc:"id=26"`
	Both   func(ctx context.Context, l []uint32, s string) (uint32, string, error) `bsrpc:"id=6"`
}

func bindBasic(t testing.TB, client *Client) *basicDesk {
	t.Helper()
	part, err := Bind[basicPart](context.Background(), client, "Desk")
	if err != nil {
		t.Fatal(err)
	}
	return &basicDesk{Hello: part.Hello, Add: part.Add, Narrow: part.Narrow, Truth: part.Truth, Hold: part.Hold, Echo: part.Echo, Both: part.Both}
}

// Calls that nothing waits for are an error of Bind.
func TestBasicEager(t *testing.T) {
	client, _, _ := basicRaw(t, nil)
	defer client.Close()
	type contract struct {
		A func() error        `bsrpc:"id=1,oneway"`
		B func() *Future[int] `bsrpc:"id=2"`
	}
	const why = "a server that speaks the basic wire answers each call in turn; leave out oneway, and return a result and an error in place of a future"
	_, err := Bind[contract](t.Context(), client, "S")
	if want := "bsrpc: bind S: 2 problems\n    S.A: " + why + "\n    S.B: " + why; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// withBasicRaw runs f with an admitted client and its server.
func withBasicRaw(t *testing.T, opts *ClientOptions, f func(t *testing.T, client *Client, desk *basicDesk, p *rawPeer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		client, desk, p := basicRaw(t, opts)
		f(t, client, desk, p)
		client.Close()
		p.nc.Close()
	})
}

// wantSum checks that calls work.
func wantSum(t testing.TB, desk *basicDesk, p *rawPeer, a, b uint32) {
	t.Helper()
	go func() {
		if id, args := p.takeCommand(); id != 2 || args != u32(a)+u32(b) {
			t.Errorf("got command %d, %q", id, args)
		}
		p.write(response(u32(a + b)))
	}()
	if sum, err := desk.Add(t.Context(), a, b); sum != a+b || err != nil {
		t.Errorf("got %d, %v", sum, err)
	}
}

// The answer to the first INIT tells a basic server from a native one.
func TestBasicDial(t *testing.T) {
	for _, tt := range []struct {
		name, answer string
		basic        bool
		want         string
		code         Code
	}{
		{"admitted", basicAdmitted, true, "", 0},
		{"not allowed", basicAdmitted, false, "handshake: the server speaks only the basic wire, that of basic-socket-rpc; ClientOptions.Basic allows it", CodeUnavailable},
		{"refused", string(wire.AppendException(nil, "PermissionError", "not you")), true, "not you", CodePermissionDenied},
		{"refused, by a traceback", string(wire.AppendException(nil, "ValueError", "Traceback (most recent call last):\n  File \"x\"\nValueError: not today\n")), true, "not today", CodeInvalidArgument},
		{"refused, by a long traceback", string(wire.AppendException(nil, "OSError", strings.Repeat("  File \"x\"\n", 2000)+"OSError: no disk\n")), true, "no disk", CodeUnavailable},
		{"refused, not allowed", string(wire.AppendException(nil, "ProtocolError", "no")), false, "no", CodeUnavailable},
		{"another frame", string(response("")), true, "handshake: answer to INIT: type 0x01", CodeUnavailable},
		{"empty", "\x05\x00\x00\x00\x00", true, "handshake: answer to INIT: empty response to INIT", CodeUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				p := &rawPeer{t: t, nc: far}
				go p.takeInit(tt.answer)
				client, err := NewClient(t.Context(), near, &ClientOptions{Basic: tt.basic, Logger: quiet})
				if tt.want == "" {
					if err != nil {
						t.Fatal(err)
					}
					client.Close()
				} else {
					wantCall(t, err, tt.code, OutcomeNotRun, tt.want)
				}
				p.wantEnd()
			})
		})
	}
}

// With the option Basic, a native server is still called on the native wire.
func TestBasicOptionAndNativeServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := basicServer(t, newBasicClerk(), nil)
		client, err := NewClient(t.Context(), dialed(srv), &ClientOptions{Basic: true, Limits: Limits{PingAfter: NoLimit}})
		if err != nil || client.native == nil {
			t.Fatal("no native client:", err)
		}
		if _, err := Bind[basicDesk](t.Context(), client, "Desk"); err != nil {
			t.Error(err)
		}
		client.Close()
		srv.Close()
	})
}

func TestBasicPolls(t *testing.T) {
	for _, interval := range []time.Duration{0, 2 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			p := &rawPeer{t: t, nc: far}
			start := time.Now()
			every := cmp.Or(interval, 250*time.Millisecond)
			go func() {
				for i := range 20 {
					p.takeInit(basicNotYet)
					if at := time.Since(start); at != time.Duration(i)*every {
						t.Errorf("INIT %d came after %v", i, at)
					}
				}
				p.takeInit(basicAdmitted)
			}()
			var positions []int
			client, err := NewClient(t.Context(), near, &ClientOptions{Basic: true, PollInterval: interval,
				DialTimeout: time.Second, OnWait: func(n int) { positions = append(positions, n) }})
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took != 20*every || fmt.Sprint(positions) != "[0]" {
				t.Errorf("admitted after %v, told %v", took, positions)
			}
			client.Close()
			p.nc.Close()
		})
	}
}

func TestBasicDialErrorsWhilePolling(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer func(p *rawPeer)
		want   string
		code   Code
		after  time.Duration
	}{
		{"refused at last", func(p *rawPeer) { p.takeInit(string(wire.AppendException(nil, "ConnectionError", "queue full"))) }, "queue full", CodeUnavailable, 250 * time.Millisecond},
		{"lost", func(p *rawPeer) { p.readBasic(); p.nc.Close() }, "bsrpc: handshake: the server closed the connection before answering INIT; is it shutting down, or does it expect TLS?", CodeUnavailable, 250 * time.Millisecond},
		{"no answer", func(p *rawPeer) { p.readBasic() }, "bsrpc: no answer to INIT in 10s (DialTimeout)", CodeDeadlineExceeded, 10250 * time.Millisecond},
		{"given up", func(p *rawPeer) {
			for {
				p.nc.SetReadDeadline(time.Now().Add(time.Hour))
				if _, err := io.ReadFull(p.nc, make([]byte, 8)); err != nil {
					return
				}
				p.nc.Write([]byte(basicNotYet))
			}
		}, ": context deadline exceeded", CodeDeadlineExceeded, 30 * time.Second},
		{"another wire", func(p *rawPeer) {
			p.takeInit(string(wire.AppendServerInit(nil, &wire.Hello{Version: 1})))
		}, "handshake: the server has changed from the basic wire to the native one", CodeUnavailable, 250 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				p := &rawPeer{t: t, nc: far}
				go func() {
					p.takeInit(basicNotYet)
					tt.answer(p)
				}()
				start := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				_, err := NewClient(ctx, near, basicOptions(nil))
				wantCall(t, err, tt.code, OutcomeNotRun, tt.want)
				if took := time.Since(start); took != tt.after {
					t.Errorf("after %v, want %v", took, tt.after)
				}
				p.nc.Close()
			})
		})
	}
}

func TestBasicBindNeedsIDs(t *testing.T) {
	withBasicRaw(t, nil, func(t *testing.T, client *Client, desk *basicDesk, p *rawPeer) {
		type contract struct {
			One   func() error `bsrpc:"id=7"`
			Two   func() error
			Three func() error `bsrpc:"id=7"`
			Four  func() error `bsrpc:"timeout=1s"`
		}
		proxy, err := Bind[contract](t.Context(), client, "Desk")
		const want = `bsrpc: bind Desk: 3 problems
    Desk.Two: has no id= in its tag, by which a server that speaks the basic wire knows its methods
    Desk.Three: id=7 is Desk.One's
    Desk.Four: has no id= in its tag, by which a server that speaks the basic wire knows its methods`
		if proxy != nil || err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		err = client.Call(t.Context(), "Desk.Add", []any{1, 2}, new(uint32))
		wantCall(t, err, CodeUnimplemented, OutcomeNotRun, `Call of "Desk.Add": a basic server does not describe its methods; use Bind, with id= tags`)
		wantSum(t, desk, p, 1, 2)
	})
}

// Arguments and results have the recorded bytes.
func TestBasicCallBytes(t *testing.T) {
	withBasicRaw(t, nil, func(t *testing.T, client *Client, desk *basicDesk, p *rawPeer) {
		answer := func(want, results string) {
			go func() {
				p.wantBytes(want)
				p.write(response(results))
			}()
		}
		answer(unhex(t, "0e 00 00 00 01 00 00 03 00 00 00 42 6f 62"), str("hello Bob"))
		if s, err := desk.Hello(t.Context(), "Bob"); s != "hello Bob" || err != nil {
			t.Errorf("Hello: %q, %v", s, err)
		}
		answer(unhex(t, "1d 00 00 00 01 06 00 0c 00 00 00 02 00 00 00 01 00 00 00 02 00 00 00 02 00 00 00 68 69"), u32(3)+str("hi"))
		if sum, s, err := desk.Both(t.Context(), []uint32{1, 2}, "hi"); sum != 3 || s != "hi" || err != nil {
			t.Errorf("Both: %d, %q, %v", sum, s, err)
		}
		answer(command(21, "\x01"), "\x07")
		if b, err := desk.Truth(t.Context(), true); !b || err != nil {
			t.Errorf("Truth: %v, %v", b, err)
		}
		big := strings.Repeat("b", 1<<20)
		answer(command(26, str(big)), str(big))
		if b, err := desk.Echo(t.Context(), []byte(big)); string(b) != big || err != nil {
			t.Errorf("Echo: %d bytes, %v", len(b), err)
		}
	})
}

// Arguments that cannot be encoded are not sent. Results that cannot be decoded fail
// only their call.
func TestBasicBadValues(t *testing.T) {
	withBasicRaw(t, &ClientOptions{MaxMessage: 1000}, func(t *testing.T, client *Client, desk *basicDesk, p *rawPeer) {
		_, err := desk.Narrow(t.Context(), 1<<16)
		wantCall(t, err, CodeInvalidArgument, OutcomeNotRun, "Desk.Narrow, parameter 1: does not fit in 2 bytes")
		_, err = desk.Hello(t.Context(), "\xff")
		wantCall(t, err, CodeInvalidArgument, OutcomeNotRun, "Desk.Hello, parameter 1: not UTF-8")
		_, err = desk.Echo(t.Context(), make([]byte, 1000))
		wantCall(t, err, CodeResourceExhausted, OutcomeNotRun, "Desk.Echo, parameter 1, []uint8: too long (this end's MaxMessage is 1000)")
		for _, tt := range []struct{ results, want string }{
			{"", "cannot decode the answer: Desk.Hello, result 1: want 4 bytes, have 0, offset 0"},
			{str("ok") + "x", "cannot decode the answer: Desk.Hello, 1 trailing byte, offset 6"},
			{str("\xff"), "cannot decode the answer: Desk.Hello, result 1: not UTF-8, offset 5"},
			{u32(1<<32 - 1), "cannot decode the answer: Desk.Hello, result 1: want 4294967295 bytes, have 0, offset 4"},
		} {
			go func() {
				p.takeCommand()
				p.write(response(tt.results))
			}()
			_, err := desk.Hello(t.Context(), "")
			wantCall(t, err, CodeInternal, OutcomeAnswered, tt.want)
		}
		go func() {
			p.takeCommand()
			p.write([]byte("\x09\x00\x00\x00\x04\x01\x00\x00\x00"))
		}()
		_, err = desk.Hello(t.Context(), "")
		wantCall(t, err, CodeInternal, OutcomeUnknown, "cannot decode the answer: EXCEPTION: ")
		wantSum(t, desk, p, 1, 2)
	})
}

// An exception longer than MaxMessage is still reported, without its traceback.
func TestBasicTracebackAboveMaxMessage(t *testing.T) {
	withBasicRaw(t, &ClientOptions{MaxMessage: 1000}, func(t *testing.T, client *Client, desk *basicDesk, p *rawPeer) {
		answer := func(frame []byte) {
			go func() {
				p.takeCommand()
				p.nc.Write(frame)
			}()
		}
		exception := func(n int) []byte {
			return wire.AppendException(nil, "ValueError", "Traceback\n"+strings.Repeat(" ", n-40)+"\nValueError: small\n")
		}
		for _, n := range []int{1000, 1001, 60_000} {
			answer(exception(n))
			_, err := desk.Echo(t.Context(), nil)
			wantCall(t, err, CodeInvalidArgument, OutcomeAnswered, "small")
			wantSum(t, desk, p, 1, 2)
		}
		answer(exception(basic.MaxTraceback + 1))
		_, err := desk.Echo(t.Context(), nil)
		wantCall(t, err, CodeUnavailable, OutcomeUnknown, "connection lost: reading: frame too long: 65544 bytes, this end's MaxMessage is 1000")
	})
	withBasicRaw(t, &ClientOptions{MaxMessage: 1000}, func(t *testing.T, client *Client, desk *basicDesk, p *rawPeer) {
		go func() {
			p.takeCommand()
			p.nc.Write(response(strings.Repeat("x", 1001)))
		}()
		_, err := desk.Echo(t.Context(), nil)
		wantCall(t, err, CodeUnavailable, OutcomeUnknown, "connection lost: reading: frame too long: 1001 bytes, this end's MaxMessage is 1000")
	})
}

// Requests of many goroutines are written before the first answer.
func TestBasicPipelined(t *testing.T) {
	withBasicRaw(t, nil, func(t *testing.T, client *Client, desk *basicDesk, p *rawPeer) {
		var calls sync.WaitGroup
		for i := range uint32(200) {
			calls.Go(func() {
				if sum, err := desk.Add(t.Context(), i, 1000); sum != i+1000 || err != nil {
					t.Errorf("%d: %d, %v", i, sum, err)
				}
			})
		}
		var answers []byte
		for range 200 {
			_, args := p.takeCommand()
			answers = append(answers, response(u32(uint32(args[0])+1000))...)
		}
		p.write(answers)
		calls.Wait()
	})
}

// A call returns at once when its context ends. Its late answer is dropped.
func TestBasicAbandoned(t *testing.T) {
	withBasicRaw(t, nil, func(t *testing.T, client *Client, desk *basicDesk, p *rawPeer) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go p.takeCommand()
		_, err := desk.Add(ctx, 1, 2)
		wantCall(t, err, CodeDeadlineExceeded, OutcomeUnknown, "context deadline exceeded")
		next := make(chan error)
		go func() {
			sum, err := desk.Add(t.Context(), 3, 4)
			if sum != 7 {
				err = fmt.Errorf("got another call's answer, %d, %w", sum, err)
			}
			next <- err
		}()
		p.takeCommand()
		p.write(append(response(u32(3)), response(u32(7))...))
		if err := <-next; err != nil {
			t.Error(err)
		}
		start := time.Now()
		go p.takeCommand()
		err = desk.Hold(context.Background())
		wantCall(t, err, CodeDeadlineExceeded, OutcomeUnknown, "no answer in 5s (timeout= of the method); change it, or give the context a deadline")
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("after %v", took)
		}
		p.write(wire.AppendException(nil, "ValueError", "late"))
		wantSum(t, desk, p, 5, 6)
		go p.takeCommand()
		_, err = desk.Hello(context.Background(), "")
		wantCall(t, err, CodeDeadlineExceeded, OutcomeUnknown, "no answer in 20s (DefaultCallTimeout); give the context a deadline, or the method timeout=")
		p.write(response(str("late")))
		done, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = desk.Add(done, 1, 2)
		wantCall(t, err, CodeCanceled, OutcomeNotRun, "context canceled")
		wantSum(t, desk, p, 5, 6)
	})
}

// A call cancelled before it is written is not sent. A call cancelled while it is
// written is sent completely, and its caller does not wait for that.
func TestBasicCancelWhileWriting(t *testing.T) {
	withBasicRaw(t, nil, func(t *testing.T, client *Client, desk *basicDesk, p *rawPeer) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		echoed := make(chan error)
		big := []byte(strings.Repeat("b", 100<<10))
		go func() {
			_, err := desk.Echo(ctx, big)
			clear(big) // the caller's again
			echoed <- err
		}()
		synctest.Wait() // the server reads nothing: the pipe is full
		_, err := desk.Add(ctx, 1, 2)
		wantCall(t, err, CodeDeadlineExceeded, OutcomeNotRun, "context deadline exceeded")
		wantCall(t, <-echoed, CodeDeadlineExceeded, OutcomeUnknown, "context deadline exceeded")
		if id, args := p.takeCommand(); id != 26 || args != str(strings.Repeat("b", 100<<10)) {
			t.Errorf("command %d with %d bytes", id, len(args))
		}
		p.write(response(str("late")))
		wantSum(t, desk, p, 1, 2)
	})
}

// If some of many calls are cancelled at any moment, each of the others gets its own
// answer.
func TestBasicCancelAnytime(t *testing.T) {
	withBasicRaw(t, nil, func(t *testing.T, client *Client, desk *basicDesk, p *rawPeer) {
		go func() {
			luck := rand.New(rand.NewPCG(1, 1))
			p.nc.SetReadDeadline(time.Time{})
			for {
				head := make([]byte, 15)
				if _, err := io.ReadFull(p.nc, head); err != nil {
					return
				}
				if luck.IntN(20) == 0 {
					time.Sleep(time.Duration(luck.IntN(20)) * time.Millisecond)
				}
				a, b := binary.LittleEndian.Uint32(head[7:]), binary.LittleEndian.Uint32(head[11:])
				p.write(response(u32(a + b)))
			}
		}()
		var calls sync.WaitGroup
		var answered, given atomic.Int32
		for i := range uint32(50) {
			calls.Go(func() {
				luck := rand.New(rand.NewPCG(2, uint64(i)))
				for n := range uint32(50) {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(luck.IntN(20))*time.Millisecond)
					switch sum, err := desk.Add(ctx, i<<16, n); {
					case err == nil && sum == i<<16+n:
						answered.Add(1)
					case errors.Is(err, context.DeadlineExceeded):
						given.Add(1)
					default:
						t.Errorf("%d, %d: got %d, %v", i, n, sum, err)
					}
					cancel()
				}
			})
		}
		calls.Wait()
		if answered.Load() == 0 || given.Load() == 0 {
			t.Errorf("%d calls answered, %d given up", answered.Load(), given.Load())
		}
		if sum, err := desk.Add(t.Context(), 1, 2); sum != 3 || err != nil {
			t.Errorf("at last: %d, %v", sum, err)
		}
	})
}

// A net.Conn with a slow Close does not delay calls.
func TestBasicSlowClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		p := &rawPeer{t: t, nc: far}
		go p.takeInit(basicAdmitted)
		client, err := NewClient(t.Context(), slowCloser{near}, basicOptions(nil))
		if err != nil {
			t.Fatal(err)
		}
		desk := bindBasic(t, client)
		running := make(chan error)
		go func() { _, err := desk.Add(t.Context(), 1, 2); running <- err }()
		p.takeCommand()
		start := time.Now()
		go client.Close()
		wantCall(t, <-running, CodeCanceled, OutcomeUnknown, "client closed")
		_, err = desk.Add(t.Context(), 1, 2)
		wantCall(t, err, CodeCanceled, OutcomeNotRun, "client closed")
		if took := time.Since(start); took != 0 {
			t.Errorf("after %v", took)
		}
		client.Close()
	})
}

type slowCloser struct{ net.Conn }

func (c slowCloser) Close() error {
	time.Sleep(5 * time.Second)
	return c.Conn.Close()
}

func TestBasicExceptionsOfServers(t *testing.T) {
	withBasicRaw(t, nil, func(t *testing.T, client *Client, desk *basicDesk, p *rawPeer) {
		for _, tt := range []struct {
			name, text, message string
			code                Code
			outcome             Outcome
		}{
			{"ValueError", "bare", "bare", CodeInvalidArgument, OutcomeAnswered},
			{"KeyError", "Traceback (most recent call last):\n  File \"s.py\", line 1\nKeyError: 'x'\n", "'x'", CodeNotFound, OutcomeAnswered},
			{"ProtocolError", "Unknown command with id: 2", "Unknown command with id: 2", CodeUnimplemented, OutcomeNotRun},
			{"ProtocolError", "Traceback (most recent call last):\nbasic_socket_rpc.rpc_low_level.ProtocolError: Unknown command with id: 2\n", "Unknown command with id: 2", CodeUnimplemented, OutcomeNotRun},
			{"ProtocolError", "Unknown command with id: 20", "Unknown command with id: 20", CodeInternal, OutcomeAnswered}, // the command's own call
			{"ProtocolError", "other", "other", CodeInternal, OutcomeAnswered},
			{"ServerShutdown", "server is shutting down", "server is shutting down", CodeUnavailable, OutcomeNotRun},
			{"TimeoutError", "slow", "slow", CodeDeadlineExceeded, OutcomeAnswered},
			{"SystemExit", "0", "0", CodeUnknown, OutcomeAnswered},
			{"KeyboardInterrupt", "", "", CodeUnknown, OutcomeAnswered},
			{"", "", "", CodeUnknown, OutcomeAnswered},
			{strings.Repeat("N", 300), strings.Repeat("x", 5000), strings.Repeat("x", 4096), CodeUnknown, OutcomeAnswered},
			{"Bad\xff", "\xff", "\uFFFD", CodeUnknown, OutcomeAnswered},
		} {
			go func() {
				p.takeCommand()
				p.write(wire.AppendException(nil, tt.name, tt.text))
			}()
			_, err := desk.Add(t.Context(), 1, 2)
			var e *Error
			if !errors.As(err, &e) || e.Name != cutText(tt.name, 256) || e.Message != tt.message || e.Code != tt.code || e.Outcome != tt.outcome ||
				!e.Remote || e.Detail != cutText(tt.text, 1<<20) {
				t.Errorf("%q, %q: got %#v", tt.name, tt.text, err)
			}
			if errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%q: errors.Is(err, context.DeadlineExceeded), and this call's time was not over", tt.name)
			}
		}
		wantSum(t, desk, p, 1, 2)
	})
}

// A frame without a call to answer closes the connection, and never answers a later
// call.
func TestBasicUnexpectedFrames(t *testing.T) {
	for _, tt := range []struct {
		frame, want string
		code        Code
	}{
		{string(wire.AppendException(nil, "ServerShutdown", "server is shutting down")), "server is shutting down", CodeUnavailable},
		{string(wire.AppendException(nil, "TimeoutError", "for nobody")), `protocol violation: EXCEPTION "TimeoutError" that answers no call`, CodeInternal},
		{"\x05\x00\x00\x00\x04", `protocol violation: EXCEPTION "" that answers no call`, CodeInternal},
		{string(response("")), "protocol violation: type 0x01 that answers no call", CodeInternal},
		{basicAdmitted, "protocol violation: unexpected INIT", CodeInternal},
		{"\x05\x00\x00\x00\x07", "protocol violation: unexpected type 0x07", CodeInternal},
		{"\x04\x00\x00\x00", "protocol violation: Reported message size too small: 4", CodeInternal},
		{u32(1<<32-1) + "\x01", "connection lost: reading: frame too long: 4294967290 bytes, this end's MaxMessage is 16777216", CodeUnavailable},
	} {
		withBasicRaw(t, nil, func(t *testing.T, client *Client, desk *basicDesk, p *rawPeer) {
			p.write([]byte(tt.frame)[:4])
			p.nc.Write([]byte(tt.frame)[4:])
			<-client.Done()
			_, err := desk.Add(t.Context(), 1, 2)
			wantCall(t, err, tt.code, OutcomeNotRun, tt.want)
		})
	}
}

// A lost connection fails every call. The outcome of calls already written is unknown.
func TestBasicLost(t *testing.T) {
	whole := string(response(u32(3)))
	for n := range len(whole) {
		withBasicRaw(t, nil, func(t *testing.T, client *Client, desk *basicDesk, p *rawPeer) {
			errs := make(chan error, 2)
			go func() {
				_, err := desk.Add(t.Context(), 1, 2)
				errs <- err
			}()
			p.takeCommand()
			p.write([]byte(whole[:n]))
			p.nc.Close()
			want := "connection lost: reading: unexpected EOF"
			if n == 0 {
				want = "connection lost: closed by the peer"
			}
			wantCall(t, <-errs, CodeUnavailable, OutcomeUnknown, want)
			_, err := desk.Add(t.Context(), 1, 2)
			wantCall(t, err, CodeUnavailable, OutcomeNotRun, want)
		})
	}
	withBasicRaw(t, nil, func(t *testing.T, client *Client, desk *basicDesk, p *rawPeer) { // one is stuck in the pipe, one behind it
		errs := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := desk.Add(t.Context(), 1, 2)
				errs <- err
			}()
			synctest.Wait()
		}
		client.Close()
		outcomes := []Outcome{}
		for range 2 {
			err := <-errs
			var e *Error
			if !errors.Is(err, ErrClosed) || !errors.As(err, &e) {
				t.Fatalf("got %v", err)
			}
			outcomes = append(outcomes, e.Outcome)
		}
		if outcomes[0] == outcomes[1] {
			t.Errorf("outcomes %v", outcomes)
		}
		if !errors.Is(client.Err(), ErrClosed) {
			t.Errorf("Err: %v", client.Err())
		}
	})
}

// A client closes the connection if the server stalls within an answer or reads
// nothing.
func TestBasicServerStalls(t *testing.T) {
	withBasicRaw(t, nil, func(t *testing.T, client *Client, desk *basicDesk, p *rawPeer) {
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		go func() {
			p.takeCommand()
			p.write(response(u32(3))[:6])
		}()
		_, err := desk.Add(ctx, 1, 2)
		wantCall(t, err, CodeUnavailable, OutcomeUnknown, "connection lost: reading: a frame has stayed incomplete for this end's Limits.FrameTimeout (1m0s)")
		if took := time.Since(start); took != time.Minute {
			t.Errorf("after %v", took)
		}
	})
	withBasicRaw(t, nil, func(t *testing.T, client *Client, desk *basicDesk, p *rawPeer) {
		_, err := desk.Add(t.Context(), 1, 2)
		wantCall(t, err, CodeUnavailable, OutcomeUnknown, "connection lost: writing: the peer has taken nothing for this end's Limits.WriteStall (10s)")
	})
}

// Memory for an answer is allocated as its bytes arrive, not as they are announced.
func TestBasicAnswerMemory(t *testing.T) {
	withBasicRaw(t, nil, func(t *testing.T, client *Client, desk *basicDesk, p *rawPeer) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		go desk.Add(t.Context(), 1, 2)
		p.takeCommand()
		p.write([]byte(u32(16<<20) + "\x01"))
		synctest.Wait()
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
			t.Errorf("%d bytes were allocated", grown)
		}
	})
}

// Both ends are of this library, on the basic wire.
func TestBasicBothEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clerk := newBasicClerk()
		srv := basicServer(t, clerk, nil)
		near, far := net.Pipe()
		go srv.ServeConn(far)
		desk := bindBasic(t, basicOnly(t, near))
		var calls sync.WaitGroup
		for i := range uint32(100) {
			calls.Go(func() {
				if sum, err := desk.Add(t.Context(), i, 1); sum != i+1 || err != nil {
					t.Errorf("%d, %v", sum, err)
				}
			})
		}
		calls.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-clerk.began
			cancel()
		}()
		wantCall(t, desk.Hold(ctx), CodeCanceled, OutcomeUnknown, "context canceled")
		close(clerk.release)
		if s, err := desk.Hello(t.Context(), "Bob"); s != "hello Bob" || err != nil {
			t.Errorf("%q, %v", s, err)
		}
		near.Close()
		srv.Close()
	})
}

// basicOnly returns a basic client of a server that also speaks the native wire.
func basicOnly(t testing.TB, nc net.Conn) *Client {
	t.Helper()
	b, err := basicOptions(nil).resolve()
	if err != nil {
		t.Fatal(err)
	}
	d, stop := newDialState(context.Background(), "", b.DialTimeout)
	defer stop()
	peer, err := d.pollBasic(nc, b)
	if err != nil {
		t.Fatal(err)
	}
	client, err := newBasicClient(d, nc, b, peer, new(ClientOptions))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// For any answers of a server, every call ends with the answer in its place.
func FuzzBasicReply(f *testing.F) {
	f.Add(append(response(u32(3)), response(u32(4))...))
	f.Add(wire.AppendException(response(u32(3)), "ValueError", "Traceback\nValueError: x\n"))
	f.Add(append(wire.AppendException(nil, "X", ""), response(u32(3)+"x")...))
	f.Add([]byte("\x04\x00\x00\x00"))
	f.Add(wire.AppendException(nil, "ServerShutdown", "bye"))
	f.Add(append(response(u32(3)), "\x09\x00\x00\x00\x04\x7f\x00\x00\x00"...)) // an EXCEPTION that is cut short
	f.Fuzz(func(t *testing.T, input []byte) {
		withBasicRaw(t, &ClientOptions{MaxMessage: 1 << 16}, func(t *testing.T, client *Client, desk *basicDesk, p *rawPeer) {
			var calls sync.WaitGroup
			var got [2]string
			for i := range got {
				calls.Go(func() {
					sum, err := desk.Add(context.Background(), 1, 2)
					got[i] = outcomeOf(sum, err)
				})
				p.takeCommand()
			}
			go p.nc.Write(input)
			synctest.Wait()
			p.nc.Close()
			calls.Wait()
			<-client.Done()
			if want := answersIn(input); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	})
}

// cutText returns a text from a server as kept by a client.
func cutText(s string, n int) string { return strings.ToValidUTF8(fault.Cut(s, n), "\uFFFD") }

// outcomeOf describes the end of a call of Add in a word.
func outcomeOf(sum uint32, err error) string {
	var e *Error
	switch {
	case err == nil:
		return fmt.Sprint(sum)
	case errors.As(err, &e) && e.Remote:
		return "exception " + e.Name
	case strings.Contains(err.Error(), ": cannot decode the answer: "):
		return "unreadable"
	}
	return "lost"
}

// answersIn returns the ends of two calls of Add answered with input.
func answersIn(input []byte) (outcomes [2]string) {
	lost := false
	for i := range outcomes {
		outcomes[i] = "lost"
		if lost = lost || len(input) < wire.BasicHeaderSize; lost {
			continue
		}
		typ, n := wire.ReadBasicHeader(input)
		if lost = n < 0 || n > min(1<<16, int64(len(input)-wire.BasicHeaderSize)) || typ != wire.BasicResponse && typ != wire.Exception; lost {
			continue
		}
		payload := string(input[wire.BasicHeaderSize:][:n])
		input = input[wire.BasicHeaderSize+n:]
		name, _, err := wire.ReadException([]byte(payload))
		switch {
		case typ == wire.Exception && err == nil:
			outcomes[i] = "exception " + cutText(name, fault.MaxName)
		case typ == wire.BasicResponse && n == 4:
			outcomes[i] = fmt.Sprint(binary.LittleEndian.Uint32([]byte(payload)))
		default:
			outcomes[i] = "unreadable"
		}
	}
	return outcomes
}

// The basic wire carries no metadata: a call with some is not sent. A ReplyMetadata stays
// empty.
func TestBasicClientMetadata(t *testing.T) {
	withBasicRaw(t, nil, func(t *testing.T, client *Client, desk *basicDesk, p *rawPeer) {
		for md, want := range map[string]string{"a": "the server speaks the basic wire, which carries no metadata", "A": `metadata key "A"`} {
			_, err := desk.Add(WithMetadata(t.Context(), Metadata{md: "v"}), 1, 2)
			var e *Error
			if !errors.As(err, &e) || e.Outcome != OutcomeNotRun || !strings.HasPrefix(e.Message, "bsrpc: Desk.Add: "+want) {
				t.Errorf("got %v, want %q", err, want)
			}
		}
		ctx, reply := WithReplyMetadata(t.Context())
		go func() {
			p.takeCommand()
			p.write(response(u32(3)))
		}()
		if sum, err := desk.Add(ctx, 1, 2); sum != 3 || err != nil || len(reply.Get()) > 0 {
			t.Errorf("got %d, %v, %v", sum, err, reply)
		}
		wantSum(t, desk, p, 4, 5)
	})
}
