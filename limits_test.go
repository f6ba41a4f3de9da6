package bsrpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// wantCall checks the error of a call.
func wantCall(t testing.TB, err error, code Code, outcome Outcome, text string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Code != code || e.Outcome != outcome || !strings.Contains(e.Error(), text) {
		t.Errorf("got %v (%+v), want %v, %v, %q", err, e, code, outcome, text)
	}
}

// A peer exceeding MaxInflight fails only that call.
func TestMaxInflight(t *testing.T) {
	withRaw(t, &ServerOptions{MaxInflight: 5}, func(p *rawPeer, _ *Server, service *testee) {
		for id := uint64(2); id < 7; id++ {
			p.send(wire.Frame{Type: wire.Request, Arg: rawHold, ID: id}, nil)
			<-service.began
		}
		p.send(wire.Frame{Type: wire.Request, Arg: rawHold, ID: 7}, nil)
		p.wantError(7, CodeResourceExhausted, wire.NotRun, "too many open calls on this connection (the server's MaxInflight is 5)")
		p.write(bigRequest(8, rawEcho, 1<<20, 0)) // an incomplete call counts too
		p.wantError(8, CodeResourceExhausted, wire.NotRun, "MaxInflight")
		close(service.release)
		if got := p.answers(5); len(got) != 5 {
			t.Errorf("got answers to %d calls", len(got))
		}
		p.wantAlive(9)
	})
}

// A cancelled call counts until its handler returns.
func TestMaxInflightCountsCancelledCalls(t *testing.T) {
	withRaw(t, &ServerOptions{MaxInflight: 3}, func(p *rawPeer, _ *Server, service *testee) {
		for id := uint64(2); id < 5; id++ {
			p.send(wire.Frame{Type: wire.Request, Arg: rawDeaf, ID: id}, nil)
			p.send(wire.Frame{Type: wire.Cancel, ID: id}, nil)
			<-service.began
		}
		for id := uint64(5); id < 50; id++ { // start and cancel, again and again
			p.send(wire.Frame{Type: wire.Request, Arg: rawDeaf, ID: id}, nil)
			p.send(wire.Frame{Type: wire.Cancel, ID: id}, nil)
			p.wantError(id, CodeResourceExhausted, wire.NotRun, "MaxInflight")
		}
		if n := len(service.began); n != 0 {
			t.Errorf("%d more handlers have begun", n)
		}
		close(service.release)
		for range 3 {
			if f, _ := p.read(); f.Type != wire.Error || Code(f.Arg) != CodeCanceled {
				t.Errorf("got %v, %v", f.Type, Code(f.Arg))
			}
		}
		p.wantAlive(50)
	})
}

// A thousand refusals close the connection.
func TestRefusalsClose(t *testing.T) {
	t.Parallel()
	withRaw(t, &ServerOptions{MaxInflight: 1}, func(p *rawPeer, _ *Server, service *testee) {
		p.send(wire.Frame{Type: wire.Request, Arg: rawHold, ID: 2}, nil)
		<-service.began
		for id := uint64(3); id < 3+1000; id++ {
			p.send(wire.Frame{Type: wire.Request, Arg: rawAdd, ID: id}, nil)
			p.wantError(id, CodeResourceExhausted, wire.NotRun, "MaxInflight")
		}
		p.send(wire.Frame{Type: wire.Request, Arg: rawAdd, ID: 5000}, nil)
		p.wantClose(CodeInternal, "1001 calls above MaxInflight (1)")
	})
}

// A thousand refused chunked messages left unfinished close it too: each refusal takes
// memory.
func TestUnfinishedRefusalsClose(t *testing.T) {
	withRaw(t, nil, func(p *rawPeer, srv *Server, _ *testee) {
		for id := uint64(2); id < 2+1000; id++ {
			p.write(bigRequest(id, rawUnbound, 1<<20, 0))
			p.wantError(id, CodeUnimplemented, wire.NotRun, "number 6")
		}
		if n := srv.budget.Booked(); n != 0 {
			t.Errorf("%d bytes booked", n)
		}
		go p.nc.Write(bigRequest(5000, rawUnbound, 1<<20, 0))
		p.wantError(5000, CodeUnimplemented, wire.NotRun, "number 6")
		p.wantClose(CodeInternal, "1001 chunked messages were refused and are neither complete nor cancelled")
	})
}

// A refused message that is never finished keeps no timer busy.
func TestUnfinishedRefusalIsQuiet(t *testing.T) {
	withRaw(t, nil, func(p *rawPeer, _ *Server, _ *testee) {
		p.write(bigRequest(2, rawUnbound, 1<<20, 100))
		p.wantError(2, CodeUnimplemented, wire.NotRun, "number 6")
		time.Sleep(10 * time.Minute) // a timer that fires at once again and again would stop this clock
		p.wantAlive(3)
	})
}

// A client of this library waits instead of exceeding MaxInflight.
func TestClientWaitsForMaxInflight(t *testing.T) {
	for _, limit := range []int{1, 7, 64} {
		synctest.Test(t, func(t *testing.T) {
			srv := testeeServer(t, newTestee(), &ServerOptions{MaxInflight: limit})
			client, proxy := testeeClient(t, srv, nil)
			var wg sync.WaitGroup
			for i := range uint32(10 * limit) {
				wg.Go(func() {
					if us, err := proxy.Sleep(t.Context(), 100+i); us != 100+i || err != nil {
						t.Errorf("got %d, %v", us, err)
					}
				})
			}
			wg.Wait()
			checkEmpty(t, client.native.Conn)
			client.Close()
			srv.Close()
		})
	}
}

// A waiting caller can stop waiting, without an effect on the others.
func TestQueuedCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := newTestee()
		srv := testeeServer(t, service, &ServerOptions{MaxInflight: 1})
		client, proxy := testeeClient(t, srv, nil)
		held := make(chan error, 1)
		go func() { held <- proxy.Hold(context.Background()) }()
		<-service.began
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		queued := make(chan error, 1)
		go func() { _, err := proxy.Add(context.Background(), 1, 2); queued <- err }()
		synctest.Wait()
		err := proxy.Fail(ctx)
		wantCall(t, err, CodeDeadlineExceeded, OutcomeNotRun, "deadline exceeded")
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("left after %v", took)
		}
		close(service.release)
		if err := <-held; err != nil {
			t.Error(err)
		}
		if err := <-queued; err != nil {
			t.Error(err)
		}
		checkEmpty(t, client.native.Conn)
		client.Close()
		srv.Close()
	})
}

// MaxMessage holds in both directions, with the values of both ends.
func TestMaxMessage(t *testing.T) {
	const limit = 100_000
	for _, tt := range []struct {
		name           string
		server, client int
	}{{"server", limit, 0}, {"client", 0, limit}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := testeeServer(t, newTestee(), &ServerOptions{MaxMessage: tt.server})
				client, proxy := testeeClient(t, srv, &ClientOptions{MaxMessage: tt.client, Logger: quiet})
				at := make([]byte, limit-4) // the length before it makes limit
				if got, err := proxy.Echo(t.Context(), at); len(got) != len(at) || err != nil {
					t.Errorf("at the limit: got %d bytes, %v", len(got), err)
				}
				_, err := proxy.Echo(t.Context(), make([]byte, limit-3))
				if tt.server > 0 {
					wantCall(t, err, CodeResourceExhausted, OutcomeNotRun, "Probe.Echo")
				} else {
					wantCall(t, err, CodeResourceExhausted, OutcomeAnswered, "Probe.Echo, result 1, []uint8: too long (the client's MaxMessage is 100000)")
				}
				_, err = proxy.Make(t.Context(), limit-3)
				if tt.client > 0 {
					wantCall(t, err, CodeResourceExhausted, OutcomeAnswered, "Probe.Make, result 1, []uint8: too long (the client's MaxMessage is 100000)")
				}
				if _, err := proxy.Add(t.Context(), 1, 2); err != nil {
					t.Error(err)
				}
				checkEmpty(t, client.native.Conn)
				client.Close()
				srv.Close()
			})
		})
	}
}

// ConnBytes limits the bytes announced and not yet received. Messages exceeding it are
// refused at once, and their chunks dropped. A complete or cancelled message makes
// room again.
func TestConnBytes(t *testing.T) {
	t.Parallel()
	withRaw(t, &ServerOptions{MaxMessage: 1 << 20, Limits: Limits{ConnBytes: 2 << 20}}, func(p *rawPeer, srv *Server, _ *testee) {
		body := append([]byte(u32(1<<20-4)), make([]byte, 1<<20-4)...)
		first := func(id uint64) []byte {
			return frameBytes(wire.Frame{Type: wire.Request, Flags: wire.Chunked, Arg: rawEcho, ID: id, Total: 1 << 20}, body[:10])
		}
		rest := func(id uint64) (all []byte) {
			for b := body[10:]; len(b) > 0; {
				n := min(len(b), wire.MaxChunk)
				all = append(all, frameBytes(wire.Frame{Type: wire.RequestChunk, ID: id}, b[:n])...)
				b = b[n:]
			}
			return all
		}
		p.write(first(2))
		p.write(first(3))
		synctest.Wait()
		if n := srv.budget.Booked(); n != 20 {
			t.Errorf("%d bytes booked, 20 have arrived", n)
		}
		p.write(first(4))
		p.wantError(4, CodeResourceExhausted, wire.NotRun, "exceed the server's Limits.ConnBytes (2097152)")
		p.write(rest(4)) // nobody wants them
		p.wantAlive(5)
		p.write(rest(2))
		if got := p.answers(1); len(got[2]) < 1<<20 {
			t.Errorf("got %d bytes", len(got[2]))
		}
		p.write(first(6)) // there is room for one
		p.send(wire.Frame{Type: wire.Cancel, ID: 3}, nil)
		p.wantError(3, CodeCanceled, wire.NotRun, "canceled")
		p.write(first(7)) // and for another
		p.write(rest(7))
		p.write(rest(6))
		if got := p.answers(2); len(got) != 2 {
			t.Errorf("got %d answers", len(got))
		}
		if n := srv.budget.Booked(); n != 0 {
			t.Errorf("%d bytes booked", n)
		}
	})
}

// mostOf sends the first n bytes of a request of total bytes.
func (p *rawPeer) mostOf(id uint64, total, n int) {
	p.t.Helper()
	f := wire.Frame{Type: wire.Request, Flags: wire.Chunked, Arg: rawEcho, ID: id, Total: uint64(total)}
	for body := append([]byte(u32(uint32(total-4))), make([]byte, n-4)...); len(body) > 0; {
		chunk := body[:min(len(body), wire.MaxChunk)]
		p.write(frameBytes(f, chunk))
		f, body = wire.Frame{Type: wire.RequestChunk, ID: id}, body[len(chunk):]
	}
}

// ServerBytes limits the received bytes of all connections together. Above it the message
// that has received them is refused, or the oldest one, after a second. Announced bytes do
// not count, and other calls and connections go on.
func TestServerBytes(t *testing.T) {
	t.Parallel()
	opts := &ServerOptions{MaxMessage: 1 << 20, Limits: Limits{ServerBytes: 3 << 20}}
	withRaw(t, opts, func(p *rawPeer, srv *Server, _ *testee) {
		var others []*rawPeer
		for range 3 {
			other := rawClient(t, srv)
			other.mostOf(2, 1<<20, 1<<20-10)
			others = append(others, other)
		}
		for range 40 { // announced only
			other := rawClient(t, srv)
			other.write(bigRequest(2, rawEcho, 1<<20, 0))
			others = append(others, other)
		}
		const text = "unfinished messages at the server exceed Limits.ServerBytes (3145728)"
		synctest.Wait()
		p.mostOf(2, 1<<17, 1<<17-10) // a complete message would be served
		p.wantError(2, CodeResourceExhausted, wire.NotRun, text)
		p.wantAlive(3)
		time.Sleep(safeTime)
		p.mostOf(4, 1<<20, 1<<20) // drops the oldest
		if got := p.answers(1); len(got[4]) < 1<<20 {
			t.Errorf("got %d bytes", len(got[4]))
		}
		others[0].wantError(2, CodeResourceExhausted, wire.NotRun, text)
		others[0].write(frameBytes(wire.Frame{Type: wire.RequestChunk, ID: 2}, make([]byte, 10)))
		others[0].wantAlive(3)
		others[1].write(frameBytes(wire.Frame{Type: wire.RequestChunk, ID: 2}, make([]byte, 10)))
		if got := others[1].answers(1); len(got[2]) < 1<<20 {
			t.Errorf("got %d bytes", len(got[2]))
		}
		for _, other := range others {
			other.nc.Close()
			<-other.served
		}
		synctest.Wait()
		if n := srv.budget.Booked(); n != 0 {
			t.Errorf("%d bytes booked", n)
		}
	})
}

// safeTime is how long an unfinished message is safe from others, see docs/protocol.md.
const safeTime = time.Second

// The metadata of requests that wait counts in ServerBytes.
func TestServerBytesOfMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), &ServerOptions{MaxMessage: 1 << 20, Limits: Limits{ServerBytes: 4 << 20}})
		type contract struct {
			Hold func(ctx context.Context) error `bsrpc:"exclusive=it"`
		}
		if err := RegisterAs[contract](srv, "Line", &contract{Hold: func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(WithMetadata(t.Context(), Metadata{"k": strings.Repeat("v", 7000)}), time.Hour)
		results := make(chan error, 500)
		for range 2 {
			client, _ := testeeClient(t, srv, nil)
			defer client.Close()
			proxy, err := Bind[contract](t.Context(), client, "Line")
			if err != nil {
				t.Fatal(err)
			}
			for range 250 {
				go func() { results <- proxy.Hold(ctx) }()
			}
			synctest.Wait()
		}
		if len(results) == 0 {
			t.Error("3.5 MB of metadata wait")
		}
		for range len(results) {
			wantCall(t, <-results, CodeResourceExhausted, OutcomeNotRun, "requests that wait at the server exceed Limits.ServerBytes (4194304)")
		}
		cancel()
		time.Sleep(time.Second)
		if n := srv.budget.Booked(); n != 0 {
			t.Errorf("%d bytes booked", n)
		}
	})
}

// Requests that wait for an exclusive group count in ServerBytes as well. One connection
// may have half of it, and leaves room for others. A call that is canceled, or whose
// connection ends, returns its room.
func TestServerBytesOfWaitingRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), &ServerOptions{MaxMessage: 1 << 20, Limits: Limits{ServerBytes: 4 << 20}})
		release := make(chan struct{})
		type contract struct {
			Hold func(ctx context.Context, b []byte) error `bsrpc:"exclusive=it"`
		}
		if err := RegisterAs[contract](srv, "Line", &contract{Hold: func(_ context.Context, b []byte) error {
			if len(b) == 0 {
				<-release
			}
			return nil
		}}); err != nil {
			t.Fatal(err)
		}
		dial := func() (*Client, *contract) {
			client, _ := testeeClient(t, srv, nil)
			proxy, err := Bind[contract](t.Context(), client, "Line")
			if err != nil {
				t.Fatal(err)
			}
			return client, proxy
		}
		holder, hold := dial()
		go hold.Hold(t.Context(), nil)
		synctest.Wait()
		flood, greedy := dial()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		results := make(chan error, 150)
		for i := range 150 {
			size := 60_000
			if i%10 == 0 {
				size = 100_000 // chunked
			}
			go func() { results <- greedy.Hold(ctx, make([]byte, size)) }()
		}
		synctest.Wait()
		refused := len(results)
		for range refused {
			wantCall(t, <-results, CodeResourceExhausted, OutcomeNotRun, "requests that wait at the server exceed Limits.ServerBytes (4194304)")
		}
		if n := srv.budget.Booked(); n > 9<<18 || n < 7<<18 {
			t.Errorf("%d bytes booked, want about half of 4 MiB", n)
		}
		other, modest := dial()
		done := make(chan error, 1)
		go func() { done <- modest.Hold(ctx, make([]byte, 1<<18)) }()
		synctest.Wait()
		if len(done) > 0 {
			t.Error(<-done)
		}
		cancel()
		for range 150 - refused {
			wantCall(t, <-results, CodeCanceled, OutcomeUnknown, "")
		}
		<-done
		synctest.Wait()
		if n := srv.budget.Booked(); n != 0 {
			t.Errorf("%d bytes booked", n)
		}
		go greedy.Hold(t.Context(), make([]byte, 100_000))
		synctest.Wait()
		if n := srv.budget.Booked(); n < 100_000 {
			t.Errorf("%d bytes booked", n)
		}
		flood.Close()
		close(release)
		other.Close()
		holder.Close()
		synctest.Wait()
		srv.Close()
		checkBooked(t, srv)
	})
}

// Streams that wait to be read count in ServerBytes too. The stream that gets the bytes above the
// limit ends, and the handler reads why. What is read has room for more.
func TestServerBytesOfStreams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), &ServerOptions{Limits: Limits{ServerBytes: 16 << 20}})
		type contract struct {
			Items func(ctx context.Context, reads bool, in iter.Seq2[[]byte, error]) (int, error)
			Bytes func(ctx context.Context, reads bool, in io.Reader) (int, error)
		}
		release := make(chan struct{})
		if err := RegisterAs[contract](srv, "Heap", &contract{
			Items: func(_ context.Context, reads bool, in iter.Seq2[[]byte, error]) (n int, err error) {
				if !reads {
					<-release
				}
				for item, err := range in {
					if n += len(item); err != nil {
						return n, err
					}
				}
				return n, nil
			},
			Bytes: func(_ context.Context, reads bool, in io.Reader) (int, error) {
				if !reads {
					<-release
				}
				n, err := io.Copy(io.Discard, in)
				return int(n), err
			},
		}); err != nil {
			t.Fatal(err)
		}
		const size = 1 << 18
		items := func(yield func([]byte, error) bool) {
			for range size >> 14 {
				if !yield(make([]byte, 1<<14), nil) {
					return
				}
			}
		}
		dial := func() (*Client, *contract) {
			client, _ := testeeClient(t, srv, nil)
			proxy, err := Bind[contract](t.Context(), client, "Heap")
			if err != nil {
				t.Fatal(err)
			}
			return client, proxy
		}
		results := make(chan error, 300)
		call := func(p *contract, i int) {
			n, err := 0, error(nil)
			if i%2 == 0 {
				n, err = p.Items(t.Context(), false, items)
			} else {
				n, err = p.Bytes(t.Context(), false, bytes.NewReader(make([]byte, size)))
			}
			if err == nil && n != size {
				t.Errorf("%d bytes, want %d", n, size)
			}
			results <- err
		}
		first, greedy := dial()
		for i := range 140 {
			go call(greedy, i)
			synctest.Wait()
		}
		if n := srv.budget.Booked(); n > 9<<20 || n < 7<<20 {
			t.Errorf("%d bytes booked, want about half of 16 MiB", n)
		}
		second, modest := dial()
		for i := range 10 {
			go call(modest, i)
		}
		synctest.Wait()
		n, err := modest.Items(t.Context(), true, items)
		m, err2 := modest.Bytes(t.Context(), true, bytes.NewReader(make([]byte, 17<<20))) // more than the limit, but read
		if n != size || m != 17<<20 || err != nil || err2 != nil {
			t.Errorf("%d and %d bytes, %v, %v", n, m, err, err2)
		}
		close(release)
		refused := 0
		for range 150 {
			if err := <-results; err != nil {
				wantCall(t, err, CodeResourceExhausted, OutcomeAnswered, "streams that wait at the server to be read exceed Limits.ServerBytes (16777216)")
				refused++
			}
		}
		if refused < 8 || refused > 20 {
			t.Errorf("%d of 150 streams were refused, and 8 MiB of 64 KiB each fit", refused)
		}
		synctest.Wait()
		if n := srv.budget.Booked(); n != 0 {
			t.Errorf("%d bytes booked", n)
		}
		first.Close()
		second.Close()
		srv.Close()
		checkBooked(t, srv)
	})
}

// Connections that take what the others leave free, one after another, leave less each time. A short
// stream passes all the same.
func TestServerBytesOfGreedyConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), &ServerOptions{MaxMessage: 64 << 10, Limits: Limits{ServerBytes: 1 << 20}})
		type contract struct {
			Feed func(ctx context.Context, reads bool, in iter.Seq2[[]byte, error]) (int, error)
		}
		if err := RegisterAs[contract](srv, "Heap", &contract{Feed: func(ctx context.Context, reads bool, in iter.Seq2[[]byte, error]) (n int, err error) {
			if !reads {
				<-ctx.Done()
				return 0, ctx.Err()
			}
			for item, err := range in {
				if n += len(item); err != nil {
					return n, err
				}
			}
			return n, nil
		}}); err != nil {
			t.Fatal(err)
		}
		items := func(n int) iter.Seq2[[]byte, error] {
			return func(yield func([]byte, error) bool) {
				for range n {
					if !yield(make([]byte, 8<<10), nil) {
						return
					}
				}
			}
		}
		greedy, stop := context.WithCancel(t.Context())
		var clients []*Client
		dial := func() *contract {
			client, _ := testeeClient(t, srv, nil)
			clients = append(clients, client)
			proxy, err := Bind[contract](t.Context(), client, "Heap")
			if err != nil {
				t.Fatal(err)
			}
			return proxy
		}
		for range 12 {
			p := dial()
			for range 10 {
				go p.Feed(greedy, false, items(64))
			}
			synctest.Wait()
		}
		if n := srv.budget.Booked(); n < 1<<20-64<<10 || n > 1<<20+12*64<<10 {
			t.Errorf("%d bytes booked, want about 1 MiB, and at most 64 KiB for each connection above it", n)
		}
		p := dial()
		for range 20 {
			if n, err := p.Feed(t.Context(), true, items(6)); n != 48<<10 || err != nil {
				t.Errorf("%d bytes, %v", n, err)
			}
		}
		stop()
		for _, c := range clients {
			c.Close()
		}
		srv.Close()
		checkBooked(t, srv)
	})
}

// A client delays its messages so that the server never refuses one, and a server its
// answers.
func TestSendersKeepWithinConnBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 200_000
		srv := testeeServer(t, newTestee(), &ServerOptions{MaxMessage: 256 << 10, Limits: Limits{ConnBytes: 512 << 10}})
		client, proxy := testeeClient(t, srv, &ClientOptions{MaxMessage: 256 << 10, Limits: Limits{ConnBytes: 512 << 10}, Logger: quiet})
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				in := bytes.Repeat([]byte{byte(i)}, size+i)
				if out, err := proxy.Echo(t.Context(), in); !bytes.Equal(in, out) || err != nil {
					t.Errorf("got %d bytes, %v", len(out), err)
				}
			})
		}
		wg.Wait()
		checkEmpty(t, client.native.Conn)
		client.Close()
		srv.Close()
		checkBooked(t, srv)
	})
}

// An answer exceeding the client's ConnBytes fails its call.
func TestClientConnBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, proxy, p := rawServer(t, nil)
		calls := make(chan error, 3)
		for range 3 {
			go func() { _, err := proxy.Echo(t.Context(), nil); calls <- err }()
			f, _ := p.read()
			p.send(wire.Frame{Type: wire.Response, Flags: wire.Chunked, ID: f.ID, Total: 16 << 20}, nil)
		}
		wantCall(t, <-calls, CodeResourceExhausted, OutcomeAnswered, "exceed the client's Limits.ConnBytes (33554432)")
		if f, _ := p.read(); f.Type != wire.Cancel {
			t.Errorf("got %v, want CANCEL", f.Type)
		}
		client.Close()
		for range 2 {
			if err := <-calls; !errors.Is(err, ErrClosed) {
				t.Errorf("got %v", err)
			}
		}
		p.nc.Close()
	})
}

// MaxHandlers limits a whole server.
func TestMaxHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := newTestee()
		srv := testeeServer(t, service, &ServerOptions{Limits: Limits{MaxHandlers: 2}})
		client, proxy := testeeClient(t, srv, nil)
		other, proxy2 := testeeClient(t, srv, nil)
		var wg sync.WaitGroup
		var ran, refused atomic.Int32
		for i := range 20 {
			hold := proxy.Hold
			if i%2 == 1 {
				hold = proxy2.Hold
			}
			wg.Go(func() {
				err := hold(t.Context())
				if err == nil {
					ran.Add(1)
					return
				}
				refused.Add(1)
				wantCall(t, err, CodeResourceExhausted, OutcomeNotRun, "the server is busy: it runs Limits.MaxHandlers (2) handlers")
			})
			time.Sleep(10 * time.Millisecond)
		}
		close(service.release)
		wg.Wait()
		if refused.Load() == 0 || ran.Load() < 2 {
			t.Errorf("%d ran, %d refused", ran.Load(), refused.Load())
		}
		if sum, err := proxy.Add(t.Context(), 1, 2); sum != 3 || err != nil {
			t.Errorf("afterwards: %d, %v", sum, err)
		}
		client.Close()
		other.Close()
		srv.Close()
		checkBooked(t, srv)
	})
}

// WriteStall ends a connection exactly in time if the peer reads nothing, and not if
// it is slow.
func TestWriteStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), &ServerOptions{Limits: Limits{WriteStall: 3 * time.Second}})
		stop := witness(t, srv)
		p := rawClient(t, srv)
		start := time.Now()
		p.send(wire.Frame{Type: wire.Request, Arg: rawMake, ID: 2}, []byte(u32(1<<20)))
		for range 100 { // a byte now and then is progress
			time.Sleep(2900 * time.Millisecond)
			p.readFull(1)
		}
		if took := time.Since(start); took != 290*time.Second {
			t.Errorf("100 bytes took %v", took)
		}
		start = time.Now()
		err := <-p.served
		if took := time.Since(start); took > 6*time.Second || took < 3*time.Second {
			t.Errorf("closed after %v", took)
		}
		if !errors.Is(err, transport.ErrStalled) {
			t.Errorf("ServeConn: %v", err)
		}
		stop()
		srv.Close()
		checkBooked(t, srv)
	})
}

// An unfinished message fails its call after FrameTimeout, not the connection. Late
// chunks are dropped.
func TestFrameTimeoutOfMessage(t *testing.T) {
	withRaw(t, &ServerOptions{Limits: Limits{FrameTimeout: 5 * time.Second}}, func(p *rawPeer, srv *Server, _ *testee) {
		start := time.Now()
		p.write(bigRequest(2, rawEcho, 100_000, 1000))
		p.wantError(2, CodeDeadlineExceeded, wire.NotRun, "its message made no progress for the server's Limits.FrameTimeout (5s)")
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("after %v", took)
		}
		if n := srv.budget.Booked(); n != 0 {
			t.Errorf("%d bytes booked", n)
		}
		p.send(wire.Frame{Type: wire.RequestChunk, ID: 2}, make([]byte, 1000))
		p.wantAlive(3)
		time.Sleep(time.Minute)
		p.send(wire.Frame{Type: wire.RequestChunk, ID: 2}, make([]byte, 98_000))
		p.wantAlive(4)
		p.write(bigRequest(5, rawEcho, 100_000, 0))
		for range 10 { // what comes in time renews the message's
			time.Sleep(4900 * time.Millisecond)
			p.send(wire.Frame{Type: wire.RequestChunk, ID: 5}, make([]byte, 10_000))
		}
		if f, _ := p.read(); f.ID != 5 || f.Type != wire.Error || Code(f.Arg) != CodeInvalidArgument {
			t.Errorf("got %v %d", f.Type, f.ID)
		}
	})
}

// The same at a client, for an unfinished answer.
func TestFrameTimeoutOfAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, proxy, p := rawServer(t, &ClientOptions{Limits: Limits{FrameTimeout: 5 * time.Second}, Logger: quiet})
		start := time.Now()
		call := make(chan error, 1)
		go func() { _, err := proxy.Echo(t.Context(), nil); call <- err }()
		f, _ := p.read()
		p.send(wire.Frame{Type: wire.Response, Flags: wire.Chunked, ID: f.ID, Total: 1 << 20}, make([]byte, 5))
		wantCall(t, <-call, CodeDeadlineExceeded, OutcomeAnswered, "its message made no progress for the client's Limits.FrameTimeout (5s)")
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("after %v", took)
		}
		if f, _ := p.read(); f.Type != wire.Cancel {
			t.Errorf("got %v, want CANCEL", f.Type)
		}
		p.send(wire.Frame{Type: wire.Error, Arg: 1, ID: f.ID}, (&wire.Failure{}).Append(nil))
		go proxy.Fail(t.Context())
		f, _ = p.read()
		p.send(wire.Frame{Type: wire.Response, ID: f.ID}, nil)
		checkEmpty(t, client.native.Conn)
		client.Close()
		p.nc.Close()
	})
}

// failer returns long errors.
type failer struct{}

func (failer) Long(n uint32) error { return errors.New(strings.Repeat("ä", int(n))) }

// MaxErrorText cuts a text at the end of a character.
func TestMaxErrorText(t *testing.T) {
	for limit, want := range map[int]int{0: 4096, 1: 0, 101: 100, 32 << 10: 20_000} {
		synctest.Test(t, func(t *testing.T) {
			srv := NewServer(&ServerOptions{Limits: Limits{MaxErrorText: limit}, Logger: quiet})
			if err := srv.RegisterName("Failer", failer{}); err != nil {
				t.Fatal(err)
			}
			near, far := net.Pipe()
			go srv.ServeConn(far)
			client, err := NewClient(t.Context(), near, nil)
			if err != nil {
				t.Fatal(err)
			}
			err = client.Call(t.Context(), "Failer.Long", []any{10_000})
			var e *Error
			if !errors.As(err, &e) || len(e.Message) != want || strings.Trim(e.Message, "ä") != "" {
				t.Errorf("limit %d: got %d bytes, want %d", limit, len(e.Message), want)
			}
			client.Close()
			srv.Close()
		})
	}
}

// Handlers wait because of OutQueue if their answers are not read, so that a peer that
// reads nothing takes limited memory.
func TestOutQueue(t *testing.T) {
	t.Parallel()
	for _, connBytes := range []uint64{0, 1} { // a peer that says it takes one byte may not make us hold the rest
		t.Run(fmt.Sprint("room=", connBytes), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := testeeServer(t, newTestee(), &ServerOptions{
					Limits: Limits{OutQueue: 1 << 20, WriteStall: NoLimit}})
				p := rawDial(t, srv)
				p.write(wire.AppendClientInit(nil, &wire.Hello{Version: 1, ConnBytes: connBytes}))
				p.readBasic()
				r := wire.BindRequest{Service: "Probe", Names: []string{"Add", "Echo", "Make"}}
				p.send(wire.Frame{Type: wire.Bind, Flags: wire.Describe, ID: 1}, r.Append(nil))
				p.read()
				calls, size := Rounds(8, 20), uint32(900_000)
				go func() {
					for id := range uint64(calls) {
						p.nc.Write(frameBytes(wire.Frame{Type: wire.Request, Arg: rawMake, ID: 2 + id}, []byte(u32(size))))
					}
				}()
				time.Sleep(time.Minute)
				c := onlyConn(t, srv)
				held := transport.StateOf(c).Queued
				if held > 3<<20 {
					t.Errorf("%d bytes wait to be written, OutQueue is 1 MiB", held)
				}
				if got := p.answers(calls); len(got) != calls { // it reads after all, and gets everything
					t.Errorf("got %d answers", len(got))
				}
				p.nc.Close()
				<-p.served
				srv.Close()
				checkBooked(t, srv)
			})
		})
	}
}

// onlyConn returns the only connection of a server.
func onlyConn(t testing.TB, srv *Server) *transport.Conn {
	t.Helper()
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if len(srv.conns) != 1 {
		t.Fatalf("%d connections, want 1", len(srv.conns))
	}
	for c := range srv.conns {
		return c.conn.(*nativeConn).Conn
	}
	return nil
}

// A sender waiting for room continues when messages in the send queue are dropped.
func TestOutQueueEmptiedByCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, proxy, p := rawServer(t, &ClientOptions{Limits: Limits{OutQueue: 1 << 10, WriteStall: NoLimit}, Logger: quiet})
		stuck := make(chan error, 1)
		go func() { stuck <- proxy.Fail(t.Context()) }() // its frame is being written: nobody reads it
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		big := make(chan error, 1)
		go func() { _, err := proxy.Echo(ctx, make([]byte, 1<<20)); big <- err }()
		time.Sleep(time.Second)
		start := time.Now()
		other := make(chan error, 1)
		go func() { _, err := proxy.Echo(t.Context(), make([]byte, wire.MaxUnchunked)); other <- err }()
		time.Sleep(time.Second)
		cancel()
		wantCall(t, <-big, CodeCanceled, OutcomeNotRun, "canceled")
		for _, body := range []string{"", u32(0)} {
			f, _ := p.read()
			if f.Type != wire.Request {
				t.Fatalf("got %v", f.Type)
			}
			p.send(wire.Frame{Type: wire.Response, ID: f.ID}, []byte(body))
		}
		if err := errors.Join(<-stuck, <-other); err != nil || time.Since(start) != time.Second {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
		client.Close()
		p.nc.Close()
	})
}

// The texts in an answer to BIND are limited by MaxMessage, or by one frame if that is
// more.
func TestBindAnswerIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), nil)
		many := make([]string, 4000)
		for i := range many {
			many[i] = fmt.Sprint("M", i)
			if err := srv.RegisterFunc("Many."+many[i], func(int) int { return 0 }); err != nil {
				t.Fatal(err)
			}
		}
		p := rawDial(t, srv)
		p.write(wire.AppendClientInit(nil, &wire.Hello{Version: 1, MaxMessage: 128}))
		p.readBasic()
		names := []string{"Add", "Echo", "Make", "Fail", "Panic", "Hold", "Deaf", "Sleep"}
		r := wire.BindRequest{Service: "Probe", Names: names}
		p.send(wire.Frame{Type: wire.Bind, Flags: wire.Describe, ID: 1}, r.Append(nil))
		p.wantAnswer(1)
		r = wire.BindRequest{Service: "Many", Names: many}
		p.send(wire.Frame{Type: wire.Bind, Flags: wire.Describe, ID: 2}, r.Append(nil))
		p.wantError(2, CodeResourceExhausted, wire.NotRun, "the answer to BIND contains")
		p.wantAlive(3)
		p.nc.Close()
		<-p.served
		srv.Close()
	})
}

// Memory follows received bytes, never announced ones: peers that announce the maximum
// and send little take little.
func TestMemoryFollowsBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), &ServerOptions{Limits: Limits{ServerBytes: NoLimit}})
		const peers, each = 20, 2
		var all []*rawPeer
		for range peers {
			all = append(all, rawClient(t, srv))
		}
		before := heap()
		for _, p := range all {
			for id := uint64(2); id < 2+each; id++ {
				p.write(bigRequest(id, rawEcho, 16<<20, 100))
			}
		}
		synctest.Wait()
		if n := srv.budget.Booked(); n != peers*each*100 {
			t.Errorf("%d bytes booked", n)
		}
		if used := heap() - before; used > peers*(each*4<<10+64<<10) {
			t.Errorf("%d peers announce %d x 16 MiB and send 100 bytes of each: %d bytes of heap", peers, each, used)
		}
		for _, p := range all {
			p.nc.Close()
			<-p.served
		}
		srv.Close()
		checkBooked(t, srv)
	})
}

func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
