package bsrpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// tcpPair returns the two ends of a connection over the loopback.
func tcpPair(t testing.TB) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if near, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return near, far
}

// onBoth runs f in memory and over TCP. Only over TCP callers write themselves and
// pass on their memory without copying.
func onBoth(t *testing.T, f func(t *testing.T, pair func(testing.TB) (near, far net.Conn))) {
	t.Run("memory", func(t *testing.T) {
		f(t, func(testing.TB) (net.Conn, net.Conn) { return net.Pipe() })
	})
	t.Run("tcp", func(t *testing.T) { f(t, tcpPair) })
}

// Messages of every size around the limits for one, two and many chunks, in both
// directions.
func TestChunksOfEverySize(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, pair func(testing.TB) (near, far net.Conn)) {
		srv := testeeServer(t, newTestee(), nil)
		near, far := pair(t)
		served := make(chan error, 1)
		go func() { served <- srv.ServeConn(far) }()
		client, proxy := testeeClientOn(t, near, nil)
		rng := rand.NewChaCha8([32]byte{1})
		for _, around := range []int{0, wire.MinCut, wire.MaxUnchunked - 4, wire.MaxChunk - 4, 2*wire.MaxChunk - 4, 1 << 20, 5 << 20} {
			within := 2
			if around > 1<<20 {
				within = Rounds(0, 2)
			}
			for size := max(0, around-within); size <= around+within; size++ {
				in := make([]byte, size)
				rng.Read(in)
				transport.SetAlone(client.native.Conn, size%2 == 1)
				if out, err := proxy.Echo(t.Context(), in); !bytes.Equal(in, out) || err != nil {
					t.Errorf("%d bytes: got %d, %v", size, len(out), err)
				}
			}
		}
		eventually(t, func() string { return residue(client.native.Conn) })
		client.Close()
		<-served
		srv.Close()
	})
}

// Small answers pass between the chunks of a large one, even if that fills OutQueue.
func TestSmallAnswersPassBetween(t *testing.T) {
	withRaw(t, &ServerOptions{Limits: Limits{OutQueue: 1 << 20}}, func(p *rawPeer, _ *Server, _ *testee) {
		p.send(wire.Frame{Type: wire.Request, Arg: rawMake, ID: 2}, []byte(u32(4<<20)))
		total := 4 + 4<<20
		got, small, between := 0, uint64(3), 0
		for got < total {
			f, body := p.read()
			if f.ID == 2 {
				got += len(body)
				p.send(wire.Frame{Type: wire.Request, Arg: rawAdd, ID: small}, make([]byte, 8))
				small++
				continue
			}
			if got < total {
				between++
			}
		}
		if between < 20 {
			t.Errorf("%d small answers came before the end of the large one", between)
		}
		for ; between < int(small)-3; between++ {
			p.read()
		}
	})
}

// Small calls pass between the chunks of a large one, and large ones alternate.
// Together the large ones exceed OutQueue.
func TestSmallCallsPassBetween(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, proxy, p := rawServer(t, &ClientOptions{Limits: Limits{OutQueue: 3 << 20}})
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { proxy.Echo(t.Context(), make([]byte, 2<<20)) })
		}
		turns, last := 0, uint64(0)
		got := make(map[uint64]int)
		for small, asked := 0, 0; (small < 5 || turns < 5) && got[last] < 2<<20; {
			synctest.Wait() // let other goroutines become the next writer
			f, body := p.read()
			switch f.Type {
			case wire.Request:
				if f.Flags&wire.Chunked == 0 {
					small++
					p.send(wire.Frame{Type: wire.Response, ID: f.ID}, nil)
				}
			}
			if len(body) > 0 {
				if got[f.ID] += len(body); f.ID != last {
					turns++
				}
				last = f.ID
			}
			if asked < 5 && len(got) == 2 {
				asked++
				wg.Go(func() { proxy.Fail(t.Context()) })
				synctest.Wait()
			}
		}
		for id, n := range got {
			if n >= 2<<20 {
				t.Errorf("the large call %d was sent whole before the small ones, or before it gave way five times", id)
			}
		}
		if turns < 5 {
			t.Errorf("the large calls took %d turns", turns)
		}
		client.Close()
		p.nc.Close()
		wg.Wait()
	})
}

// A call cancelled while it is sent returns at once, even if the peer stalls. Its
// arguments may be reused: the peer reads the bytes from before.
func TestCancelWhileSending(t *testing.T) {
	t.Parallel()
	rounds := 15
	if !LongTests {
		rounds = 6
	}
	onBoth(t, func(t *testing.T, pair func(testing.TB) (near, far net.Conn)) {
		near, far := pair(t)
		client, proxy, p := rawServerOn(t, near, far, nil)
		rng := rand.New(rand.NewPCG(5, 5))
		data := make([]byte, 6<<20)
		for round := range rounds {
			paint(data, 0xaa)
			transport.SetAlone(client.native.Conn, round%2 == 1)
			ctx, cancel := context.WithCancel(t.Context())
			call := make(chan error, 1)
			go func() {
				_, err := proxy.Echo(ctx, data)
				paint(data, 0xbb)
				call <- err
			}()
			first, body := p.read()
			parts := [][]byte{body}
			for range rng.IntN(4) {
				_, body := p.read()
				parts = append(parts, body)
			}
			start := time.Now()
			cancel()
			err := <-call
			wantCall(t, err, CodeCanceled, OutcomeUnknown, "canceled")
			if took := time.Since(start); took > 5*time.Second {
				t.Fatalf("round %d: returned %v after the cancel, the peer reads nothing", round, took)
			}
			for {
				f, body := p.read()
				if f.Type == wire.Cancel && f.ID == first.ID {
					break
				}
				if f.Type != wire.RequestChunk || f.ID != first.ID {
					t.Fatalf("got %v %d", f.Type, f.ID)
				}
				parts = append(parts, body)
			}
			for i, b := range parts {
				if bytes.IndexByte(b, 0xbb) >= 0 {
					t.Fatalf("round %d: part %d has bytes written after the call returned", round, i)
				}
			}
			p.send(wire.Frame{Type: wire.Error, Flags: wire.NotRun, Arg: 1, ID: first.ID}, (&wire.Failure{}).Append(nil))
		}
		eventually(t, func() string { return residue(client.native.Conn) })
		client.Close()
		p.nc.Close()
	})
}

func paint(b []byte, v byte) {
	if len(b) == 0 {
		return
	}
	b[0] = v
	for n := 1; n < len(b); n *= 2 {
		copy(b[n:], b[:n])
	}
}

// The same for the end of the connection.
func TestCloseWhileSending(t *testing.T) {
	rounds := 10
	if !LongTests {
		rounds = 4
	}
	onBoth(t, func(t *testing.T, pair func(testing.TB) (near, far net.Conn)) {
		rng := rand.New(rand.NewPCG(6, 6))
		data := make([]byte, 6<<20)
		for round := range rounds {
			near, far := pair(t)
			client, proxy, p := rawServerOn(t, near, far, nil)
			paint(data, 0xaa)
			transport.SetAlone(client.native.Conn, round%2 == 1)
			call := make(chan error, 1)
			go func() {
				_, err := proxy.Echo(t.Context(), data)
				paint(data, 0xbb)
				call <- err
			}()
			for range 1 + rng.IntN(4) {
				p.read()
			}
			if rng.IntN(2) == 0 {
				client.Close()
			} else {
				go client.Close()
			}
			select {
			case err := <-call:
				wantCall(t, err, CodeCanceled, OutcomeUnknown, "client closed")
			case <-time.After(5 * time.Second):
				t.Fatalf("round %d: the call has not returned", round)
			}
			rest, _ := io.ReadAll(p.nc) // whatever the socket held
			if bytes.IndexByte(rest, 0xbb) >= 0 {
				t.Fatalf("round %d: bytes written after the call returned were sent", round)
			}
			p.nc.Close()
		}
	})
}

// A large call refused by its server, at once or while it is sent, is not sent
// completely, and leaves nothing at either end.
func TestRefusedWhileSending(t *testing.T) {
	t.Parallel()
	rounds := 10
	if !LongTests {
		rounds = 4
	}
	onBoth(t, func(t *testing.T, pair func(testing.TB) (near, far net.Conn)) {
		srv := testeeServer(t, newTestee(), &ServerOptions{Limits: Limits{ServerBytes: 16 << 20}})
		near, far := pair(t)
		served := make(chan error, 1)
		go func() { served <- srv.ServeConn(far) }()
		client, proxy := testeeClientOn(t, near, nil)
		// As if others had taken it all, a moment ago.
		var others limits.Unfinished
		srv.budget.Begin(&others, limits.Monotonic()+time.Hour, "the server's", func() {})
		others.Add(16<<20, limits.Monotonic())
		data, refused := make([]byte, 8<<20), 0
		for range rounds {
			out, err := proxy.Echo(t.Context(), data)
			if err == nil && bytes.Equal(out, data) {
				continue // complete before the goroutine ran that drops it
			}
			refused++
			wantCall(t, err, CodeResourceExhausted, OutcomeNotRun, "Limits.ServerBytes")
			paint(data, 1)
		}
		if refused == 0 {
			t.Error("nothing was refused")
		}
		others.End()
		if out, err := proxy.Echo(t.Context(), data); len(out) != len(data) || err != nil {
			t.Errorf("got %d bytes, %v", len(out), err)
		}
		eventually(t, func() string { return residue(client.native.Conn) })
		c := onlyConn(t, srv)
		client.Close()
		<-served
		if left := transport.Arriving(c); left != "" {
			t.Error(left)
		}
		srv.Close()
	})
}

// A call cancelled while its answer arrives returns at once. The sender drops the
// rest, and the receiver drops late chunks.
func TestCancelWhileReceiving(t *testing.T) {
	withRaw(t, nil, func(p *rawPeer, srv *Server, _ *testee) {
		for round := range uint64(20) {
			id := 2 + 2*round
			p.send(wire.Frame{Type: wire.Request, Arg: rawMake, ID: id}, []byte(u32(4<<20)))
			got := 0
			for range round % 5 {
				_, body := p.read()
				got += len(body)
			}
			go p.nc.Write(frameBytes(wire.Frame{Type: wire.Cancel, ID: id}, nil))
			synctest.Wait()
			for {
				f, body := p.read()
				if f.Type == wire.Error {
					break
				}
				if got += len(body); f.ID != id || got >= 4<<20 {
					t.Fatalf("round %d: all of the answer came after the cancel", round)
				}
			}
			p.wantAlive(id + 1)
		}
		checkEmpty(t, connOf(t, srv, 2)[0])
		checkEmpty(t, connOf(t, srv, 2)[1])
	})
}

// connOf returns the n connections of a server.
func connOf(t testing.TB, srv *Server, n int) (conns []*transport.Conn) {
	t.Helper()
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for c := range srv.conns {
		conns = append(conns, c.conn.(*nativeConn).Conn)
	}
	if len(conns) != n {
		t.Fatalf("%d connections, want %d", len(conns), n)
	}
	return conns
}

// Many large calls are cancelled at any moment. Every answer belongs to its call, and
// nothing is left.
func TestAbandonedChunks(t *testing.T) {
	t.Parallel()
	calls := 300
	if !LongTests {
		calls = 40
	}
	onBoth(t, func(t *testing.T, pair func(testing.TB) (near, far net.Conn)) {
		srv := testeeServer(t, newTestee(), nil)
		near, far := pair(t)
		served := make(chan error, 1)
		go func() { served <- srv.ServeConn(far) }()
		client, proxy := testeeClientOn(t, near, nil)
		var wg sync.WaitGroup
		for g := range 8 {
			rng := rand.New(rand.NewPCG(uint64(g), 9))
			wg.Go(func() {
				data := make([]byte, 1<<20)
				for n := range calls / 8 {
					mark := byte(g*calls + n)
					in := data[:rng.IntN(len(data))]
					paint(in, mark)
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+rng.IntN(8000))*time.Microsecond)
					out, err := proxy.Echo(ctx, in)
					cancel()
					switch {
					case err == nil:
						if len(out) != len(in) || bytes.Count(out, []byte{mark}) != len(in) {
							t.Errorf("got another call's answer: %d bytes, want %d", len(out), len(in))
						}
					case !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled):
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if sum, err := proxy.Add(t.Context(), 1, 2); sum != 3 || err != nil {
			t.Errorf("afterwards: %d, %v", sum, err)
		}
		c := onlyConn(t, srv)
		eventually(t, func() string { return residue(client.native.Conn) + residue(c) })
		client.Close()
		<-served
		for _, c := range []*transport.Conn{c, client.native.Conn} {
			if left := transport.Arriving(c); left != "" {
				t.Error(left)
			}
		}
		srv.Close()
	})
}

// A peer that reads slowly does not delay other connections.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), nil)
		stop := witness(t, srv)
		var slow []*rawPeer
		for range 5 {
			p := rawClient(t, srv)
			for id := range uint64(30) {
				p.send(wire.Frame{Type: wire.Request, Arg: rawMake, ID: 2 + id}, []byte(u32(300_000)))
			}
			slow = append(slow, p)
		}
		_, proxy := testeeClient(t, srv, nil)
		for range 100 {
			start := time.Now()
			if _, err := proxy.Add(t.Context(), 1, 2); err != nil || time.Since(start) > 5*time.Millisecond {
				t.Fatalf("%v after %v", err, time.Since(start))
			}
			for _, p := range slow {
				p.readFull(1000)
			}
			time.Sleep(time.Second)
		}
		for _, p := range slow {
			p.nc.Close()
			<-p.served
		}
		stop()
		srv.Close()
		checkBooked(t, srv)
	})
}

// Both ends send large messages at once, on a connection without a buffer: neither end
// waits for the other to read first.
func TestBothSendLarge(t *testing.T) {
	t.Parallel()
	for _, size := range []int{60_000, 1 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := testeeServer(t, newTestee(), nil)
				client, proxy := testeeClient(t, srv, nil)
				var wg sync.WaitGroup
				for range Rounds(16, 64) {
					wg.Go(func() {
						if out, err := proxy.Echo(t.Context(), make([]byte, size)); len(out) != size || err != nil {
							t.Errorf("got %d bytes, %v", len(out), err)
						}
					})
				}
				wg.Wait()
				checkEmpty(t, client.native.Conn)
				client.Close()
				srv.Close()
			})
		})
	}
}

// A call that waits because its peer reads nothing returns at once when it is canceled: of one frame
// or of many chunks, in the middle of a write or behind it. What has begun is written to its end.
func TestCancelWhileWriteBlocked(t *testing.T) {
	for _, size := range []int{100, 60_000, 1 << 20} {
		for _, begun := range []int{0, 5} { // bytes that the peer has read
			synctest.Test(t, func(t *testing.T) {
				client, proxy, p := rawServer(t, nil)
				errs := make(chan error, 2)
				ctx, cancel := context.WithCancel(t.Context())
				data := make([]byte, size)
				go func() { _, err := proxy.Echo(ctx, data); errs <- err }()
				synctest.Wait()
				read := p.readFull(begun)
				go func() { _, err := proxy.Echo(ctx, data); errs <- err }()
				time.Sleep(time.Second)
				start := time.Now()
				cancel()
				for range 2 {
					if err := <-errs; !errors.Is(err, context.Canceled) || time.Since(start) > 50*time.Millisecond {
						t.Errorf("%d bytes: %v after %v", size, err, time.Since(start))
					}
				}
				paint(data, 0xbb)
				p.nc = &readAgain{p.nc, io.MultiReader(bytes.NewReader(read), p.nc)}
				done := make(chan error, 1)
				go func() { _, err := proxy.Add(t.Context(), 1, 2); done <- err }()
				for {
					f, body := p.read()
					if bytes.IndexByte(body, 0xbb) >= 0 {
						t.Fatal("bytes written after the call returned")
					}
					if f.Type == wire.Request && f.Arg == rawAdd {
						p.send(wire.Frame{Type: wire.Response, ID: f.ID}, []byte("\x03\x00\x00\x00"))
						break
					}
				}
				if err := <-done; err != nil {
					t.Errorf("%d bytes: the next call: %v", size, err)
				}
				client.Close()
				p.nc.Close()
			})
		}
	}
}

// A readAgain has bytes of a connection that were read before.
type readAgain struct {
	net.Conn
	all io.Reader
}

func (r *readAgain) Read(b []byte) (int, error) { return r.all.Read(b) }
