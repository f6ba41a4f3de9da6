package bsrpc

// The defaults in TestLimitsTable: without the option, its default is the limit.

import (
	"context"
	"fmt"
	"iter"
	"net"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// fresh returns a bed whose server has options as a user sets them: those of the table never
// send PINGs.
func (b *limitBed) fresh(o ServerOptions) *limitBed {
	o.Logger = quiet
	srv := NewServer(&o)
	if err := RegisterAs[testeeContract](srv, "Probe", b.service.testee); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { srv.Close() })
	return &limitBed{T: b.T, service: b.service, srv: srv}
}

// defaultRows are the rows of defaults in the table. Those of HandshakeTimeout, DialTimeout and
// MaxErrorText have tests of their own.
var defaultRows = []limitRow{
	{"default of ServerOptions.MaxMessage", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		p := b.raw()
		p.write(bigRequest(2, rawEcho, 16<<20, 0))
		p.wantAlive(3)
		p.write(bigRequest(4, rawEcho, 16<<20+1, 0))
		p.wantError(4, CodeResourceExhausted, wire.NotRun, "the server's MaxMessage is 16777216")
		p.wantAlive(5)
	}},
	{"default of ClientOptions.MaxMessage", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		client, proxy, p := rawServer(b, nil)
		call := func(total uint64, canceled bool) chan error {
			done := make(chan error, 1)
			go func() { _, err := proxy.Echo(b.Context(), nil); done <- err }()
			f, _ := p.read()
			if canceled {
				go p.skipTo(wire.Cancel)
			}
			p.send(wire.Frame{Type: wire.Response, Flags: wire.Chunked, ID: f.ID, Total: total}, nil)
			synctest.Wait()
			return done
		}
		if at := call(16<<20, false); len(at) != 0 {
			b.works(<-at)
		}
		wantCall(b, <-call(16<<20+1, true), CodeResourceExhausted, OutcomeAnswered, "this end's MaxMessage is 16777216")
		client.Close()
		p.nc.Close()
	}},
	{"default of ServerOptions.MaxInflight", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		p := b.raw()
		for id := range uint64(1024) {
			p.request(2+id, rawHold, "")
		}
		p.request(2000, rawHold, "")
		p.wantError(2000, CodeResourceExhausted, wire.NotRun, "the server's MaxInflight is 1024")
		close(b.service.release)
		if got := p.answers(1024); len(got) != 1024 {
			b.Errorf("%d answers", len(got))
		}
		p.wantAlive(2001)
	}},
	{"default of ServerOptions.MaxWaiting", ServerOptions{MaxSessions: 2}, ClientOptions{}, func(b *limitBed) {
		var line []*rawPeer
		for range 64 {
			p := rawDial(b.T, b.srv)
			p.write(firstInit)
			if typ, payload := p.readBasic(); typ != wire.Init || payload[0] != 0 {
				b.Errorf("waiter %d: %v %q", len(line), typ, payload)
			}
			go p.readAll()
			line = append(line, p)
		}
		b.refused("the server's queue is full: MaxWaiting (64) clients wait")
		for _, p := range line {
			p.nc.Close()
			<-p.served
		}
	}},
	{"default of ServerOptions.DefaultCallTimeout", ServerOptions{}, ClientOptions{DefaultCallTimeout: NoLimit}, func(b *limitBed) {
		b.opts.Handlers = testeeServer(b, newTestee(), nil)
		_, b.calls = b.mustDial("ann")
		b.works(b.calls.Push(b.Context(), 19_900_000))
		wantCall(b, b.calls.Push(b.Context(), 20_100_000), CodeDeadlineExceeded, OutcomeAnswered, "no answer in 20s (DefaultCallTimeout)")
	}},
	{"default of ClientOptions.DefaultCallTimeout", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		_, err := b.calls.Sleep(b.Context(), 19_900_000)
		b.works(err)
		_, err = b.calls.Sleep(b.Context(), 20_100_000)
		wantCall(b, err, CodeDeadlineExceeded, OutcomeUnknown, "no answer in 20s (DefaultCallTimeout)")
	}},
	{"NoLimit of ClientOptions.DefaultCallTimeout", ServerOptions{}, ClientOptions{DefaultCallTimeout: NoLimit}, func(b *limitBed) {
		_, err := b.calls.Sleep(b.Context(), 3_600_000_000)
		b.works(err)
	}},
	{"default of ServerOptions.MaxStreams", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		var open []iter.Seq2[uint64, error]
		for range 1024 {
			seq, err := b.calls.Quiet(b.Context())
			b.works(err)
			open = append(open, seq)
		}
		_, err := b.calls.Quiet(b.Context())
		b.exhausted(err, "too many open streams on this connection (the server's MaxStreams is 1024)")
		close(b.service.release)
		for _, seq := range open {
			for _, err := range seq {
				b.works(err)
			}
		}
	}},
	{"default of ClientOptions.MaxEndpoints", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		s := newSite(b, nil)
		s.quiet = true
		all := strings.Fields("a b c d e f g h i")
		for _, at := range all {
			s.start(at)
		}
		p := tills(b, s.dial(b, "", &ClientOptions{Endpoints: endpointsOf(all...)}))
		time.Sleep(time.Minute)
		for i, at := range all {
			if n := len(s.servers[at].Sessions()); (n == 1) != (i < 8) {
				b.Errorf("%d connections to endpoint %d, want one to each of 8", n, i+1)
			}
		}
		_, err := p.Where(b.Context())
		b.works(err)
	}},
	{"default of Limits.MaxDepth", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		b.works(b.calls.Chain(b.Context(), chainOf(64)))
		wantCall(b, b.calls.Chain(b.Context(), chainOf(65)), CodeResourceExhausted, OutcomeNotRun, "MaxDepth (64)")
	}},
	{"default of Limits.MaxDepth", ServerOptions{}, ClientOptions{Limits: Limits{MaxDepth: 100}}, func(b *limitBed) {
		b.works(b.calls.Chain(b.Context(), chainOf(64)))
		wantCall(b, b.calls.Chain(b.Context(), chainOf(65)), CodeInvalidArgument, OutcomeNotRun, "MaxDepth (64)")
	}},
	{"default of Limits.DecodeBudget", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		type thin struct{ X byte }
		type fat struct { // the layout of thin
			X      byte
			Hidden [64<<20 - 1]byte `bsrpc:"-"`
		}
		type fatter struct {
			X      byte
			Hidden [64 << 20]byte `bsrpc:"-"`
		}
		srv := NewServer(&ServerOptions{Logger: quiet})
		if err := srv.RegisterFunc("Fat.Take", func(*fat) {}); err != nil {
			b.Fatal(err)
		}
		if err := srv.RegisterFunc("Fat.Burst", func(*fatter) {}); err != nil {
			b.Fatal(err)
		}
		near, far := net.Pipe()
		go srv.ServeConn(far)
		client, err := NewClient(b.Context(), near, &ClientOptions{Logger: quiet})
		if err != nil {
			b.Fatal(err)
		}
		p, err := Bind[struct {
			Take, Burst func(context.Context, *thin) error
		}](b.Context(), client, "Fat")
		if err != nil {
			b.Fatal(err)
		}
		b.works(p.Take(b.Context(), new(thin)))
		wantCall(b, p.Burst(b.Context(), new(thin)), CodeInvalidArgument, OutcomeNotRun, "needs more memory than Limits.DecodeBudget (67108864) allows")
		b.works(p.Take(b.Context(), nil))
		client.Close()
		srv.Close()
	}},
	{"default of Limits.MaxHandshakes", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		var open []*rawPeer
		for range 256 {
			open = append(open, rawDial(b.T, b.srv))
			time.Sleep(time.Millisecond)
		}
		if n := b.srv.handshaking.Count(); n != 256 {
			b.Errorf("%d handshakes", n)
		}
		open = append(open, rawDial(b.T, b.srv))
		open[0].refusal(CodeResourceExhausted, "the server has Limits.MaxHandshakes (256) unfinished handshakes")
		for i, p := range open[1:] {
			p.runHandshake()
			if i == 0 || i == 255 {
				p.wantAlive(2)
			}
			p.nc.Close()
		}
	}},
	{"default of Limits.MaxConns", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		if !LongTests {
			return // so many connections take a second
		}
		var open []*rawPeer
		for range 10_000 - 2 {
			p := rawDial(b.T, b.srv)
			p.write(firstInit)
			p.readBasic()
			open = append(open, p)
		}
		open[len(open)-1].nc.Close()
		<-open[len(open)-1].served
		synctest.Wait()
		third, calls := b.mustDial("ann")
		b.answers("the last", calls)
		b.refused("the server has Limits.MaxConns (10000) connections")
		third.Close()
		for _, p := range open {
			p.nc.Close()
		}
	}},
	{"default of Limits.MaxHandlers", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		if !LongTests {
			return // so many handlers take two seconds
		}
		for each := uint64(1024); each > 0 && len(b.service.began) < 16_384; { // the last ones are left to connections with few
			p := b.raw()
			before := len(b.service.began)
			go p.readAll() // refusals
			for id := range each {
				p.nc.Write(frameBytes(wire.Frame{Type: wire.Request, Arg: rawHold, ID: 2 + id}, nil))
			}
			synctest.Wait()
			if len(b.service.began) == before {
				each /= 2
			}
		}
		if n := len(b.service.began); n != 16_384 {
			b.Errorf("%d handlers run", n)
		}
		_, err := b.calls.Add(b.Context(), 1, 2)
		b.exhausted(err, "the server is busy: it runs Limits.MaxHandlers (16384) handlers")
		close(b.service.release)
	}},
	{"default of Limits.ConnBytes", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		p := b.raw()
		p.write(bigRequest(2, rawEcho, 16<<20, 0))
		p.write(bigRequest(3, rawEcho, 16<<20, 0))
		p.wantAlive(4)
		p.write(bigRequest(5, rawEcho, 64<<10+1, 0))
		p.wantError(5, CodeResourceExhausted, wire.NotRun, "exceed the server's Limits.ConnBytes (33554432)")
		p.wantAlive(6)
	}},
	{"default of Limits.StreamWindow", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		p := rawDial(b.T, b.srv)
		p.bindAs(&wire.Hello{Version: 1, Streams: wire.StreamLimits{Window: wire.MinStreamWindow}}, "Limited", "Add", "Absorb")
		p.request(2, 1, "")
		p.write([]byte(streamFrame(wire.Items, byCaller, 2, 1, u32(70_000)+strings.Repeat("x", 64<<10-4))))
		p.wantAlive(3)
		go p.nc.Write([]byte(streamFrame(wire.Items, byCaller, 2, 1, "x")))
		p.wantClose(CodeInternal, "1 bytes more than its credit (the server's Limits.StreamWindow is 65536)")
	}},
	{"default of Limits.OutQueue", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		client, proxy, p := rawServer(b, &ClientOptions{Limits: Limits{WriteStall: NoLimit}, Logger: quiet})
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		const calls, frame = 200, 60_000 + 28 // header and length
		ended := make(chan error, calls)
		for range calls {
			go func() { _, err := proxy.Echo(ctx, make([]byte, 60_000)); ended <- err }()
			synctest.Wait()
		}
		queued := 0
		for range calls {
			if err := <-ended; !strings.Contains(fmt.Sprint(err), "room in the client's Limits.OutQueue (8388608)") {
				queued += frame
			}
		}
		if queued < 8<<20 || queued > 8<<20+3*frame { // one is being written, and the longest does not count
			b.Errorf("%d bytes were queued, want 8 MiB", queued)
		}
		client.Close()
		p.nc.Close()
	}},
	{"default of Limits.WriteStall", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		p := b.raw()
		p.request(2, rawMake, u32(1<<20))
		for range 3 {
			time.Sleep(10*time.Second - tooOld)
			p.readFull(1)
		}
		start := time.Now()
		if err := <-p.served; !strings.Contains(fmt.Sprint(err), "the peer accepted no bytes for the server's Limits.WriteStall (10s)") {
			b.Errorf("got %v", err)
		}
		if took := time.Since(start); took < 10*time.Second || took > 20*time.Second {
			b.Errorf("lost after %v", took)
		}
	}},
	{"default of Limits.FrameTimeout", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		p := b.raw()
		p.write(bigRequest(2, rawEcho, 100_000, 1000))
		time.Sleep(time.Minute - tooOld)
		p.send(wire.Frame{Type: wire.RequestChunk, ID: 2}, make([]byte, 1000))
		start := time.Now()
		p.wantError(2, CodeDeadlineExceeded, wire.NotRun, "its message made no progress for the server's Limits.FrameTimeout (1m0s)")
		if took := time.Since(start); took != time.Minute {
			b.Errorf("refused after %v", took)
		}
		p.wantAlive(3)
		start = time.Now()
		p.write([]byte(rawHead(16, wire.Ping, 0, 0, 7)[:9]))
		p.wantClose(CodeInternal, "a frame has stayed incomplete for the server's Limits.FrameTimeout (1m0s)")
		if took := time.Since(start); took != time.Minute {
			b.Errorf("closed after %v", took)
		}
	}},
	{"default of Limits.PingAfter Limits.PingTimeout", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		b.fresh(ServerOptions{}).silence(30*time.Second, 20*time.Second, "the peer has been silent for 50s (the server's Limits.PingAfter, PingTimeout)")
		near, far := net.Pipe()
		p := &rawPeer{t: b, nc: far}
		go func() {
			p.readBasic()
			p.write(wire.AppendServerInit(nil, &wire.Hello{Version: 1}))
			p.readAll()
		}()
		start := time.Now()
		client, err := NewClient(b.Context(), near, &ClientOptions{Logger: quiet})
		if err != nil {
			b.Fatal(err)
		}
		<-client.Done()
		if took := time.Since(start); took < 49*time.Second || took > 51*time.Second {
			b.Errorf("the client: lost after %v", took)
		}
		b.mustText(client.Err(), "the peer has been silent for 50s (the client's Limits.PingAfter, PingTimeout)")
		client.Close()
	}},
	{"default of Limits.SessionLease", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		b.fresh(ServerOptions{MaxSessions: 4}).silence(10*time.Second, 10*time.Second, "the peer has been silent for 20s (the server's Limits.SessionLease)")
	}},
}

// undefaulted are the options without a row in defaultRows: those that limit nothing by default,
// and those whose default has a test of its own.
var undefaulted = strings.Fields(`
	ServerOptions.MaxSessions ServerOptions.SessionMaxHold ServerOptions.GroupMaxHold ServerOptions.MaxConcurrentCalls
	Limits.PeerConns Limits.PeerWaiting Limits.PeerCallRate
	ServerOptions.HandshakeTimeout ClientOptions.DialTimeout Limits.MaxErrorText
	Limits.ServerBytes Limits.ConnWindow
	ClientOptions.PollInterval`)

// hasDefaultRow tells whether the default of an option has a row, or must have none.
func hasDefaultRow(name string) bool {
	return slices.Contains(undefaulted, name) != slices.ContainsFunc(defaultRows, func(row limitRow) bool {
		return strings.HasPrefix(row.names, "default of ") && slices.Contains(strings.Fields(row.names), name)
	})
}
