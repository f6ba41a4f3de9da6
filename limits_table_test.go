package bsrpc

// Each limit of docs/guide/limits.md, its default in limits_defaults_test.go, and the constants of limits_constants_test.go: at the limit everything works, one above
// fails as documented, and afterwards the same connection and another one answer calls.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// limited is the service of the table. Its Hold, Turn, Absorb and streams of Quiet end with the
// release.
type limited struct {
	*testee
	produced atomic.Int64 // items of Count
}

type chained struct{ Next *chained }

func (*limited) Chain(*chained)      {}
func (*limited) Names([]string)      {}
func (*limited) Long(n uint32) error { return errors.New(strings.Repeat("x", int(n))) }
func (s *limited) Count(n uint64) iter.Seq2[uint64, error] {
	return func(yield func(uint64, error) bool) {
		for i := range n {
			s.produced.Add(1)
			if !yield(i, nil) {
				return
			}
		}
	}
}
func (s *limited) Quiet(ctx context.Context) iter.Seq2[uint64, error] {
	return func(func(uint64, error) bool) { s.Hold(ctx) }
}
func (s *limited) Turn(ctx context.Context, _ []byte) error { return s.Hold(ctx) }
func (*limited) Take(ctx context.Context) error             { return SessionFrom(ctx).Acquire(ctx, "turn") }

// Push makes a call to the client.
func (*limited) Push(ctx context.Context, us uint32) error {
	p, err := Bind[testeeContract](ctx, SessionFrom(ctx), "Probe")
	if err == nil {
		_, err = p.Sleep(ctx, us)
	}
	return err
}

func (*limited) Ask(_ context.Context, back func(context.Context) error) error {
	return back(context.Background())
}
func (s *limited) Absorb(ctx context.Context, _ iter.Seq2[[]byte, error]) error { return s.Hold(ctx) }

type limitedContract struct {
	Add    func(ctx context.Context, a, b uint32) (uint32, error)
	Echo   func(ctx context.Context, b []byte) ([]byte, error)
	Make   func(ctx context.Context, n uint32) ([]byte, error)
	Hold   func(ctx context.Context) error
	Sleep  func(ctx context.Context, us uint32) (uint32, error)
	Chain  func(ctx context.Context, c *chained) error
	Names  func(ctx context.Context, s []string) error
	Long   func(ctx context.Context, n uint32) error
	Count  func(ctx context.Context, n uint64) (iter.Seq2[uint64, error], error)
	Turn   func(ctx context.Context, b []byte) error `bsrpc:"exclusive=turn"`
	Take   func(ctx context.Context) error
	Push   func(ctx context.Context, us uint32) error
	Quiet  func(ctx context.Context) (iter.Seq2[uint64, error], error)
	Ask    func(ctx context.Context, back func(context.Context) error) error
	Absorb func(ctx context.Context, in iter.Seq2[[]byte, error]) error
}

// A limitBed is a server with two clients. A row reaches the limit with the first one, or with a
// rawPeer, and leaves in calls what must answer at the end.
type limitBed struct {
	*testing.T
	srv     *Server
	service *limited
	client  *Client
	calls   *limitedContract
	other   *limitedContract
	opts    ClientOptions // of the first client
}

// dial connects a further client as a user, or returns the error.
func (b *limitBed) dial(ctx context.Context, user string, o ClientOptions) (*Client, *limitedContract, error) {
	b.Helper()
	near, far := net.Pipe()
	go b.srv.ServeConn(far)
	o.Logger = quiet
	if b.srv.settings.access.authenticate != nil {
		o.InsecureCredentials = true
		o.Credentials = func(context.Context) (Credentials, error) { return NewCredentials(user, "x"), nil }
	}
	client, err := NewClient(ctx, near, &o)
	if err != nil {
		return nil, nil, err
	}
	b.Cleanup(func() { client.Close() })
	calls, err := Bind[limitedContract](ctx, client, "Limited")
	if err != nil {
		b.Fatal(err)
	}
	return client, calls, nil
}

// mustDial is dial without an error.
func (b *limitBed) mustDial(user string) (*Client, *limitedContract) {
	b.Helper()
	client, calls, err := b.dial(b.Context(), user, b.opts)
	if err != nil {
		b.Fatal(err)
	}
	return client, calls
}

// wait connects a client that must wait for admission, as the user of the first client. next
// returns its calls.
func (b *limitBed) wait() (next func() *limitedContract) {
	b.Helper()
	waits, came := make(chan int, 9), make(chan *limitedContract, 1)
	go func() {
		_, calls, err := b.dial(b.Context(), "ann", ClientOptions{OnWait: func(n int) { waits <- n }})
		if err != nil {
			b.Error("a client that waits:", err)
		}
		came <- calls
	}()
	synctest.Wait()
	if len(waits) == 0 {
		b.Error("the client does not wait")
	}
	return func() *limitedContract { return <-came }
}

// refused checks the error of one more connection.
func (b *limitBed) refused(text string) {
	b.Helper()
	_, _, err := b.dial(b.Context(), "ann", b.opts)
	wantCall(b, err, CodeResourceExhausted, OutcomeNotRun, text)
}

// raw connects a rawPeer to the service of testees.
func (b *limitBed) raw() *rawPeer {
	b.Helper()
	p := rawDial(b.T, b.srv)
	b.Cleanup(func() { p.nc.Close() })
	p.runHandshake()
	return p
}

// works checks that a call at the limit succeeds.
func (b *limitBed) works(err error) {
	b.Helper()
	if err != nil {
		b.Errorf("at the limit: %v", err)
	}
}

// exhausted checks the error of a call above the limit.
func (b *limitBed) exhausted(err error, text string) {
	b.Helper()
	wantCall(b, err, CodeResourceExhausted, OutcomeNotRun, text)
}

// answers checks a call.
func (b *limitBed) answers(who string, calls *limitedContract) {
	b.Helper()
	if sum, err := calls.Add(b.Context(), 1, 2); sum != 3 || err != nil {
		b.Errorf("afterwards %s: %d, %v", who, sum, err)
	}
}

// refusal reads the answer of a server that does not admit a rawPeer.
func (p *rawPeer) refusal(code Code, text string) {
	p.t.Helper()
	typ, payload := p.readBasic()
	if h, err := wire.ReadServerInit(payload); typ != wire.Init || err != nil || Code(h.RefusalCode) != code || !strings.Contains(h.Refusal, text) {
		p.t.Errorf("got %v %+v, %v; want %v, %q", typ, h, err, code, text)
	}
}

// chainOf returns values within each other.
func chainOf(n int) (c *chained) {
	for range n {
		c = &chained{c}
	}
	return c
}

const tooOld = 100 * time.Millisecond // above a limit of time

// A limitRow is a row of the table.
type limitRow struct {
	names  string // of options, or what a constant limits
	server ServerOptions
	client ClientOptions // of the first client
	test   func(b *limitBed)
}

// limitRows are the rows of options in the table.
var limitRows = []limitRow{
	{"ServerOptions.MaxMessage", ServerOptions{MaxMessage: 1000}, ClientOptions{}, func(b *limitBed) {
		_, err := b.calls.Echo(b.Context(), make([]byte, 996))
		b.works(err)
		_, err = b.calls.Echo(b.Context(), make([]byte, 997))
		b.exhausted(err, "too long (the server's MaxMessage is 1000)")
	}},
	{"ClientOptions.MaxMessage", ServerOptions{}, ClientOptions{MaxMessage: 1000}, func(b *limitBed) {
		_, err := b.calls.Make(b.Context(), 996)
		b.works(err)
		_, err = b.calls.Make(b.Context(), 997)
		wantCall(b, err, CodeResourceExhausted, OutcomeAnswered, "too long (the client's MaxMessage is 1000)")
	}},
	{"ServerOptions.MaxInflight", ServerOptions{MaxInflight: 3}, ClientOptions{}, func(b *limitBed) {
		p := b.raw()
		for id := range uint64(3) {
			p.request(2+id, rawHold, "")
		}
		p.request(5, rawHold, "")
		p.wantError(5, CodeResourceExhausted, wire.NotRun, "too many open calls on this connection (the server's MaxInflight is 3)")
		close(b.service.release)
		p.answers(3)
		p.wantAlive(6)
	}},
	{"ServerOptions.HandshakeTimeout", ServerOptions{HandshakeTimeout: 7 * time.Second}, ClientOptions{}, func(b *limitBed) {
		p, late := rawDial(b.T, b.srv), rawDial(b.T, b.srv)
		time.Sleep(7*time.Second - time.Millisecond)
		p.runHandshake()
		late.refusal(CodeUnavailable, "no whole INIT in 7s (the server's HandshakeTimeout)")
		late.wantEnd()
		p.wantAlive(2)
		p.nc.Close()
	}},
	{"ServerOptions.MaxSessions", ServerOptions{MaxSessions: 2, RefuseWhenFull: true}, ClientOptions{}, func(b *limitBed) {
		b.refused("the server is full: it has MaxSessions (2) sessions, and RefuseWhenFull is set")
		b.client.Close()
		synctest.Wait()
		_, b.calls = b.mustDial("ann")
	}},
	{"ServerOptions.MaxWaiting", ServerOptions{MaxSessions: 2, MaxWaiting: 1}, ClientOptions{}, func(b *limitBed) {
		next := b.wait()
		b.refused("the server's queue is full: MaxWaiting (1) clients wait")
		b.answers("a holder", b.calls)
		b.client.Close()
		b.calls = next()
	}},
	{"ServerOptions.SessionMaxHold", ServerOptions{MaxSessions: 2, SessionMaxHold: time.Minute}, ClientOptions{}, func(b *limitBed) {
		next := b.wait()
		time.Sleep(58 * time.Second) // and the second before the other client
		_, err := b.calls.Add(b.Context(), 1, 2)
		b.works(err)
		time.Sleep(time.Second + tooOld)
		_, err = b.calls.Add(b.Context(), 1, 2)
		wantCall(b, err, CodeAborted, OutcomeNotRun, "others wait, and the session has had its place for the server's SessionMaxHold (1m0s)")
		b.calls = next()
	}},
	{"ServerOptions.GroupMaxHold", ServerOptions{GroupMaxHold: time.Minute}, ClientOptions{DefaultCallTimeout: NoLimit}, func(b *limitBed) {
		close(b.service.release)
		b.works(b.calls.Take(b.Context()))
		turn := make(chan error, 1)
		ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
		defer cancel()
		go func() { turn <- b.other.Turn(ctx, nil) }()
		time.Sleep(59 * time.Second)
		b.works(b.calls.Turn(b.Context(), nil))
		time.Sleep(time.Second + tooOld)
		wantCall(b, b.calls.Turn(b.Context(), nil), CodeAborted, OutcomeNotRun, "exclusive=turn was taken from the session: others waited, and it had held the group for the server's GroupMaxHold (1m0s)")
		b.works(<-turn)
		b.works(b.calls.Take(b.Context()))
	}},
	{"ServerOptions.MaxConcurrentCalls", ServerOptions{MaxConcurrentCalls: 1}, ClientOptions{}, func(b *limitBed) {
		held := make(chan error, 1)
		go func() { held <- b.calls.Hold(b.Context()) }()
		<-b.service.began
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		_, err := b.calls.Add(ctx, 1, 2)
		wantCall(b, err, CodeDeadlineExceeded, OutcomeNotRun, "its turn (the server's MaxConcurrentCalls is 1)")
		close(b.service.release)
		b.works(<-held)
	}},
	{"ServerOptions.DefaultCallTimeout", ServerOptions{DefaultCallTimeout: 5 * time.Second}, ClientOptions{DefaultCallTimeout: NoLimit}, func(b *limitBed) {
		b.opts.Handlers = testeeServer(b, newTestee(), nil)
		_, b.calls = b.mustDial("ann")
		b.works(b.calls.Push(b.Context(), 4_900_000))
		wantCall(b, b.calls.Push(b.Context(), 5_100_000), CodeDeadlineExceeded, OutcomeAnswered, "no answer in 5s (DefaultCallTimeout)")
	}},
	{"ClientOptions.DefaultCallTimeout", ServerOptions{}, ClientOptions{DefaultCallTimeout: 5 * time.Second}, func(b *limitBed) {
		_, err := b.calls.Sleep(b.Context(), 4_900_000)
		b.works(err)
		_, err = b.calls.Sleep(b.Context(), 5_100_000)
		wantCall(b, err, CodeDeadlineExceeded, OutcomeUnknown, "no answer in 5s (DefaultCallTimeout)")
	}},
	{"ServerOptions.MaxStreams", ServerOptions{MaxStreams: 2}, ClientOptions{}, func(b *limitBed) {
		const long = 100_000 // or it ends before it is read
		one, err := b.calls.Count(b.Context(), long)
		b.works(err)
		two, err := b.calls.Count(b.Context(), long)
		b.works(err)
		_, err = b.calls.Count(b.Context(), 1)
		b.exhausted(err, "too many open streams on this connection (the server's MaxStreams is 2)")
		for _, seq := range []iter.Seq2[uint64, error]{one, two} {
			for _, err := range seq {
				b.works(err)
				break
			}
		}
		synctest.Wait()
		_, err = b.calls.Count(b.Context(), 1)
		b.works(err)
	}},
	{"ClientOptions.DialTimeout", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		opts := &ClientOptions{DialTimeout: 3 * time.Second, Logger: quiet}
		for _, answers := range []bool{true, false} {
			near, far := net.Pipe()
			p := &rawPeer{t: b, nc: far}
			go func() {
				p.readBasic()
				if time.Sleep(3*time.Second - tooOld); answers {
					p.write(wire.AppendServerInit(nil, &wire.Hello{Version: 1}))
				}
			}()
			client, err := NewClient(b.Context(), near, opts)
			if answers {
				b.works(err)
				client.Close()
			} else {
				wantCall(b, err, CodeDeadlineExceeded, OutcomeNotRun, "no answer to INIT in 3s (DialTimeout)")
			}
			far.Close()
		}
	}},
	{"ClientOptions.MaxEndpoints", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		s := newSite(b, nil)
		s.quiet = true
		for _, at := range []string{"a", "b", "c"} {
			s.start(at)
		}
		p := tills(b, s.dial(b, "", &ClientOptions{MaxEndpoints: 2, Endpoints: endpointsOf("a", "b", "c")}))
		time.Sleep(time.Minute)
		if got := len(s.servers["a"].Sessions()) + len(s.servers["b"].Sessions()); got != 2 {
			b.Errorf("%d connections to the first endpoints, want 2", got)
		}
		if got := len(s.servers["c"].Sessions()); got != 0 {
			b.Errorf("%d connections above MaxEndpoints", got)
		}
		_, err := p.Where(b.Context())
		b.works(err)
	}},
	{"Limits.MaxDepth", ServerOptions{}, ClientOptions{Limits: Limits{MaxDepth: 5}}, func(b *limitBed) {
		b.works(b.calls.Chain(b.Context(), chainOf(5)))
		wantCall(b, b.calls.Chain(b.Context(), chainOf(6)), CodeResourceExhausted, OutcomeNotRun, "nested deeper than MaxDepth (5), or the value is cyclic")
	}},
	{"Limits.MaxDepth", ServerOptions{Limits: Limits{MaxDepth: 5}}, ClientOptions{}, func(b *limitBed) {
		b.works(b.calls.Chain(b.Context(), chainOf(5)))
		wantCall(b, b.calls.Chain(b.Context(), chainOf(6)), CodeInvalidArgument, OutcomeNotRun, "MaxDepth (5)")
	}},
	{"Limits.DecodeBudget", ServerOptions{Limits: Limits{DecodeBudget: 1600}}, ClientOptions{}, func(b *limitBed) {
		n := 1600 / (2 * strconv.IntSize / 8) // a string is two words
		b.works(b.calls.Names(b.Context(), make([]string, n)))
		wantCall(b, b.calls.Names(b.Context(), make([]string, n+1)), CodeInvalidArgument, OutcomeNotRun, "needs more memory than Limits.DecodeBudget (1600) allows")
	}},
	{"Limits.MaxErrorText", ServerOptions{Limits: Limits{MaxErrorText: 100}}, ClientOptions{}, func(b *limitBed) {
		for n, want := range map[uint32]int{100: 100, 101: 100} { // cuts, and is not an error
			if err := b.calls.Long(b.Context(), n); strings.Count(fmt.Sprint(err), "x") != want {
				b.Errorf("a text of %d bytes: %v", n, err)
			}
		}
	}},
	{"Limits.MaxHandshakes", ServerOptions{Limits: Limits{MaxHandshakes: 2}}, ClientOptions{}, func(b *limitBed) {
		first := rawDial(b.T, b.srv)
		time.Sleep(time.Second)
		second := rawDial(b.T, b.srv)
		time.Sleep(time.Second)
		third := rawDial(b.T, b.srv)
		first.refusal(CodeResourceExhausted, "the server has Limits.MaxHandshakes (2) unfinished handshakes")
		for i, p := range []*rawPeer{second, third} {
			p.runHandshake()
			p.wantAlive(uint64(2 + i))
			p.nc.Close()
		}
	}},
	{"Limits.MaxConns", ServerOptions{Limits: Limits{MaxConns: 3}}, ClientOptions{}, func(b *limitBed) {
		third, calls := b.mustDial("ann")
		b.answers("the last", calls)
		b.refused("the server has Limits.MaxConns (3) connections")
		third.Close()
		synctest.Wait()
		b.mustDial("ann")
	}},
	{"Limits.PeerConns", ServerOptions{Authenticate: nameByUser, Limits: Limits{PeerConns: 2}}, ClientOptions{}, func(b *limitBed) {
		second, calls := b.mustDial("ann")
		b.answers("the last", calls)
		b.refused("the client has the server's Limits.PeerConns (2) connections")
		b.mustDial("bob")
		second.Close()
		synctest.Wait()
		b.mustDial("ann")
	}},
	{"Limits.PeerWaiting", ServerOptions{MaxSessions: 2, Authenticate: nameByUser, Limits: Limits{PeerWaiting: 1}}, ClientOptions{}, func(b *limitBed) {
		next := b.wait()
		b.refused("the server's Limits.PeerWaiting (1) connections of the client wait")
		b.client.Close()
		b.calls = next()
	}},
	{"Limits.PeerCallRate", ServerOptions{Authenticate: nameByUser, Limits: Limits{PeerCallRate: 10}}, ClientOptions{}, func(b *limitBed) {
		time.Sleep(time.Second)
		for range 10 {
			_, err := b.calls.Add(b.Context(), 1, 2)
			b.works(err)
		}
		_, err := b.calls.Add(b.Context(), 1, 2)
		b.exhausted(err, "the client makes more than the server's Limits.PeerCallRate (10) calls a second")
		b.answers("another peer", b.other)
		time.Sleep(100 * time.Millisecond)
	}},
	{"Limits.MaxHandlers", ServerOptions{Limits: Limits{MaxHandlers: 2}}, ClientOptions{}, func(b *limitBed) {
		held := make(chan error, 2)
		for range 2 {
			go func() { held <- b.calls.Hold(b.Context()) }()
			<-b.service.began
		}
		_, err := b.calls.Add(b.Context(), 1, 2)
		b.exhausted(err, "the server is busy: it runs Limits.MaxHandlers (2) handlers")
		close(b.service.release)
		b.works(<-held)
		b.works(<-held)
	}},
	{"Limits.ConnBytes", ServerOptions{MaxMessage: 100_000, Limits: Limits{ConnBytes: 200_000}}, ClientOptions{}, func(b *limitBed) {
		p := b.raw()
		p.write(bigRequest(2, rawEcho, 100_000, 0))
		p.write(bigRequest(3, rawEcho, 100_000, 0))
		p.wantAlive(4)
		p.write(bigRequest(5, rawEcho, 70_000, 0))
		p.wantError(5, CodeResourceExhausted, wire.NotRun, "exceed the server's Limits.ConnBytes (200000)")
		p.wantAlive(6)
	}},
	{"Limits.ServerBytes", ServerOptions{MaxMessage: 100_000, Limits: Limits{ServerBytes: 100_000}}, ClientOptions{}, func(b *limitBed) {
		first, second := b.raw(), b.raw()
		first.mostOf(2, 100_000, 60_000)
		synctest.Wait() // its bytes count before those of the second
		second.mostOf(2, 100_000, 40_000)
		second.wantAlive(3)
		second.send(wire.Frame{Type: wire.RequestChunk, ID: 2}, make([]byte, 1))
		second.wantError(2, CodeResourceExhausted, wire.NotRun, "unfinished messages at the server exceed Limits.ServerBytes (100000)")
		second.wantAlive(4)
		first.wantAlive(3)
	}},
	{"Limits.ServerBytes", ServerOptions{MaxMessage: 100_000, Limits: Limits{ServerBytes: 100_000}}, ClientOptions{}, func(b *limitBed) {
		turns := make(chan error, 2)
		turn := func(calls *limitedContract, n int) {
			go func() { turns <- calls.Turn(b.Context(), make([]byte, n)) }()
			synctest.Wait()
		}
		turn(b.other, 0)
		turn(b.calls, 40_000)
		b.exhausted(b.calls.Turn(b.Context(), make([]byte, 40_000)), "requests that wait at the server exceed Limits.ServerBytes (100000)")
		close(b.service.release)
		b.works(<-turns)
		b.works(<-turns)
	}},
	{"Limits.ServerBytes", ServerOptions{MaxMessage: 100_000, Limits: Limits{ServerBytes: 100_000}}, ClientOptions{}, func(b *limitBed) {
		p := rawDial(b.T, b.srv)
		p.bindAs(&wire.Hello{Version: 1, Streams: wire.StreamLimits{Window: wire.MinStreamWindow}}, "Limited", "Add", "Absorb")
		send := func(id uint64, items string) { p.write([]byte(streamFrame(wire.Items, byCaller, id, 1, items))) }
		for i, n := range []int{25_000, 24_000, 900} { // together just below half of the limit; each within its window, a quarter
			p.request(uint64(2+i), 1, "")
			send(uint64(2+i), u32(70_000)+strings.Repeat("x", n-4))
		}
		p.wantAlive(5)
		send(4, strings.Repeat("x", 5_000))
		p.want(wire.Stop, 4, 1, 0)
		p.wantAlive(6)
		send(3, strings.Repeat("x", 1_000))
		p.wantAlive(7)
	}},
	{"Limits.StreamWindow", ServerOptions{Limits: Limits{StreamWindow: 1 << 10}}, ClientOptions{}, func(b *limitBed) {
		p := rawDial(b.T, b.srv)
		p.bindAs(&wire.Hello{Version: 1, Streams: wire.StreamLimits{Window: wire.MinStreamWindow}}, "Limited", "Add", "Absorb")
		p.request(2, 1, "")
		p.write([]byte(streamFrame(wire.Items, byCaller, 2, 1, u32(70_000)+strings.Repeat("x", 1020))))
		p.wantAlive(3)
		go p.nc.Write([]byte(streamFrame(wire.Items, byCaller, 2, 1, "x"))) // a client of the library waits
		p.wantClose(CodeInternal, "ITEMS of stream 1 of call 2: 1 bytes more than its credit (the server's Limits.StreamWindow is 1024)")
	}},
	{"Limits.ConnWindow Limits.StreamWindow", ServerOptions{}, ClientOptions{Limits: Limits{StreamWindow: 1 << 10, ConnWindow: 4 << 10}}, func(b *limitBed) {
		seq, err := b.calls.Count(b.Context(), 5000)
		b.works(err)
		const item, most = 4 + 8, 1<<10 + 4<<10/4 // with its length; a quarter is lent to one stream
		read, ahead := int64(0), int64(0)
		for _, err := range seq {
			b.works(err)
			if read++; read%100 == 0 {
				synctest.Wait()
				ahead = max(ahead, b.service.produced.Load()-read)
			}
		}
		if read != 5000 || ahead > most/item+1 {
			b.Errorf("%d items; the producer was up to %d ahead, want at most %d", read, ahead, most/item+1)
		}
	}},
	{"Limits.OutQueue", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		client, proxy, p := rawServer(b, &ClientOptions{Limits: Limits{OutQueue: 1 << 10, WriteStall: NoLimit}, Logger: quiet})
		sent := make(chan error, 2)
		for range 2 { // one is being written, and an empty queue accepts any
			go func() { _, err := proxy.Echo(b.Context(), make([]byte, 2000)); sent <- err }()
			synctest.Wait()
		}
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		_, err := proxy.Add(ctx, 1, 2)
		wantCall(b, err, CodeDeadlineExceeded, OutcomeNotRun, "room in the client's Limits.OutQueue (1024)")
		for range 2 {
			f, _ := p.read()
			p.send(wire.Frame{Type: wire.Response, ID: f.ID}, []byte(u32(0)))
		}
		b.works(<-sent)
		b.works(<-sent)
		client.Close()
		p.nc.Close()
	}},
	{"Limits.WriteStall", ServerOptions{Limits: Limits{WriteStall: 3 * time.Second}}, ClientOptions{}, func(b *limitBed) {
		p := b.raw()
		p.request(2, rawMake, u32(1<<20))
		for range 3 {
			time.Sleep(3*time.Second - tooOld)
			p.readFull(1)
		}
		if err := <-p.served; !strings.Contains(fmt.Sprint(err), "the peer accepted no bytes for the server's Limits.WriteStall (3s)") {
			b.Errorf("got %v", err)
		}
		b.raw().wantAlive(2)
	}},
	{"Limits.FrameTimeout", ServerOptions{Limits: Limits{FrameTimeout: 5 * time.Second}}, ClientOptions{}, func(b *limitBed) {
		p := b.raw()
		p.write(bigRequest(2, rawEcho, 100_000, 1000))
		for range 3 {
			time.Sleep(5*time.Second - tooOld)
			p.send(wire.Frame{Type: wire.RequestChunk, ID: 2}, make([]byte, 1000))
		}
		p.wantError(2, CodeDeadlineExceeded, wire.NotRun, "its message made no progress for the server's Limits.FrameTimeout (5s)")
		ping := rawHead(16, wire.Ping, 0, 0, 7)
		p.write([]byte(ping[:9]))
		time.Sleep(5*time.Second - tooOld)
		p.write([]byte(ping[9:]))
		p.want(wire.Pong, 7, 0, 0)
		p.wantAlive(3)
		p.write([]byte(ping[:9]))
		p.wantClose(CodeInternal, "a frame has stayed incomplete for the server's Limits.FrameTimeout (5s)")
		b.raw().wantAlive(2)
	}},
	{"Limits.PingAfter Limits.PingTimeout", ServerOptions{Limits: Limits{PingAfter: 5 * time.Second, PingTimeout: 3 * time.Second}}, ClientOptions{}, func(b *limitBed) {
		b.silence(5*time.Second, 3*time.Second, "the peer has been silent for 8s (the server's Limits.PingAfter, PingTimeout)")
	}},
	{"Limits.SessionLease", ServerOptions{MaxSessions: 4, Limits: Limits{SessionLease: 10 * time.Second}}, ClientOptions{}, func(b *limitBed) {
		b.silence(5*time.Second, 5*time.Second, "the peer has been silent for 10s (the server's Limits.SessionLease)")
	}},
	{"Decoder.MaxRecord", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		var s string
		for _, data := range []string{u32(4) + "well", u32(5) + "worse"} {
			dec := NewDecoder(strings.NewReader(data))
			dec.MaxRecord = 8
			if err := dec.Decode(&s); len(data) > 8 && !strings.Contains(fmt.Sprint(err), "the record exceeds MaxRecord (8)") {
				b.Errorf("got %v", err)
			} else if len(data) == 8 {
				b.works(err)
			}
		}
	}},
}

// silence checks the PINGs of a server: an answer at the end of timeout is in time, and without
// one the connection ends.
func (b *limitBed) silence(after, timeout time.Duration, text string) {
	b.Helper()
	p := b.raw()
	for range 3 {
		f, _ := p.read()
		if f.Type != wire.Ping {
			b.Fatalf("got %v, want PING", f.Type)
		}
		time.Sleep(timeout - tooOld)
		p.send(wire.Frame{Type: wire.Pong, ID: f.ID}, nil)
	}
	p.wantAlive(2)
	start := time.Now()
	go io.Copy(io.Discard, p.nc)
	if err := <-p.served; !strings.Contains(fmt.Sprint(err), text) {
		b.Errorf("got %v, want %q", err, text)
	}
	if took := time.Since(start); took < after+timeout-time.Second || took > after+timeout+time.Second {
		b.Errorf("lost after %v, want %v", took, after+timeout)
	}
	b.raw().wantAlive(2)
}

// Each row holds, and each numeric option has one.
func TestLimitsTable(t *testing.T) {
	t.Parallel()
	var names []string
	for _, row := range slices.Concat(limitRows, constantRows, defaultRows) {
		names = append(names, strings.Fields(row.names)...)
		t.Run(row.names, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				service := &limited{testee: newTestee()}
				b := &limitBed{T: t, service: service, srv: testeeServer(t, service.testee, &row.server), opts: row.client}
				if err := RegisterAs[limitedContract](b.srv, "Limited", service); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					b.srv.Close()
					checkBooked(t, b.srv)
				})
				b.client, b.calls = b.mustDial("ann")
				time.Sleep(time.Second) // so that a limit of time ends this one first
				_, b.other, _ = b.dial(t.Context(), "bob", ClientOptions{})
				row.test(b)
				time.Sleep(time.Second) // handlers that nothing waits for return
				b.answers("the connection", b.calls)
				b.answers("another connection", b.other)
			})
		})
	}
	const notLimits = "ClientOptions.PollInterval"
	for _, options := range []any{ServerOptions{}, ClientOptions{}} {
		for _, name := range numbersOf(reflect.ValueOf(options), "") {
			if !strings.HasPrefix(name, "Limits.") {
				name = reflect.TypeOf(options).Name() + "." + name
			}
			if !slices.Contains(names, name) && name != notLimits {
				t.Errorf("%s has no row", name)
			}
			if !hasDefaultRow(name) {
				t.Errorf("the default of %s has no row, or two", name)
			}
		}
	}
	page, err := os.ReadFile("docs/guide/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if _, field, ok := strings.Cut(name, "."); ok && !bytes.Contains(page, []byte(field)) {
			t.Errorf("docs/guide/limits.md does not contain %s", name)
		}
	}
}
