package bsrpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// A countingConn counts the bytes written to it.
type countingConn struct {
	net.Conn
	written atomic.Int64
	fail    atomic.Bool // writes fail
}

var errBroken = errors.New("the cable is cut")

func (c *countingConn) Write(b []byte) (int, error) {
	if c.fail.Load() {
		return 0, errBroken
	}
	c.written.Add(int64(len(b)))
	return c.Conn.Write(b)
}

// overCounted binds a lab over an in-memory connection, and counts the bytes sent by
// the client.
func overCounted(t testing.TB, srv *bsrpc.Server) (*labContract, *countingConn) {
	t.Helper()
	near, far := net.Pipe()
	go srv.ServeConn(far)
	counted := &countingConn{Conn: near}
	client, err := bsrpc.NewClient(t.Context(), counted, &bsrpc.ClientOptions{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	proxy, err := bsrpc.Bind[labContract](t.Context(), client, "Lab")
	if err != nil {
		t.Fatal(err)
	}
	return proxy, counted
}

// A call without arguments and results: its REQUEST has 24 bytes.
func TestCallWithoutValues(t *testing.T) {
	proxy, conn := overCounted(t, newLab(t))
	before := conn.written.Load()
	if err := proxy.Empty(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := conn.written.Load() - before; n != 24 {
		t.Errorf("the call took %d bytes, want the 24 of its head", n)
	}
}

func TestLargeCalls(t *testing.T) {
	proxy, _ := overTCP[labContract](t, newLab(t), "Lab")
	in := pattern(271_828)
	if out, err := proxy.Echo(t.Context(), in); err != nil || !bytes.Equal(in, out) {
		t.Errorf("%d bytes came back as %d: %v", len(in), len(out), err)
	}
	if out, err := proxy.Resize(t.Context(), in, 314_159); err != nil || !bytes.Equal(out, make([]byte, 314_159)) {
		t.Errorf("got %d bytes: %v", len(out), err)
	}
}

// pattern returns n bytes without repetitions, to detect misplaced ones.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*i>>8 ^ i*7)
	}
	return b
}

// Large calls run concurrently, over a socket and in memory.
func TestConcurrentLargeCalls(t *testing.T) {
	t.Parallel()
	calls, size := 1000, 100_000
	if !bsrpc.LongTests {
		calls = 100
	}
	srv := newLab(t)
	watchWitness(t, srv)
	tcp, _ := overTCP[labContract](t, srv, "Lab")
	for name, proxy := range map[string]*labContract{"tcp": tcp, "pipe": bsrpctest.Bind[labContract](t, srv, "Lab")} {
		var wg sync.WaitGroup
		for i := range calls {
			wg.Go(func() {
				in := pattern(size + i)
				if out, err := proxy.Echo(context.Background(), in); err != nil || !bytes.Equal(in, out) {
					t.Errorf("%s: call %d: %d bytes of %d: %v", name, i, len(out), len(in), err)
				}
			})
		}
		wg.Wait()
	}
}

// Answers are sent as they are ready.
func TestAnswersOutOfOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proxy := bsrpctest.Bind[labContract](t, newLab(t), "Lab")
		var mu sync.Mutex
		var order []int
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				ms := 10 * (100 - i)
				if err := proxy.Sleep(context.Background(), ms); err != nil {
					t.Error(err)
				}
				mu.Lock()
				order = append(order, ms)
				mu.Unlock()
			})
		}
		wg.Wait()
		for i, ms := range order {
			if ms != 10*(i+1) {
				t.Fatalf("finished in the order %v", order)
			}
		}
	})
}

func TestErrorsArriveExactly(t *testing.T) {
	proxy := bsrpctest.Bind[labContract](t, newLab(t), "Lab")
	for code := bsrpc.CodeCanceled; code <= bsrpc.CodeUnauthenticated; code++ {
		for _, text := range []string{"", "plain", "two\nlines", "\t\U0001F9EA \u00e9", "a\x00b\xff"} {
			err := proxy.Fail(t.Context(), uint16(code), text)
			e := wantError(t, err, code, bsrpc.OutcomeAnswered, "")
			if e.Message != text || !e.Remote || e.Name != "" {
				t.Errorf("%v %q: got %+v", code, text, e)
			}
		}
	}
	wantError(t, proxy.Plain(t.Context(), "boo"), bsrpc.CodeUnknown, bsrpc.OutcomeAnswered, "boo")
	if e := wantError(t, proxy.Plain(t.Context(), strings.Repeat("é", 3000)), bsrpc.CodeUnknown, bsrpc.OutcomeAnswered, "é"); len(e.Message) != 4096 {
		t.Errorf("a long text came as %d bytes, want the 4096 of MaxErrorText", len(e.Message))
	}
}

// A number without a method is tested in frames_test.go.
func TestUnknownMethod(t *testing.T) {
	srv := newLab(t)
	client, err := bsrpctest.Dial(t, srv, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, client.Call(t.Context(), "Lab.Nothing", nil), bsrpc.CodeUnimplemented, bsrpc.OutcomeNotRun, "no method Lab.Nothing")
	var sum uint32
	if err := client.Call(t.Context(), "Lab.Add", []any{1, 2}, &sum); err != nil || sum != 3 {
		t.Errorf("the next call: %d, %v", sum, err)
	}
}

// Ids must be unique only at servers with basic clients.
func TestDuplicateRegistration(t *testing.T) {
	srv := newLab(t)
	err := srv.RegisterFunc("Lab.Add", func(int) {})
	want := "bsrpc: register Lab: 1 problem\n    Lab.Add: registered twice, first by RegisterAs[bsrpc_test.labContract] with a bsrpc_test.lab, now by RegisterFunc; leave one out, or give it another name"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
	if n := len(srv.Methods()); n != 8 {
		t.Errorf("%d methods after that, want the 8 of before", n)
	}
}

func TestTypesWithoutWireFormat(t *testing.T) {
	type cycle interface{ Next() cycle }
	type inner struct{ Done chan int }
	for _, c := range []struct {
		fn   any
		want string
	}{
		{func(struct{ In []inner }) {}, "S.F, parameter 1, In[].Done: chan int has no wire form"},
		{func() map[string]inner { return nil }, "S.F, result 1, map[string]inner.Done: chan int has no wire form"},
		{func(int, []func()) {}, "S.F, parameter 2, []: func() has no wire form"},
		{func(cycle) {}, "has no wire form"},
		{func(uintptr) {}, "uintptr has no wire form"},
	} {
		err := bsrpc.NewServer(nil).RegisterFunc("S.F", c.fn)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%T: got %v, want %q in it", c.fn, err, c.want)
		}
	}
}

// Arguments that do not fit are not sent, and have no other effect.
func TestUnsuitableArguments(t *testing.T) {
	proxy, conn := overCounted(t, newLab(t))
	before := conn.written.Load()
	_, err := proxy.Narrow(t.Context(), 1000)
	wantError(t, err, bsrpc.CodeInvalidArgument, bsrpc.OutcomeNotRun, "Lab.Narrow, parameter 1: ")
	if strings.Contains(err.Error(), "1000") {
		t.Errorf("%q holds the value", err)
	}
	if n := conn.written.Load() - before; n != 0 {
		t.Errorf("%d bytes were sent", n)
	}
	if v, err := proxy.Narrow(t.Context(), -128); err != nil || v != -128 {
		t.Errorf("the next call: %d, %v", v, err)
	}
}

// A failed write ends the connection and all its calls.
func TestFailedWriteEndsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proxy, conn := overCounted(t, newLab(t))
		conn.fail.Store(true)
		e := wantError(t, proxy.Empty(context.Background()), bsrpc.CodeUnavailable, bsrpc.OutcomeUnknown, "connection lost: writing: the cable is cut")
		if !errors.Is(e, errBroken) {
			t.Errorf("%v does not wrap the cause", e)
		}
		wantError(t, proxy.Empty(context.Background()), bsrpc.CodeUnavailable, bsrpc.OutcomeNotRun, "the cable is cut")
	})
}

// The caller may change arguments after the call has returned, for any reason. The
// race detector watches.
func TestArgumentsMayBeReused(t *testing.T) {
	t.Parallel()
	proxy, _ := overTCP[labContract](t, newLab(t), "Lab")
	rounds := 200
	if !bsrpc.LongTests {
		rounds = 15
	}
	for round := range rounds {
		in := pattern(1 << 20)
		want := bytes.Clone(in)
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(round*2000/rounds)*time.Microsecond)
		out, err := proxy.Echo(ctx, in)
		cancel()
		clear(in)
		if err == nil && !bytes.Equal(out, want) {
			t.Fatal("bytes changed on the way")
		}
	}
}

// Messages of 4 GiB and more, with elements sharing their memory.
func TestMessagesAbove4GiB(t *testing.T) {
	t.Parallel()
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, MaxMessage: 1 << 30})
	defer srv.Close()
	if err := srv.RegisterFunc("Big.Take", func([][]byte) {}); err != nil {
		t.Fatal(err)
	}
	type contract struct {
		Take func(ctx context.Context, b [][]byte) error
	}
	near, far := net.Pipe()
	go srv.ServeConn(far)
	conn := &countingConn{Conn: near}
	client, err := bsrpc.NewClient(t.Context(), conn, &bsrpc.ClientOptions{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	proxy, err := bsrpc.Bind[contract](t.Context(), client, "Big")
	if err != nil {
		t.Fatal(err)
	}
	part := make([]byte, 64<<20)
	var body [][]byte
	for range 65 {
		body = append(body, part)
	}
	before := conn.written.Load()
	wantError(t, proxy.Take(t.Context(), body), bsrpc.CodeResourceExhausted, bsrpc.OutcomeNotRun, "MaxMessage")
	if n := conn.written.Load() - before; n != 0 {
		t.Errorf("%d bytes were sent", n)
	}
	if err := proxy.Take(t.Context(), [][]byte{part[:1<<10]}); err != nil {
		t.Errorf("the next call: %v", err)
	}
}

// The server does not answer, and the context has no deadline.
func TestDefaultCallTimeout(t *testing.T) {
	type contract struct {
		Sleep func(ctx context.Context, ms int) error
		Short func(ctx context.Context, ms int) error `bsrpc:"timeout=3s"`
		Long  func(ctx context.Context, ms int) error `bsrpc:"timeout=none"`
		Plain func(ms int) error
	}
	synctest.Test(t, func(t *testing.T) {
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
		defer srv.Close()
		for _, name := range []string{"Sleep", "Short", "Long", "Plain"} {
			if err := srv.RegisterFunc("Lab."+name, lab{}.Sleep); err != nil {
				t.Fatal(err)
			}
		}
		proxy := bsrpctest.Bind[contract](t, srv, "Lab")
		const day = 24 * 60 * 60 * 1000
		for _, c := range []struct {
			call func() error
			took time.Duration
			text string
		}{
			{func() error { return proxy.Sleep(context.Background(), day) }, 20 * time.Second, "no answer in 20s (DefaultCallTimeout); give the context a deadline, or the method timeout="},
			{func() error { return proxy.Plain(day) }, 20 * time.Second, "DefaultCallTimeout"},
			{func() error { return proxy.Short(context.Background(), day) }, 3 * time.Second, "no answer in 3s (timeout= of the method)"},
		} {
			start := time.Now()
			err := c.call()
			var e *bsrpc.Error // whether the handler's answer is in time is open: both end at once
			if !errors.As(err, &e) || e.Code != bsrpc.CodeDeadlineExceeded || !strings.Contains(e.Message, c.text) {
				t.Errorf("got %v, want %q", err, c.text)
			}
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v is not context.DeadlineExceeded", err)
			}
			if took := time.Since(start); took != c.took {
				t.Errorf("took %v, want %v", took, c.took)
			}
		}
		start := time.Now()
		if err := proxy.Long(context.Background(), 60_000); err != nil || time.Since(start) < time.Minute {
			t.Errorf("timeout=none: %v after %v", err, time.Since(start))
		}
	})
}

// After a cancellation the caller returns at once, the handler's context is cancelled,
// and the connection continues.
func TestCancellationReachesHandlers(t *testing.T) {
	type contract struct {
		Wait func(ctx context.Context) error
		Add  func(ctx context.Context, a, b int) (int, error)
	}
	for _, c := range []struct {
		name string
		ctx  func() (context.Context, context.CancelFunc)
		code bsrpc.Code
		is   error
	}{
		{"deadline", func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.Background(), 100*time.Millisecond)
		}, bsrpc.CodeDeadlineExceeded, context.DeadlineExceeded},
		{"cancel", func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(100*time.Millisecond, cancel)
			return ctx, cancel
		}, bsrpc.CodeCanceled, context.Canceled},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				heard := make(chan time.Time, 1)
				srv := newLab(t)
				err := errors.Join(
					srv.RegisterFunc("W.Wait", func(ctx context.Context) error {
						<-ctx.Done()
						heard <- time.Now()
						return ctx.Err()
					}),
					srv.RegisterFunc("W.Add", func(a, b int) int { return a + b }))
				if err != nil {
					t.Fatal(err)
				}
				watchWitness(t, srv)
				proxy := bsrpctest.Bind[contract](t, srv, "W")
				start := time.Now()
				ctx, cancel := c.ctx()
				defer cancel()
				err = proxy.Wait(ctx)
				var e *bsrpc.Error
				if !errors.As(err, &e) || e.Code != c.code {
					t.Errorf("got %v, want %v", err, c.code)
				}
				if !errors.Is(err, c.is) {
					t.Errorf("%v is not %v", err, c.is)
				}
				if took := time.Since(start); took != 100*time.Millisecond {
					t.Errorf("the caller was free after %v, want exactly 100ms", took)
				}
				if took := (<-heard).Sub(start); took != 100*time.Millisecond {
					t.Errorf("the handler heard of it after %v, want exactly 100ms", took)
				}
				if sum, err := proxy.Add(context.Background(), 1, 2); err != nil || sum != 3 {
					t.Errorf("the next call: %d, %v", sum, err)
				}
			})
		})
	}
}

// A call whose context has already ended is not sent.
func TestExpiredCallsAreNotSent(t *testing.T) {
	proxy, conn := overCounted(t, newLab(t))
	past, cancel := context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
	defer cancel()
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	before := conn.written.Load()
	wantError(t, proxy.Empty(past), bsrpc.CodeDeadlineExceeded, bsrpc.OutcomeNotRun, "deadline")
	wantError(t, proxy.Empty(canceled), bsrpc.CodeCanceled, bsrpc.OutcomeNotRun, "canceled")
	if n := conn.written.Load() - before; n != 0 {
		t.Errorf("%d bytes were sent", n)
	}
}

// Every bit arrives, through a call and through Marshal.
func TestExtremeValues(t *testing.T) {
	type extremes struct {
		I8  []int8
		I16 []int16
		I32 []int32
		I64 []int64
		U   []uint64
		F32 []uint32 // bits
		F64 []uint64
	}
	type floats struct {
		A []float32
		B []float64
	}
	e := extremes{
		I8: []int8{math.MinInt8, -1, 0, math.MaxInt8}, I16: []int16{math.MinInt16, -1, 0, math.MaxInt16},
		I32: []int32{math.MinInt32, -1, 0, math.MaxInt32}, I64: []int64{math.MinInt64, -1, 0, math.MaxInt64},
		U:   []uint64{0, 1, math.MaxUint64},
		F32: []uint32{0x7fc00001, 0xff800001, 0x7f800000, 0xff800000, 0x80000000, 1},
		F64: []uint64{0x7ff8000000000001, 0xfff0000000000001, 0x7ff0000000000000, 0xfff0000000000000, 1 << 63, 1},
	}
	srv := newLab(t)
	err := errors.Join(srv.RegisterFunc("E.Ints", func(v extremes) extremes { return v }),
		srv.RegisterFunc("E.Floats", func(v *floats) *floats { return v }))
	if err != nil {
		t.Fatal(err)
	}
	type contract struct {
		Ints   func(extremes) (extremes, error)
		Floats func(*floats) (*floats, error)
	}
	proxy := bsrpctest.Bind[contract](t, srv, "E")
	if got, err := proxy.Ints(e); err != nil || fmt.Sprint(got) != fmt.Sprint(e) {
		t.Errorf("got %v, %v; want %v", got, err, e)
	}
	var f floats
	for i := range e.F32 {
		f.A, f.B = append(f.A, math.Float32frombits(e.F32[i])), append(f.B, math.Float64frombits(e.F64[i]))
	}
	got, err := proxy.Floats(&f)
	if err != nil {
		t.Fatal(err)
	}
	for i := range e.F32 {
		if math.Float32bits(got.A[i]) != e.F32[i] || math.Float64bits(got.B[i]) != e.F64[i] {
			t.Errorf("float %d: got bits %x and %x", i, math.Float32bits(got.A[i]), math.Float64bits(got.B[i]))
		}
	}
}

// A cyclic value, and a value that cannot be sent, fail only their call.
func TestUnencodableValues(t *testing.T) {
	type node struct{ Next *node }
	type contract struct {
		List func(*node) error
		Map  func(map[float64]bool) error
	}
	srv := newLab(t)
	err := errors.Join(srv.RegisterFunc("V.List", func(*node) {}), srv.RegisterFunc("V.Map", func(map[float64]bool) {}))
	if err != nil {
		t.Fatal(err)
	}
	proxy := bsrpctest.Bind[contract](t, srv, "V")
	circle := new(node)
	circle.Next = circle
	if err := proxy.List(circle); err == nil || !strings.Contains(err.Error(), "V.List, parameter 1, node.Next") || !strings.Contains(err.Error(), "MaxDepth") {
		t.Errorf("got %v", err)
	}
	wantError(t, proxy.Map(map[float64]bool{math.NaN(): true}), bsrpc.CodeInvalidArgument, bsrpc.OutcomeNotRun, "V.Map, parameter 1, map[float64]bool[key]")
	if err := proxy.List(&node{new(node)}); err != nil {
		t.Errorf("the next call: %v", err)
	}
}

// A lost connection fails running and later calls.
func TestLostConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newLab(t)
		near, far := net.Pipe()
		go srv.ServeConn(far)
		client, err := bsrpc.NewClient(t.Context(), near, nil)
		if err != nil {
			t.Fatal(err)
		}
		proxy, err := bsrpc.Bind[labContract](t.Context(), client, "Lab")
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, func() { far.Close() })
		e := wantError(t, proxy.Sleep(context.Background(), 5000), bsrpc.CodeUnavailable, bsrpc.OutcomeUnknown, "connection lost")
		if !errors.Is(e, io.ErrUnexpectedEOF) || errors.Is(e, io.EOF) {
			t.Errorf("%v does not wrap its cause", e)
		}
		<-client.Done()
		wantError(t, proxy.Empty(context.Background()), bsrpc.CodeUnavailable, bsrpc.OutcomeNotRun, "connection lost")
		wantError(t, client.Err(), bsrpc.CodeUnavailable, bsrpc.OutcomeUnknown, "connection lost")
		client.Close()
	})
}

// Values with a second encoding are refused for their call alone: a map with a key twice or in
// another order, NaN as a key, a bool that is neither 0 nor 1.
func TestSecondEncodingsAreRefused(t *testing.T) {
	srv := newLab(t)
	ran := 0
	if err := errors.Join(
		srv.RegisterFunc("Odd.Map", func(map[uint8]uint8) { ran++ }),
		srv.RegisterFunc("Odd.Floats", func(map[float32]uint8) { ran++ }),
		srv.RegisterFunc("Odd.Bool", func(bool) { ran++ }),
	); err != nil {
		t.Fatal(err)
	}
	client, err := bsrpctest.Dial(t, srv, nil)
	if err != nil {
		t.Fatal(err)
	}
	watchWitness(t, srv)
	for _, c := range []struct{ method, args, want string }{
		{"Odd.Map", "\x08\x00\x00\x00\x02\x00\x00\x00\x01\x01\x01\x02", "want unique keys in the order of their bytes"},
		{"Odd.Map", "\x08\x00\x00\x00\x02\x00\x00\x00\x02\x01\x01\x02", "want unique keys in the order of their bytes"},
		{"Odd.Map", "\x08\x00\x00\x00\x02\x00\x00\x00\x01\x01\x02\x02", ""},
		{"Odd.Floats", "\x09\x00\x00\x00\x01\x00\x00\x00\x00\x00\xc0\x7f\x01", "NaN and -0 cannot be map keys"},
		{"Odd.Floats", "\x09\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x80\x01", "NaN and -0 cannot be map keys"},
		{"Odd.Bool", "\x02", "want 0 or 1 for a bool"},
		{"Odd.Bool", "\x01", ""},
	} {
		_, err := client.CallEncoded(t.Context(), c.method, []byte(c.args), nil)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s %x: %v", c.method, c.args, err)
			}
			continue
		}
		wantError(t, err, bsrpc.CodeInvalidArgument, bsrpc.OutcomeNotRun, c.want)
	}
	if ran != 2 {
		t.Errorf("%d calls ran, want 2", ran)
	}
}
