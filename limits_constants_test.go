package bsrpc

// The constants in TestLimitsTable: what peers, callers and the library itself can reach, and no
// option changes.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/big"
	"net"
	"reflect"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/basic"
	"github.com/bsrpc/bsrpc/internal/numbering"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// mustText checks a text that contains another one.
func (b *limitBed) mustText(got any, want string) {
	b.Helper()
	if s := fmt.Sprint(got); !strings.Contains(s, want) {
		b.Errorf("got %.300s, want %q", s, want)
	}
}

// fields returns n fields of a type that no end knows.
func fields(n int) string { return strings.Repeat("\x7f\x00"+u32(0), n) }

// requestWith sends a call of Add with a block of metadata.
func (p *rawPeer) requestWith(id uint64, block string) {
	p.send(wire.Frame{Type: wire.Request, Flags: wire.Metadata, Arg: rawAdd, ID: id, Meta: []byte(block)}, []byte(u32(1)+u32(2)))
}

// atSite returns a site with a server of the service of the table at "a", and its client.
func (b *limitBed) atSite() (*site, *limitedContract) {
	s := newSite(b, nil)
	s.quiet = true
	start(b, s)
	calls, err := Bind[limitedContract](b.Context(), s.dial(b, "a", nil), "Limited")
	if err != nil {
		b.Fatal(err)
	}
	return s, calls
}

// start starts a server of the service of the table at "a".
func start(b *limitBed, s *site) {
	service := &limited{testee: newTestee()}
	srv := testeeServer(b, service.testee, nil)
	if err := RegisterAs[limitedContract](srv, "Limited", service); err != nil {
		b.Fatal(err)
	}
	s.add("a", srv)
}

// constantRows are the rows of constants in the table.
var constantRows = []limitRow{
	// Bytes and numbers on the wire.
	{"bytes before admission", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		const most, head = 8 << 10, 3 + 5 + 6 // version, marker with its version, head of a field
		p, long := rawDial(b.T, b.srv), rawDial(b.T, b.srv)
		go p.nc.Write([]byte(nativeInit(1, "\x00\x7f"+u32(most-head)+strings.Repeat("x", most-head))))
		if typ, payload := p.readBasic(); typ != wire.Init {
			b.Errorf("an INIT of 8 KiB: %v %q", typ, payload)
		}
		p.nc.Close()
		long.write([]byte(u32(5+most+1) + "\x00"))
		b.mustText(<-long.served, "has a payload of 8193 bytes")
	}},
	{"fields of INIT", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		p, long := rawDial(b.T, b.srv), rawDial(b.T, b.srv)
		p.write([]byte(nativeInit(1, fields(64))))
		if typ, payload := p.readBasic(); typ != wire.Init || payload[0] != 1 {
			b.Errorf("an INIT with 64 fields: %v %q", typ, payload)
		}
		p.nc.Close()
		long.write([]byte(nativeInit(1, fields(65))))
		long.refusal(CodeFailedPrecondition, "more than 64 fields")
		long.wantEnd()
	}},
	{"bytes of AUTH", ServerOptions{Authenticate: nameByUser}, ClientOptions{}, func(b *limitBed) {
		const most = wire.MaxAuth - 16 - 6 - 6 - 1 // heads of the frame and of both fields, and the token
		client, calls, err := b.dial(b.Context(), strings.Repeat("u", most), ClientOptions{})
		b.works(err)
		b.answers("the longest name", calls)
		client.Close()
		_, _, err = b.dial(b.Context(), strings.Repeat("u", most+1), ClientOptions{})
		b.mustText(err, "credentials of 8177 bytes, want at most 8176")
		long := rawDial(b.T, b.srv) // a peer that does not know of the limit learns nothing, see docs/protocol.md
		go long.nc.Write(append(wire.AppendClientInit(nil, &wire.Hello{Version: 1, Auth: true}), rawHead(wire.MaxAuth+1, wire.Auth, 0, 0, 0)...))
		long.refusal(CodeUnauthenticated, "unauthenticated")
		long.wantEnd()
	}},
	{"bytes of a body in one frame", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		p := b.raw()
		const n = 64<<10 - 4
		p.request(2, rawEcho, u32(n)+strings.Repeat("x", n))
		p.wantAnswer(2)
		p.wantAlive(3)
		go p.nc.Write([]byte(rawHead(16+8+64<<10+1, wire.Request, 0, rawEcho, 4) + u64(0)))
		p.wantClose(CodeInternal, "REQUEST of 65537 bytes in one frame, want at most 65536")
	}},
	{"bytes of a chunk", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		p := b.raw()
		p.write(bigRequest(2, rawEcho, 1<<20, 0))
		p.send(wire.Frame{Type: wire.RequestChunk, ID: 2}, make([]byte, wire.MaxChunk))
		p.wantAlive(3)
		go p.nc.Write([]byte(rawHead(16+wire.MaxChunk+1, wire.RequestChunk, 0, 0, 2)))
		p.wantClose(CodeInternal, "REQUEST_CHUNK of 131073 bytes, want 1 to 131072")
	}},
	{"bytes of a frame", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		p := b.raw()
		longest := wire.Frame{Type: wire.Request, Flags: wire.Chunked | wire.Metadata, Arg: rawUnbound, ID: 2, Total: 1 << 20, Meta: []byte("\x7f\x00" + u32(8186) + strings.Repeat("x", 8186))}
		p.send(longest, make([]byte, wire.MaxChunk)) // only a callback has 8 bytes more
		p.wantError(2, CodeUnimplemented, wire.NotRun, "number 6")
		p.wantAlive(3)
		go p.nc.Write([]byte(u32(wire.MaxFrame + 1)))
		p.wantClose(CodeInternal, "frame of 139307 bytes, want 16 to 139306")
	}},
	{"fields and bytes of the metadata of a frame", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		p := b.raw()
		p.requestWith(2, fields(64))
		p.wantAnswer(2)
		p.requestWith(3, fields(65))
		p.wantError(3, CodeUnimplemented, wire.NotRun, "more than 64 fields")
		block := "\x7f\x00" + u32(8186) + strings.Repeat("x", 8186)
		p.requestWith(4, block)
		p.wantAnswer(4)
		p.wantAlive(5)
		go p.nc.Write([]byte(rawHead(16+8+2+8193, wire.Request, wire.Metadata, rawAdd, 6) + u64(0) + "\x01\x20"))
		p.wantClose(CodeInternal, "REQUEST frame with 8193 bytes of metadata, want at most 8192")
	}},
	{"entries of metadata", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		call := func(n int) error {
			md := Metadata{}
			for i := range n {
				md[fmt.Sprint("k", i)] = ""
			}
			_, err := b.calls.Add(WithMetadata(b.Context(), md), 1, 2)
			return err
		}
		b.works(call(56))
		b.exhausted(call(57), "metadata of 57 entries, want at most 56")
	}},
	{"bytes of metadata", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		call := func(n int) error {
			_, err := b.calls.Add(WithMetadata(b.Context(), Metadata{"a": strings.Repeat("x", n-4)}), 1, 2)
			return err
		}
		b.works(call(7 << 10))
		b.exhausted(call(7<<10+1), "metadata of 7169 bytes, want at most 7168")
	}},
	{"bytes of a key of metadata", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		call := func(n int) error {
			_, err := b.calls.Add(WithMetadata(b.Context(), Metadata{strings.Repeat("k", n): ""}), 1, 2)
			return err
		}
		b.works(call(64))
		b.exhausted(call(65), "has 65 bytes, want 1 to 64")
	}},
	{"identities of an error", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		client, proxy, p := rawServer(b, &ClientOptions{Logger: quiet})
		answer := func(n int) error {
			done := make(chan error, 1)
			go func() { done <- proxy.Fail(b.Context()) }()
			f, _ := p.read()
			var ids []byte
			for i := range n {
				ids = wire.AppendIdentity(ids, &wire.Identity{Name: fmt.Sprint("shop.e", i)})
			}
			p.send(wire.Frame{Type: wire.Error, Flags: wire.Metadata, Arg: uint16(CodeNotFound), ID: f.ID, Meta: identityMeta(string(ids))}, (&wire.Failure{Message: "not here"}).Append(nil))
			return <-done
		}
		wantCall(b, answer(wire.MaxIdentities), CodeNotFound, OutcomeAnswered, "not here")
		wantCall(b, answer(wire.MaxIdentities+1), CodeInternal, OutcomeAnswered, "more than 8 identities")
		wantCall(b, answer(1), CodeNotFound, OutcomeAnswered, "not here")
		client.Close()
		p.nc.Close()
	}},
	{"text and levels of a layout", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		srv := NewServer(&ServerOptions{Logger: quiet})
		register := func(name string, param reflect.Type) error {
			f := reflect.FuncOf([]reflect.Type{param}, nil, false)
			return srv.RegisterFunc("Shop."+name, reflect.MakeFunc(f, func([]reflect.Value) []reflect.Value { return nil }).Interface())
		}
		text := func(n int) reflect.Type { // of a struct whose layout with the name of a method has n bytes
			field := reflect.StructField{Name: strings.Repeat("A", n-len("Shop.Put({ bool})")), Type: reflect.TypeFor[bool]()}
			return reflect.StructOf([]reflect.StructField{field})
		}
		slices := func(n int) reflect.Type {
			t := reflect.TypeFor[bool]()
			for range n {
				t = reflect.SliceOf(t)
			}
			return t
		}
		b.works(register("Put", text(64<<10)))
		b.mustText(register("Set", text(64<<10+1)), "the text of its layout has more than 65536 bytes")
		b.works(register("Deep", slices(128)))
		b.mustText(register("Deeper", slices(129)), "types nested deeper than 128")
		b.works(register("Get", slices(1)))
		srv.Close()
	}},
	{"texts of the BINDs of a connection", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		p, id, left := b.raw(), uint64(2), numbering.MaxTexts
		bind := func(n int) wire.Frame { // a text of n bytes, which differs from all others
			const head, tail = "Probe.Add({", " bool})"
			name := fmt.Sprintf("A%d", id)
			f, _ := p.bindTexts(id, []string{"Add"}, []string{head + name + strings.Repeat("a", n-len(head+name+tail)) + tail})
			id++
			return f
		}
		for left > 0 {
			n := min(left, 65_000)
			if left -= n; bind(n).Type != wire.Response {
				b.Fatalf("%d bytes before the limit, the text of %d is refused", left, n)
			}
		}
		r := wire.BindRequest{Service: "Probe", Names: []string{"Add"}, Texts: []string{"Probe.Add({B bool})"}}
		p.send(wire.Frame{Type: wire.Bind, Flags: wire.Texts, ID: id}, r.Append(nil))
		p.wantError(id, CodeResourceExhausted, wire.NotRun, "1048576")
		p.wantAlive(id + 1)
		p.nc.Close()
	}},
	{"methods of a server", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		const most = 65_536
		if !LongTests {
			return // to register so many takes half a second
		}
		srv := NewServer(&ServerOptions{Logger: quiet, HideDescription: true})
		for i := range most {
			if err := srv.RegisterFunc(fmt.Sprintf("Big.M%d", i), func() int { return i }); err != nil {
				b.Fatal(err)
			}
		}
		err := srv.RegisterFunc("Big.OneMore", func() {})
		if want := "bsrpc: register Big: 1 problem\n    Big: makes 65537 methods, a server has at most 65536"; fmt.Sprint(err) != want {
			b.Errorf("got %v, want %q", err, want)
		}
		near, far := net.Pipe()
		go srv.ServeConn(far)
		client, err := NewClient(b.Context(), near, nil)
		if err != nil {
			b.Fatal(err)
		}
		p, err := Bind[struct {
			M0     func(context.Context) (int, error)
			M1     func(context.Context) (int, error)
			M40000 func(context.Context) (int, error)
			M65535 func(context.Context) (int, error)
		}](b.Context(), client, "Big")
		if err != nil {
			b.Fatal(err)
		}
		for i, call := range map[int]func(context.Context) (int, error){0: p.M0, 1: p.M1, 40_000: p.M40000, most - 1: p.M65535} {
			if got, err := call(b.Context()); got != i || err != nil {
				b.Errorf("method %d: %d, %v", i, got, err)
			}
		}
		client.Close()
		srv.Close()
	}},
	{"bytes of a value with methods of its own", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		type own struct {
			V *big.Int `bsrpc:"text"`
		}
		n, _ := new(big.Int).SetString(strings.Repeat("7", 64<<10), 10)
		_, err := Marshal(own{n})
		b.works(err)
		_, err = Marshal(own{n.Mul(n, big.NewInt(10))})
		b.mustText(err, "65537 bytes exceed max=65536")
	}},

	// Floods.
	{"refusals", ServerOptions{MaxInflight: 1}, ClientOptions{}, func(b *limitBed) {
		p := b.raw()
		p.request(2, rawHold, "")
		<-b.service.began
		for id := range uint64(1000) {
			p.request(3+id, rawAdd, "")
			p.wantError(3+id, CodeResourceExhausted, wire.NotRun, "MaxInflight")
		}
		p.request(5000, rawAdd, "")
		p.wantClose(CodeInternal, "1001 calls above MaxInflight (1)")
		close(b.service.release)
	}},
	{"refused messages that stay unfinished", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		p := b.raw()
		for id := range uint64(1000) {
			p.write(bigRequest(2+id, rawUnbound, 1<<20, 0))
			p.wantError(2+id, CodeUnimplemented, wire.NotRun, "number 6")
		}
		p.wantAlive(2000)
		go p.nc.Write(bigRequest(5000, rawUnbound, 1<<20, 0))
		p.wantError(5000, CodeUnimplemented, wire.NotRun, "number 6")
		p.wantClose(CodeInternal, "1001 chunked messages were refused and are neither complete nor cancelled")
		b.raw().wantAlive(2)
	}},
	{"credit of a stream", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		p := rawDial(b.T, b.srv)
		p.bindAs(&wire.Hello{Version: 1, Streams: wire.StreamLimits{Window: wire.MinStreamWindow}}, "Limited", "Add", "Quiet")
		p.request(2, 1, "")
		p.wantAnswer(2)
		p.write([]byte(streamFrame(wire.Credit, byCaller, 2, 0, u32(math.MaxInt32-wire.MinStreamWindow))))
		p.wantAlive(3)
		go p.nc.Write([]byte(streamFrame(wire.Credit, byCaller, 2, 0, u32(1))))
		p.wantClose(CodeInternal, "credit of 2147483648 bytes for stream 0 of call 2, want at most 2147483647")
	}},
	{"PINGs", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		p := b.raw()
		for id := range uint64(10 + 2) { // at once, and two above
			p.send(wire.Frame{Type: wire.Ping, ID: id}, nil)
			p.want(wire.Pong, id, 0, 0)
		}
		p.wantAlive(2)
		p.send(wire.Frame{Type: wire.Ping, ID: 12}, nil)
		p.wantClose(CodeInternal, "PINGs a second")
		b.raw().wantAlive(2)
	}},
	{"lines of the log", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		lines, log := linesAt(slog.LevelInfo)
		srv := testeeServer(b, newTestee(), &ServerOptions{Logger: log})
		come := func(n int, hello string) {
			for range n {
				p := rawDial(b.T, srv)
				go p.nc.Write([]byte(hello))
				<-p.served
				p.nc.Close()
			}
		}
		const head = "\x10\x00\x00\x00" // of a frame with a type that no end knows
		violation := string(wire.AppendClientInit(nil, &wire.Hello{Version: 1}))
		violate := func(n int) {
			for range n {
				p := rawDial(b.T, srv)
				p.write([]byte(violation))
				p.readBasic()
				p.write([]byte(head + "\x7f" + strings.Repeat("\x00", 11)))
				p.wantClose(CodeInternal, "unknown frame type 0x7f")
				p.nc.Close()
				<-p.served
			}
		}
		counted := func(text, suppressed string, want int) {
			b.Helper()
			synctest.Wait()
			got := 0
			for line := range strings.Lines(lines.String()) {
				if strings.Contains(line, text) && strings.Contains(line, suppressed) {
					got++
				}
			}
			if got != want {
				b.Errorf("%d lines with %q and %q, want %d: %s", got, text, suppressed, want, lines)
			}
		}
		violate(reportRate)
		counted("violated", "", reportRate)
		violate(2)
		counted("violated", "", reportRate)
		come(1, "GET / HTTP/1.1\r\n\r\n") // the first line of another kind
		counted("HTTP", "", 1)
		time.Sleep(time.Second)
		violate(1)
		counted("violated", "suppressed=2", 1)
		come(2, "GET / HTTP/1.1\r\n\r\n")
		counted("HTTP", "", 1)
		time.Sleep(time.Minute)
		come(1, "GET / HTTP/1.1\r\n\r\n")
		counted("HTTP", "suppressed=2", 1)
		srv.Close()
	}},

	// Clients that connect again.
	{"calls that wait for a connection", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		s := calmSite(b, nil)
		p := tills(b, s.dial(b, "a", nil))
		s.kill("a")
		calls := make(chan error, 1024)
		for range cap(calls) {
			go func() { _, err := p.Where(WithWaitForReady(b.Context())); calls <- err }()
		}
		synctest.Wait()
		_, err := p.Where(WithWaitForReady(b.Context()))
		b.exhausted(err, "not connected, and too many calls wait for a connection (at most 1024, with 8388608 bytes)")
		s.start("a")
		for range cap(calls) {
			b.works(<-calls)
		}
	}},
	{"arguments that wait for a connection", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		s, p := b.atSite()
		s.kill("a")
		calls := make(chan error, 2)
		for range cap(calls) {
			go func() { _, err := p.Echo(WithWaitForReady(b.Context()), make([]byte, 4<<20-4)); calls <- err }()
		}
		synctest.Wait()
		_, err := p.Echo(WithWaitForReady(b.Context()), nil) // 4 bytes
		b.exhausted(err, "not connected, and too many calls wait for a connection (at most 1024, with 8388608 bytes)")
		start(b, s)
		for range cap(calls) {
			b.works(<-calls)
		}
		_, err = p.Echo(b.Context(), nil)
		b.works(err)
	}},
	{"calls sent again that may have run", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		for _, before := range []int{0, 300} { // the budget is ten, or a tenth
			s := calmSite(b, nil)
			p := tills(b, s.dial(b, "a", nil))
			for range before {
				_, err := p.Where(b.Context())
				b.works(err)
			}
			const open = 40
			calls, again := make(chan error, open), max(10, (before+open)/10)
			for range open {
				go func() { _, err := p.Again(b.Context(), 1000); calls <- err }()
			}
			synctest.Wait()
			s.kill("a")
			s.start("a")
			for i := range open {
				if err := <-calls; i < open-again { // those sent again need a second
					wantCall(b, err, CodeUnavailable, OutcomeUnknown, "it was not sent again: of the calls of the last 10 s one in 10 is, or 10 if that is more")
				} else {
					b.works(err)
				}
			}
			_, err := p.Again(b.Context(), 1)
			b.works(err)
		}
	}},
	{"attempts of one call", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		for _, crashes := range []int{3, 4} {
			s := calmSite(b, nil)
			p := tills(b, s.dial(b, "a", nil))
			call := make(chan error, 1)
			go func() { _, err := p.Again(WithWaitForReady(b.Context()), 1000); call <- err }()
			for range crashes {
				time.Sleep(500 * time.Millisecond)
				s.kill("a")
				at := s.start("a")
				for at.calls.Load() == 0 && len(call) == 0 {
					time.Sleep(10 * time.Millisecond)
				}
			}
			if err := <-call; crashes == 3 {
				b.works(err)
			} else {
				wantCall(b, err, CodeUnavailable, OutcomeUnknown, "it was sent again 3 times")
			}
			_, err := p.Again(WithWaitForReady(b.Context()), 1)
			b.works(err)
		}
	}},
	{"gaps between attempts to connect", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		s := calmSite(b, nil)
		p := tills(b, s.dial(b, "a", nil))
		s.kill("a")
		lost := time.Now()
		time.Sleep(10 * time.Minute)
		_, err := p.Where(b.Context())
		wantCall(b, err, CodeUnavailable, OutcomeNotRun, "connection refused")
		s.mu.Lock()
		dials := s.dials[1:] // after the first connection
		s.mu.Unlock()
		for i, at := range dials {
			least, most := 100*time.Millisecond, 10*time.Second
			if i == 0 {
				most = 700 * time.Millisecond
			}
			if gap := at.Sub(lost); gap < least || gap > most {
				b.Errorf("gap %d is %v, want %v to %v", i, gap, least, most)
			}
			lost = at
		}
		if n := len(dials); n < 60 {
			b.Errorf("%d attempts in ten minutes, want one each 10 s at least", n)
		}
		s.start("a")
		time.Sleep(10 * time.Second)
		_, err = p.Where(b.Context())
		b.works(err)
	}},
	{"states that wait for OnState", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		s, thaw := calmSite(b, nil), make(chan bool)
		var mu sync.Mutex
		var got []State
		p := tills(b, s.dial(b, "a", &ClientOptions{OnState: func(now State) { <-thaw; mu.Lock(); got = append(got, now); mu.Unlock() }}))
		for range 10 { // each of these are three states
			s.kill("a")
			s.start("a")
			_, err := p.Where(b.Context()) // waits for the connection
			b.works(err)
			time.Sleep(10 * time.Second) // the next gap is short
		}
		close(thaw)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if n := len(got); n != 1+16 || got[n-1] != StateReady { // the first is with the hook
			b.Errorf("%d states: %v", n, got)
		}
	}},
	{"wait of a call in a callback for a place", ServerOptions{MaxInflight: 1}, ClientOptions{}, func(b *limitBed) {
		start := time.Now()
		err := b.calls.Ask(b.Context(), func(ctx context.Context) error { _, err := b.calls.Add(ctx, 1, 2); return err })
		b.mustText(err, "the server's MaxInflight (1): no place in 2s")
		if took := time.Since(start); took != 2*time.Second {
			b.Errorf("it took %v", took)
		}
		b.works(b.calls.Ask(b.Context(), func(context.Context) error { return nil }))
	}},

	// The basic wire.
	{"bytes of a basic client before admission", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		srv := basicServer(b, newBasicClerk(), nil)
		p, long := rawDial(b.T, srv), rawDial(b.T, srv)
		p.ask(u32(5+8<<10)+"\x00"+strings.Repeat("\x00", 8<<10), basicAdmitted)
		p.ask(command(2, u32(1)+u32(2)), string(response(u32(3))))
		long.write([]byte(u32(5+8<<10+1) + "\x00"))
		b.mustText(<-long.served, "has a payload of 8193 bytes")
		p.ask(command(2, u32(1)+u32(2)), string(response(u32(3))))
		p.nc.Close()
		srv.Close()
	}},
	{"MaxMessage of a basic client", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		srv := basicServer(b, newBasicClerk(), &ServerOptions{MaxMessage: 1000})
		p, other := basicClient(b, srv), basicClient(b, srv)
		p.write([]byte(command(26, u32(996)+strings.Repeat("x", 996))))
		if typ, payload := p.readBasic(); typ != wire.BasicResponse {
			b.Errorf("at the limit: %v %q", typ, payload)
		}
		go p.nc.Write([]byte(command(26, u32(997)+strings.Repeat("x", 997))))
		p.wantException("ValueError", "frame too long: 1001 bytes, MaxMessage is 1000")
		p.wantEnd()
		other.ask(command(2, u32(1)+u32(2)), string(response(u32(3))))
		other.nc.Close()
		srv.Close()
	}},
	{"silence of a basic client in the queue", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		for _, tt := range []struct{ interval, most time.Duration }{{time.Second, 15 * time.Second}, {10 * time.Second, 20 * time.Second}, {50 * time.Second, time.Minute}} {
			for _, silence := range []time.Duration{tt.most - tooOld, tt.most + tooOld} {
				srv := basicServer(b, newBasicClerk(), exclusive())
				holder, waiter := basicClient(b, srv), rawDial(b.T, srv)
				waiter.poll()
				time.Sleep(tt.interval)
				waiter.poll()
				time.Sleep(silence / 2)
				next := rawDial(b.T, srv)
				next.poll()
				time.Sleep(silence / 2)
				kept := !next.poll()
				holder.nc.Close()
				synctest.Wait()
				// It says nothing of the limit: the wire has an answer to INIT, and no text.
				if first := waiter.poll(); first != (silence < tt.most) || !kept {
					b.Errorf("after %v of silence, with polls each %v: first in the queue %v", silence, tt.interval, first)
				}
				waiter.nc.Close()
				next.nc.Close()
				srv.Close()
			}
		}
	}},
	{"control frames that wait", ServerOptions{Limits: Limits{OutQueue: 16 << 10, WriteStall: 10 * time.Second}}, ClientOptions{}, func(b *limitBed) {
		// They have no number of their own: their bytes count in OutQueue. A peer that reads none of them
		// is not read, and every one is there when it reads again, before WriteStall.
		const many, most = 2000, 16 << 10
		p, never := b.raw(), b.raw()
		var took [2]int
		for i, p := range []*rawPeer{p, never} {
			go func() {
				for id := uint64(10); id < 10+many; id++ {
					if _, err := p.nc.Write(frameBytes(wire.Frame{Type: wire.Request, Arg: 9999, ID: id}, nil)); err != nil {
						return
					}
					took[i]++
				}
			}()
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		waiting := took
		b.answers("another client, meanwhile", b.other)
		f, body := p.read()
		size := len(frameBytes(f, body))
		for _, n := range waiting {
			if n < most/size || n > most/size+4096/len(rawHead(0, 0, 0, 0, 0)) { // what has been read with the last one
				b.Errorf("%d frames of %d bytes wait", n, size)
			}
		}
		for id := uint64(11); id < 10+many; id++ {
			p.wantError(id, CodeUnimplemented, wire.NotRun, "no method is bound to the number 9999")
		}
		p.wantAlive(9000)
		b.mustText(<-never.served, "the peer accepted no bytes for the server's Limits.WriteStall (10s)")
	}},
	{"frames of a basic client in advance", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		clerk := newBasicClerk()
		srv := basicServer(b, clerk, nil)
		p, other := basicClient(b, srv), basicClient(b, srv)
		p.write([]byte(command(24, "")))
		<-clerk.began
		const many = 1000
		frame, written := command(2, u32(1)+u32(2)), 0
		go func() {
			for range many {
				p.nc.Write([]byte(frame))
				written++
			}
		}()
		synctest.Wait()
		// 256 wait to be served, one waits for room, and the rest of 4 KiB has been read with it.
		if least, most := 257, 258+4096/len(frame); written < least || written > most {
			b.Errorf("%d frames were read while the first one ran, want %d to %d", written, least, most)
		}
		other.ask(frame, string(response(u32(3))))
		close(clerk.release)
		p.wantBytes(string(response("")))
		for range many {
			p.wantBytes(string(response(u32(3))))
		}
		p.nc.Close()
		other.nc.Close()
		srv.Close()
	}},
	{"requests in advance to a basic server", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		client, desk, p := basicRaw(b, nil)
		const many = 1025
		sums := make(chan error, many)
		for range many {
			go func() { _, err := desk.Add(b.Context(), 1, 2); sums <- err }()
		}
		for range many - 1 {
			p.takeCommand()
		}
		next := make(chan bool)
		go func() { p.takeCommand(); close(next) }()
		synctest.Wait()
		select {
		case <-next:
			b.Error("the client has sent 1025 requests ahead")
		default:
		}
		p.write(response(u32(3)))
		<-next
		for range many - 1 {
			p.write(response(u32(3)))
		}
		for range many {
			b.works(<-sums)
		}
		client.Close()
		p.nc.Close()
	}},
	{"exception of a basic server", ServerOptions{}, ClientOptions{}, func(b *limitBed) {
		client, desk, p := basicRaw(b, &ClientOptions{MaxMessage: 1000})
		answer := func(size int) error { // the size of the payload
			done := make(chan error, 1)
			go func() { _, err := desk.Add(b.Context(), 1, 2); done <- err }()
			p.takeCommand()
			const name = "ValueError"
			go p.nc.Write(wire.AppendException(nil, name, strings.Repeat("x", size-4-len(name)-4)))
			return <-done
		}
		wantCall(b, answer(basic.MaxTraceback), CodeInvalidArgument, OutcomeAnswered, "xxx")
		err := answer(basic.MaxTraceback + 1)
		var e *Error
		if !errors.As(err, &e) || e.Code == CodeInvalidArgument {
			b.Errorf("above the limit: %v", err)
		}
		b.mustText(err, "65537")
		<-client.Done()
		p.nc.Close()
	}},
}
