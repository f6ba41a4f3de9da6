package bsrpc

import (
	"context"
	"io"
	"iter"
	"math"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// A hose is the service of the tests of streams with simulated peers. Its counters end at
// zero if each handler and each iterator ends.
type hose struct {
	handlers  atomic.Int32
	iterators atomic.Int32 // returned, and not ranged over to an end
	release   chan struct{}
}

func newHose() *hose { return &hose{release: make(chan struct{})} }

func (h *hose) run() func() {
	h.handlers.Add(1)
	return func() { h.handlers.Add(-1) }
}

// until waits for the release or the end of ctx.
func (h *hose) until(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-h.release:
		return nil
	}
}

// seq returns an iterator over next that counts.
func (h *hose) seq(next func() (uint32, error, bool)) iter.Seq2[uint32, error] {
	h.iterators.Add(1)
	return func(yield func(uint32, error) bool) {
		defer h.iterators.Add(-1)
		for {
			n, err, ok := next()
			if !ok || !yield(n, err) {
				return
			}
		}
	}
}

// Count gives n items.
func (h *hose) Count(n uint32) iter.Seq2[uint32, error] {
	i := uint32(0)
	return h.seq(func() (uint32, error, bool) { i++; return i, nil, i <= n })
}

// Quiet waits, and gives no item.
func (h *hose) Quiet(ctx context.Context) iter.Seq2[uint32, error] {
	return h.seq(func() (uint32, error, bool) { err := h.until(ctx); return 0, err, false })
}

// Late waits before it answers.
func (h *hose) Late(ctx context.Context, n uint32) (iter.Seq2[uint32, error], error) {
	defer h.run()()
	if err := h.until(ctx); err != nil {
		return nil, err
	}
	return h.Count(n), nil
}

// Hold does not read its parameter.
func (h *hose) Hold(ctx context.Context, in iter.Seq2[[]byte, error]) error {
	defer h.run()()
	return h.until(ctx)
}

// Total reads its parameter to the end.
func (h *hose) Total(in iter.Seq2[[]byte, error]) (uint32, error) {
	defer h.run()()
	total := 0
	for b, err := range in {
		if err != nil {
			return 0, err
		}
		total += len(b)
	}
	return uint32(total), nil
}

// First reads one item, stops the stream, and waits.
func (h *hose) First(ctx context.Context, in iter.Seq2[[]byte, error]) error {
	defer h.run()()
	for range in {
		break
	}
	return h.until(ctx)
}

// Echo gives what it gets.
func (h *hose) Echo(in iter.Seq2[uint32, error]) iter.Seq2[uint32, error] {
	next, stop := iter.Pull2(in)
	return func(yield func(uint32, error) bool) {
		defer stop()
		for n, err, ok := next(); ok && yield(n, err); n, err, ok = next() {
		}
	}
}

// Feed reads bytes.
func (h *hose) Feed(r io.Reader) (int64, error) {
	defer h.run()()
	return io.Copy(io.Discard, r)
}

// Put has arguments that may be long.
func (h *hose) Put(data []byte, in iter.Seq2[[]byte, error]) (uint32, error) { return h.Total(in) }

func (h *hose) Add(a, b uint32) uint32 { return a + b }

type hoseContract struct {
	Count func(ctx context.Context, n uint32) iter.Seq2[uint32, error]
	Quiet func(ctx context.Context) iter.Seq2[uint32, error]
	Late  func(ctx context.Context, n uint32) (iter.Seq2[uint32, error], error)
	Hold  func(ctx context.Context, in iter.Seq2[[]byte, error]) error
	Total func(ctx context.Context, in iter.Seq2[[]byte, error]) (uint32, error)
	First func(ctx context.Context, in iter.Seq2[[]byte, error]) error
	Echo  func(ctx context.Context, in iter.Seq2[uint32, error]) iter.Seq2[uint32, error]
	Feed  func(ctx context.Context, r io.Reader) (int64, error)
	Put   func(ctx context.Context, data []byte, in iter.Seq2[[]byte, error]) (uint32, error)
	Add   func(ctx context.Context, a, b uint32) (uint32, error)
}

// The numbers of the hose's methods on a hosePeer's connection.
const (
	hoseCount = iota
	hoseQuiet
	hoseLate
	hoseHold
	hoseTotal
	hoseFirst
	hoseEcho
	hoseFeed
	hosePut
	hoseAdd
)

var hoseMethods = []string{"Count", "Quiet", "Late", "Hold", "Total", "First", "Echo", "Feed", "Put", "Add"}

func hoseServer(t testing.TB, h *hose, opts *ServerOptions) *Server {
	t.Helper()
	var o ServerOptions
	if opts != nil {
		o = *opts
	}
	o.Logger, o.Limits.PingAfter = quiet, NoLimit
	srv := NewServer(&o)
	if err := RegisterAs[hoseContract](srv, "Hose", h); err != nil {
		t.Fatal(err)
	}
	return srv
}

// hosePeer connects a rawPeer with the smallest window to a server with a hose.
func hosePeer(t testing.TB, srv *Server, window uint32) *rawPeer {
	t.Helper()
	p := rawDial(t, srv)
	p.bindAs(&wire.Hello{Version: 1, Streams: wire.StreamLimits{Window: window}}, "Hose", hoseMethods...)
	return p
}

// withHose runs f in a bubble with a hosePeer. Afterwards nothing may be left.
func withHose(t *testing.T, opts *ServerOptions, f func(p *rawPeer, srv *Server, h *hose)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := newHose()
		srv := hoseServer(t, h, opts)
		p := hosePeer(t, srv, wire.MinStreamWindow)
		f(p, srv, h)
		p.nc.Close()
		<-p.served
		srv.Close()
		checkBooked(t, srv)
		if n, m := h.handlers.Load(), h.iterators.Load(); n != 0 || m != 0 {
			t.Errorf("left: %d handlers, %d iterators", n, m)
		}
	})
}

// wantSum makes a call beside the streams. The frames of streams before its answer are
// skipped.
func (p *rawPeer) wantSum(id uint64) {
	p.t.Helper()
	p.request(id, hoseAdd, u32(1)+u32(2))
	for {
		f, body := p.read()
		if f.Type >= wire.Items && f.Type <= wire.Stop {
			continue
		}
		if f.Type != wire.Response || f.ID != id || string(body) != u32(3) {
			p.t.Fatalf("got %v %d %q, want RESPONSE %d", f.Type, f.ID, body, id)
		}
		return
	}
}

// streamFrame returns a frame about a stream.
func streamFrame(typ wire.Type, flags wire.Flags, id uint64, number uint16, body string) string {
	return rawHead(uint32(16+len(body)), typ, flags, number, id) + body
}

// itemsOf returns items, each behind its length.
func itemsOf(items ...string) string {
	var b []byte
	for _, item := range items {
		b = append(wire.AppendItemHeader(b, len(item)), item...)
	}
	return string(b)
}

// failedEnd returns the body of the END of an incomplete stream.
func failedEnd(code Code, text string) string {
	e := wire.StreamEnd{Code: uint16(code), Failure: wire.Failure{Message: text}}
	return string(e.Append(nil))
}

// hoseClient connects a client to a rawPeer in the role of a server with a hose.
func hoseClient(t testing.TB, opts *ClientOptions, hello wire.Hello) (*Client, *hoseContract, *rawPeer) {
	t.Helper()
	near, far := net.Pipe()
	p := &rawPeer{t: t, nc: far}
	hello.Version = 1
	go p.answerBind(&hello)
	var o ClientOptions
	if opts != nil {
		o = *opts
	}
	if o.Logger = quiet; o.Limits.PingAfter == 0 {
		o.Limits.PingAfter = NoLimit
	}
	client, err := NewClient(context.Background(), near, &o)
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := Bind[hoseContract](context.Background(), client, "Hose")
	if err != nil {
		t.Fatal(err)
	}
	return client, proxy, p
}

// manyStreams is the INIT of a server for many small streams.
var manyStreams = wire.Hello{Streams: wire.StreamLimits{Window: wire.MinStreamWindow, Most: math.MaxInt32}}

// rangeResult ranges over a stream to its end.
type rangeResult struct {
	items []uint32
	err   error
}

func rangeOverAll(seq iter.Seq2[uint32, error]) (r rangeResult) {
	for n, err := range seq {
		if err != nil {
			r.err = err
			continue
		}
		r.items = append(r.items, n)
	}
	return r
}

// checkNothing checks that an open connection of a client contains no state of calls.
func checkNothing(t testing.TB, client *Client) {
	t.Helper()
	checkEmpty(t, client.native.Conn)
}

// blobs returns items of []byte.
func blobs(items ...string) (all string) {
	for _, item := range items {
		all += itemsOf(u32(uint32(len(item))) + item)
	}
	return all
}
