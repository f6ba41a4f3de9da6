package bsrpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A press answers each call with so many bytes, quickly or slowly.
type press struct {
	began atomic.Int32
}

func (p *press) Quick(n uint32) []byte {
	p.began.Add(1)
	return bytes.Repeat([]byte{byte(n)}, int(n))
}

func (p *press) Slow(n uint32) []byte {
	b := p.Quick(n)
	time.Sleep(5 * time.Millisecond)
	return b
}

func (p *press) Fail(n uint32) error {
	p.began.Add(1)
	return errors.New(strings.Repeat(string(rune('a'+n%26)), int(n)))
}

func (p *press) Text(n uint32) scribble { return scribble(p.Quick(n)) }

// scribble encodes itself.
type scribble string

func (s scribble) MarshalText() ([]byte, error)     { return []byte(s), nil }
func (s *scribble) UnmarshalText(text []byte) error { *s = scribble(text); return nil }

var pressMethods = []string{"Quick", "Slow", "Fail", "Text"}

// withPress runs f in a bubble with a peer that has bound the methods of a press, with
// the numbers in pressMethods.
func withPress(t *testing.T, opts *ServerOptions, f func(p *rawPeer, srv *Server, s *press)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		opts.Logger = quiet
		srv := NewServer(opts)
		s := new(press)
		if err := srv.RegisterName("Press", s); err != nil {
			t.Fatal(err)
		}
		p := pressPeer(t, srv)
		f(p, srv, s)
		p.nc.Close()
		<-p.served
		srv.Close()
		checkBooked(t, srv)
	})
}

func pressPeer(t *testing.T, srv *Server) *rawPeer {
	p := rawDial(t, srv)
	p.write(wire.AppendClientInit(nil, &wire.Hello{Version: 1}))
	p.readBasic()
	r := wire.BindRequest{Service: "Press", Names: pressMethods}
	p.send(wire.Frame{Type: wire.Bind, Flags: wire.Describe, ID: 1}, r.Append(nil))
	p.wantAnswer(1)
	return p
}

// Unread answers take at most Limits.OutQueue bytes and one answer, for any number of
// calls of any kind. If the peer reads later, it gets every answer.
func TestUnreadAnswersAreBounded(t *testing.T) {
	t.Parallel()
	calls, sizes := 400, []uint32{20 << 10, 32<<10 - 1, 60 << 10, 256 << 10}
	if !LongTests {
		calls, sizes = 28, sizes[2:3] // the longer ones are those of TestOutQueue
	}
	for _, queue := range []int{64 << 10, 1 << 20} {
		for _, size := range sizes {
			for method, name := range pressMethods {
				if name == "Fail" && size > 32<<10 {
					continue // no text is as long
				}
				for _, concurrent := range []int{0, 3} {
					t.Run(fmt.Sprintf("queue=%d/size=%d/%s/concurrent=%d", queue, size, name, concurrent), func(t *testing.T) {
						limits := Limits{OutQueue: queue, WriteStall: NoLimit, PingAfter: NoLimit, MaxErrorText: 32 << 10}
						opts := &ServerOptions{Limits: limits, MaxConcurrentCalls: concurrent}
						withPress(t, opts, func(p *rawPeer, srv *Server, s *press) {
							go func() {
								for id := range uint64(calls) {
									p.nc.Write(frameBytes(wire.Frame{Type: wire.Request, Arg: uint16(method), ID: 2 + id}, []byte(u32(size))))
								}
							}()
							c := onlyConn(t, srv)
							most := uint64(queue) + uint64(size) + 1<<10
							for range 100 {
								time.Sleep(time.Millisecond)
								if n := transport.StateOf(c).Queued; n > most {
									t.Fatalf("%d bytes wait to be written, want at most %d", n, most)
								}
							}
							time.Sleep(time.Minute)
							if n := transport.StateOf(c).Queued; n < uint64(queue) {
								t.Errorf("%d bytes wait to be written, which is less than OutQueue", n)
							}
							quick := int32(queue)/int32(size) + 4 + 3
							if n := s.began.Load(); n > quick && name == "Quick" && concurrent == 0 {
								t.Errorf("%d handlers have begun, want at most %d", n, quick)
							}
							want := string(bytes.Repeat([]byte{byte(size)}, int(size)))
							if name == "Fail" {
								want = new(press).Fail(size).Error()
							}
							for id, body := range p.answers(calls) {
								if !strings.Contains(body, want) {
									t.Fatalf("call %d: got %d bytes", id, len(body))
								}
							}
							if n := int(s.began.Load()); n != calls {
								t.Errorf("%d handlers have begun", n)
							}
						})
					})
				}
			}
		}
	}
}

// pressCalls sends calls of one method, with ids from first on, without reading.
func (p *rawPeer) pressCalls(first uint64, n int, method string, size uint32) {
	for i, name := range pressMethods {
		for id := first; name == method && id < first+uint64(n); id++ {
			p.nc.Write(frameBytes(wire.Frame{Type: wire.Request, Arg: uint16(i), ID: id}, []byte(u32(size))))
		}
	}
}

// The same for answers to BIND.
func TestUnreadBindAnswersAreBounded(t *testing.T) {
	for _, names := range []int{1, 10_000} {
		opts := &ServerOptions{Limits: Limits{OutQueue: 64 << 10, WriteStall: NoLimit, PingAfter: NoLimit}}
		withPress(t, opts, func(p *rawPeer, srv *Server, _ *press) {
			r := wire.BindRequest{Service: "Press", Names: make([]string, names)}
			r.Names[0] = "Slow"
			const binds = 2000
			go func() {
				for id := range uint64(binds) {
					if _, err := p.nc.Write(frameBytes(wire.Frame{Type: wire.Bind, Flags: wire.Describe, ID: 2 + id}, r.Append(nil))); err != nil {
						return
					}
				}
			}()
			time.Sleep(time.Minute)
			if n, most := transport.StateOf(onlyConn(t, srv)).Queued, uint64(64<<10+7*names+1<<10); n > most {
				t.Errorf("%d bytes wait to be written, want at most %d", n, most)
			}
			if names > 1 {
				return
			}
			if got := p.answers(binds); len(got) != binds {
				t.Errorf("got %d answers", len(got))
			}
		})
	}
}

// Answers waiting for room end with their connection, a closed session, and the
// server. A shutdown waits for them.
func TestWaitingAnswersAndClose(t *testing.T) {
	for name, end := range map[string]func(p *rawPeer, srv *Server){
		"peer":    func(p *rawPeer, _ *Server) { p.nc.Close() },
		"session": func(_ *rawPeer, srv *Server) { srv.sessions.all()[0].Close("enough") },
		"server":  func(_ *rawPeer, srv *Server) { srv.Close() },
		"stall":   func(*rawPeer, *Server) { time.Sleep(11 * time.Second) },
		"shutdown": func(p *rawPeer, srv *Server) {
			go srv.Shutdown(context.Background())
			p.answers(200)
			p.wantClose(CodeUnavailable, "shut")
		},
	} {
		t.Run(name, func(t *testing.T) {
			opts := &ServerOptions{Limits: Limits{OutQueue: 64 << 10}}
			withPress(t, opts, func(p *rawPeer, srv *Server, s *press) {
				go p.pressCalls(2, 200, "Slow", 60<<10)
				time.Sleep(time.Second)
				start := time.Now()
				end(p, srv)
				if name == "shutdown" {
					p.nc.Close()
				}
				c := p.served
				if err := <-c; time.Since(start) > 12*time.Second {
					t.Errorf("ended after %v: %v", time.Since(start), err)
				}
				p.served <- nil // for withPress
				synctest.Wait()
				if n := srv.handlers.Load(); n != 0 {
					t.Errorf("%d handlers are counted", n)
				}
			})
		})
	}
}

// A call whose answer waits for room delays only its own connection, not the calls of
// others to its group. The time does not count for its method.
func TestWaitingAnswerDelaysOneConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := NewServer(&ServerOptions{Logger: quiet, Limits: Limits{OutQueue: 1 << 10, WriteStall: NoLimit, PingAfter: NoLimit}})
		type contract struct {
			Quick func(context.Context, uint32) ([]byte, error)
			Slow  func(context.Context, uint32) ([]byte, error) `bsrpc:"exclusive=ink"`
			Fail  func(context.Context, uint32) error
			Text  func(context.Context, uint32) (scribble, error)
		}
		if err := RegisterAs[contract](srv, "Press", new(press)); err != nil {
			t.Fatal(err)
		}
		stalled := pressPeer(t, srv)
		stalled.pressCalls(2, 1, "Slow", 2<<10)
		stalled.pressCalls(3, 1, "Slow", 2<<10)
		time.Sleep(time.Second)
		other := pressPeer(t, srv)
		other.pressCalls(2, 1, "Slow", 100)
		time.Sleep(time.Second)
		if got := other.wantAnswer(2); len(got) < 100 {
			t.Errorf("got %d bytes", len(got))
		}
		go stalled.pressCalls(4, 3, "Quick", 60<<10)
		time.Sleep(time.Second)
		if n := srv.registry.find("Press.Quick").slow.Load(); n != 0 {
			t.Errorf("the method of a peer that does not read is slow for %d calls", n)
		}
		if got := stalled.answers(5); len(got) != 5 {
			t.Errorf("got %d answers", len(got))
		}
		for _, p := range []*rawPeer{stalled, other} {
			p.nc.Close()
			<-p.served
		}
		srv.Close()
		checkBooked(t, srv)
	})
}

// A stubborn value takes a requested time to be encoded.
type stubborn struct{ time chan time.Duration }

func (s stubborn) MarshalText() ([]byte, error) {
	time.Sleep(<-s.time)
	return make([]byte, 60<<10), nil
}
func (s *stubborn) UnmarshalText([]byte) error { return nil }

type mule struct{ times chan time.Duration }

func (m *mule) Value() stubborn    { return stubborn{m.times} }
func (m *mule) Bytes(n int) []byte { return make([]byte, n) }

// User code that encodes an answer for long, or forever, delays no other answer,
// although it has reserved room.
func TestSlowEncodingDelaysOneAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := NewServer(&ServerOptions{Logger: quiet, Limits: Limits{OutQueue: 64 << 10, WriteStall: NoLimit, PingAfter: NoLimit}})
		m := &mule{make(chan time.Duration, 10)}
		if err := srv.RegisterName("Mule", m); err != nil {
			t.Fatal(err)
		}
		srv.registry.find("Mule.Value").slow.Store(slowRequests)
		srv.registry.find("Mule.Bytes").slow.Store(slowRequests)
		p := rawDial(t, srv)
		p.write(wire.AppendClientInit(nil, &wire.Hello{Version: 1}))
		p.readBasic()
		r := wire.BindRequest{Service: "Mule", Names: []string{"Value", "Bytes"}}
		p.send(wire.Frame{Type: wire.Bind, Flags: wire.Describe, ID: 1}, r.Append(nil))
		p.wantAnswer(1)
		call := func(method uint16, id uint64, body string) {
			p.send(wire.Frame{Type: wire.Request, Arg: method, ID: id}, []byte(body))
			synctest.Wait()
		}
		const values = 5
		for id := range uint64(values) {
			call(0, 2+id, "") // begin while there is room, and their encoding does not end
		}
		for id := range uint64(2) {
			call(1, 10+id, u64(60<<10))
		}
		for range values {
			m.times <- 0 // their first encoding, without room
		}
		synctest.Wait()
		for range values {
			m.times <- time.Hour
		}
		call(1, 20, u64(60<<10))
		start := time.Now()
		if got := p.answers(3); got[20] == "" {
			t.Errorf("got %d answers", len(got))
		}
		if took := time.Since(start); took > values*(2*transport.WatchdogPeriod)+10*time.Millisecond {
			t.Errorf("an answer behind user code took %v", took)
		}
		if got := p.answers(values); len(got) != values {
			t.Errorf("got %d answers", len(got))
		}
		p.nc.Close()
		<-p.served
		srv.Close()
		checkBooked(t, srv)
	})
}

// The same for frames with positions in the queue.
func TestUnreadPositionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ahead = 100
		opts := &ServerOptions{MaxSessions: 1, MaxWaiting: ahead + 1, Limits: Limits{OutQueue: 256, WriteStall: NoLimit}}
		srv := testeeServer(t, newTestee(), opts)
		var peers []*rawPeer
		for range ahead + 1 {
			p := rawDial(t, srv)
			p.write(wire.AppendClientInit(nil, &wire.Hello{Version: 1}))
			p.readBasic()
			synctest.Wait()
			peers = append(peers, p)
		}
		srv.mu.Lock()
		var last *nativeConn
		for c := range srv.conns {
			if c := c.conn.(*nativeConn); last == nil || c.served.session.id > last.served.session.id {
				last = c
			}
		}
		srv.mu.Unlock()
		for _, p := range peers[:ahead] {
			p.nc.Close()
			<-p.served
			synctest.Wait()
		}
		if n := transport.StateOf(last.Conn).Queued; n > 256+16 {
			t.Errorf("%d bytes wait to be written", n)
		}
		p, n := peers[ahead], 0
		for f, _ := p.read(); f.Type != wire.Admitted; f, _ = p.read() {
			n++
		}
		if n > 30 {
			t.Errorf("got %d positions", n)
		}
		p.nc.Close()
		<-p.served
		srv.Close()
		checkBooked(t, srv)
	})
}

// A call cancelled while it waits for a semaphore waits for room like the others.
func TestCancelAtSemaphoreWithoutRoom(t *testing.T) {
	opts := &ServerOptions{MaxConcurrentCalls: 2, Limits: Limits{OutQueue: 1 << 10, WriteStall: NoLimit, PingAfter: NoLimit}}
	withPress(t, opts, func(p *rawPeer, srv *Server, _ *press) {
		for id := range uint64(5) { // the first two are written and queued, the next two wait for room
			f := wire.Frame{Type: wire.Request, Arg: 1, ID: 2 + id}
			if id == 4 {
				f.Timeout = 1_000_000
			}
			p.send(f, []byte(u32(2<<10)))
			if id == 1 {
				time.Sleep(time.Millisecond)
			}
		}
		time.Sleep(time.Minute)
		want := []uint64{2, 3, 4, 5, 6}
		got := p.answers(len(want))
		for _, id := range want {
			if failed := strings.Contains(got[id], "waited 980ms for its turn"); failed != (id == 6) || got[id] == "" {
				t.Errorf("call %d: got %d bytes, given up: %v", id, len(got[id]), failed)
			}
		}
	})
}

// Every call is answered once: calls of all kinds, with and without a time limit,
// cancelled or not, by a peer that reads now and then.
func TestAnswersStorm(t *testing.T) {
	t.Parallel()
	seeds := 60
	if !LongTests {
		seeds = 6
	}
	for seed := range uint64(seeds) {
		rng := rand.New(rand.NewPCG(13, seed))
		opts := &ServerOptions{MaxInflight: NoLimit, MaxConcurrentCalls: rng.IntN(3) * rng.IntN(4), Limits: Limits{
			OutQueue: 1 << (8 + rng.IntN(12)), MaxHandlers: 1 + rng.IntN(40), MaxErrorText: 32 << 10, WriteStall: NoLimit, PingAfter: NoLimit}}
		withPress(t, opts, func(p *rawPeer, srv *Server, s *press) {
			const calls = 200
			pauses := make([]time.Duration, 2*calls)
			for i := range pauses {
				pauses[i] = time.Duration(max(0, rng.IntN(12)-8)) * time.Duration(rng.IntN(8000)) * time.Microsecond
			}
			go func() {
				for id := uint64(2); id < 2+calls; id++ {
					f := wire.Frame{Type: wire.Request, Arg: uint16(rng.IntN(len(pressMethods))), ID: id}
					if rng.IntN(4) == 0 {
						f.Timeout = uint64(1 + rng.IntN(20_000))
					}
					size := uint32(rng.IntN(1 << (4 + rng.IntN(15))))
					p.nc.Write(frameBytes(f, []byte(u32(size))))
					if rng.IntN(4) == 0 {
						p.nc.Write(frameBytes(wire.Frame{Type: wire.Cancel, ID: id - uint64(rng.IntN(2))}, nil))
					}
					time.Sleep(pauses[id-2])
				}
			}()
			answered := make(map[uint64]int)
			for n, left := 0, make(map[uint64]uint64); n < calls; {
				time.Sleep(pauses[calls+n])
				switch f, body := p.read(); {
				case f.Flags&wire.Chunked != 0 && f.Total > uint64(len(body)):
					left[f.ID] = f.Total - uint64(len(body))
				case f.Type == wire.ResponseChunk && left[f.ID] > uint64(len(body)):
					left[f.ID] -= uint64(len(body))
				default: // unchunked, the last chunk, or an error instead of the rest
					answered[f.ID]++
					n++
				}
			}
			for id, n := range answered {
				if n != 1 {
					t.Fatalf("seed %d: call %d was answered %d times", seed, id, n)
				}
			}
			time.Sleep(time.Second)
			c := onlyConn(t, srv)
			if left := residue(c); left != "" || transport.StateOf(c).Reserved != 0 || srv.handlers.Load() != 0 {
				t.Errorf("seed %d: left: %s, %d bytes promised, %d handlers", seed, left, transport.StateOf(c).Reserved, srv.handlers.Load())
			}
		})
	}
}

// Above four times ServerBytes of answers that nothing reads, the connection with the most of them
// is closed with a reason. Others, slow ones too, go on.
func TestServerBytesOfUnreadAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), &ServerOptions{MaxMessage: 1 << 20, Limits: Limits{ServerBytes: 1 << 20, WriteStall: NoLimit}})
		client, proxy := testeeClient(t, srv, nil)
		ask := func(answers int) *rawPeer {
			p := rawClient(t, srv)
			for id := range uint64(answers) {
				p.send(wire.Frame{Type: wire.Request, Arg: rawMake, ID: 2 + id}, []byte(u32(300_000)))
			}
			synctest.Wait()
			return p
		}
		slow, greedy := ask(5), ask(10) // more than 4 MiB
		if sum, err := proxy.Add(t.Context(), 1, 2); sum != 3 || err != nil {
			t.Errorf("got %d, %v", sum, err)
		}
		last := ask(1)
		var f wire.Frame
		var body []byte
		for f.Type != wire.Close {
			f, body = greedy.read()
		}
		const want = "what waits at the server to be read exceeds 4 times Limits.ServerBytes (1048576), and this connection has the most"
		if failure, err := wire.ReadFailure(body); Code(f.Arg) != CodeResourceExhausted || !strings.Contains(failure.Message, want) || err != nil {
			t.Errorf("got %v, %q, %v", Code(f.Arg), failure.Message, err)
		}
		for p, n := range map[*rawPeer]int{slow: 5, last: 1} {
			for left := n * 300_004; left > 0; {
				_, body := p.read()
				left -= len(body)
			}
		}
		if sum, err := proxy.Add(t.Context(), 1, 2); sum != 3 || err != nil {
			t.Errorf("got %d, %v", sum, err)
		}
		for _, p := range []*rawPeer{slow, last, greedy} {
			p.nc.Close()
			<-p.served
		}
		client.Close()
		srv.Close()
		checkBooked(t, srv)
	})
}
