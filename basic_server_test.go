package bsrpc

// A server with the option Basic, and a simulated client of basic-socket-rpc.

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// basicDesk has the commands of the tests of basic-socket-rpc, and some failing ones.
type basicDesk struct {
	Hello   func(ctx context.Context, name string) (string, error)                                `bsrpc:"id=0"`
	Add     func(ctx context.Context, a, b uint32) (uint32, error)                                `bsrpc:"id=2"`
	Nothing func(ctx context.Context) error                                                       `bsrpc:"id=3"`
	Fixed   func(ctx context.Context, list [3]uint32) (uint32, error)                             `bsrpc:"id=4"`
	Sum     func(ctx context.Context, list []uint32) (uint32, error)                              `bsrpc:"id=5"`
	Both    func(ctx context.Context, list []uint32, text string) (sum uint32, s string, e error) `bsrpc:"id=6"`
	Last    func(ctx context.Context) error                                                       `bsrpc:"id=65535"`
	Narrow  func(ctx context.Context, v uint64) (uint64, error)                                   `bsrpc:"(le8) le2,id=20"`
	Truth   func(ctx context.Context, b bool) (bool, error)                                       `bsrpc:"id=21"`
	Garble  func(ctx context.Context) (string, error)                                             `bsrpc:"id=22"`
	Fail    func(ctx context.Context, how string) error                                           `bsrpc:"id=23"`
	Hold    func(ctx context.Context) error                                                       `bsrpc:"id=24"`
	Alone   func(ctx context.Context) error                                                       `bsrpc:"id=25,exclusive=bench"`
	Echo    func(ctx context.Context, b []byte) ([]byte, error)                                   `bsrpc:"id=26"`
	Break   func(ctx context.Context) error                                                       `bsrpc:"id=27"`
	Native  func(ctx context.Context) error
}

type basicClerk struct {
	ctx     context.Context // of the last Break
	began   chan struct{}   // gets a token as Hold or Alone begins
	release chan struct{}   // gets a token for each Alone that is to end; closed: Hold returns
}

func newBasicClerk() *basicClerk {
	return &basicClerk{began: make(chan struct{}, 100), release: make(chan struct{})}
}

func (*basicClerk) Hello(name string) string { return "hello " + name }
func (*basicClerk) Add(a, b uint32) uint32   { return a + b }
func (*basicClerk) Nothing()                 {}
func (*basicClerk) Last()                    {}
func (*basicClerk) Native()                  {}
func (*basicClerk) Narrow(v uint64) uint64   { return v }
func (*basicClerk) Truth(b bool) bool        { return b }
func (*basicClerk) Garble() string           { return "\xff" }
func (*basicClerk) Echo(b []byte) []byte     { return b }

func (c *basicClerk) Fixed(list [3]uint32) uint32 { return c.Sum(list[:]) }

func (*basicClerk) Sum(list []uint32) (sum uint32) {
	for _, n := range list {
		sum += n
	}
	return sum
}

func (c *basicClerk) Both(list []uint32, text string) (uint32, string) { return c.Sum(list), text }

func (c *basicClerk) Hold(ctx context.Context) error {
	c.began <- struct{}{}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-c.release:
		return nil
	}
}

func (c *basicClerk) Break(ctx context.Context) {
	c.ctx = ctx
	panic("on purpose")
}

func (c *basicClerk) Alone() {
	c.began <- struct{}{}
	<-c.release
}

// A NamedFault is an error with an exported type name.
type NamedFault struct{}

func (NamedFault) Error() string { return "named by its type" }

// pythonError chooses its exception.
type pythonError string

func (pythonError) Error() string           { return "chosen" }
func (e pythonError) ExceptionName() string { return string(e) }

// brokenError panics in its methods.
type brokenError struct{}

func (brokenError) Error() string { panic("on purpose") }

func (*basicClerk) Fail(how string) error {
	switch how {
	case "plain":
		return errors.New("plain\ntext")
	case "type":
		return NamedFault{}
	case "wrapped":
		return fmt.Errorf("while at it: %w", pythonError("KeyError"))
	case "code":
		return &Error{Code: CodeNotFound, Message: "no such thing"}
	case "named code":
		return &Error{Code: CodeNotFound, Name: "IndexError", Message: "no such thing"}
	case "panic":
		panic("on purpose")
	case "goexit":
		runtime.Goexit()
	case "broken":
		return brokenError{}
	case "long":
		return errors.New(strings.Repeat("x", 5000))
	case "bytes":
		return errors.New("a\xffb")
	}
	return pythonError(how)
}

func basicServer(t testing.TB, clerk *basicClerk, opts *ServerOptions) *Server {
	t.Helper()
	o := ServerOptions{}
	if opts != nil {
		o = *opts
	}
	o.Basic, o.Logger = true, cmp.Or(o.Logger, quiet)
	o.Limits.PingAfter = cmp.Or(o.Limits.PingAfter, NoLimit)
	srv := NewServer(&o)
	if err := RegisterAs[basicDesk](srv, "Desk", clerk); err != nil {
		t.Fatal(err)
	}
	return srv
}

const (
	basicInit     = "\x08\x00\x00\x00\x00\x00\x00\x01"
	basicAdmitted = "\x06\x00\x00\x00\x00\x01"
	basicNotYet   = "\x06\x00\x00\x00\x00\x00"
)

// command is the frame of a command.
func command(id uint16, args string) string {
	return string(wire.AppendCommand(nil, id, len(args))) + args
}

func str(s string) string { return u32(uint32(len(s))) + s }

// basicClient connects a rawPeer to srv, and waits for its admission.
func basicClient(t testing.TB, srv *Server) *rawPeer {
	t.Helper()
	p := rawDial(t, srv)
	p.ask(basicInit, basicAdmitted)
	return p
}

// ask sends bytes and checks the answer's.
func (p *rawPeer) ask(send, want string) {
	p.t.Helper()
	p.write([]byte(send))
	p.wantBytes(want)
}

func (p *rawPeer) wantBytes(want string) {
	p.t.Helper()
	if got := p.readFull(len(want)); string(got) != want {
		p.t.Errorf("got %q, want %q", got, want)
	}
}

// askException sends bytes and checks the exception that answers.
func (p *rawPeer) askException(send, name, text string) {
	p.t.Helper()
	p.write([]byte(send))
	p.wantException(name, text)
}

func (p *rawPeer) wantException(name, text string) {
	p.t.Helper()
	typ, payload := p.readBasic()
	gotName, gotText, err := wire.ReadException(payload)
	if typ != wire.Exception || gotName != name || gotText != text || err != nil {
		p.t.Errorf("got %v, %q, %q, %v; want %q, %q", typ, gotName, gotText, err, name, text)
	}
}

// wantServed checks that commands are served.
func (p *rawPeer) wantServed() {
	p.t.Helper()
	p.ask(command(2, u32(1000)+u32(2050)), "\x09\x00\x00\x00\x01"+u32(3050))
}

// withBasic runs f with an admitted client, beside a witness on the native
// wire.
func withBasic(t *testing.T, opts *ServerOptions, f func(p *rawPeer, srv *Server, clerk *basicClerk)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		clerk := newBasicClerk()
		srv := basicServer(t, clerk, opts)
		stop := basicWitness(t, srv)
		p := basicClient(t, srv)
		f(p, srv, clerk)
		p.nc.Close()
		stop()
		srv.Close()
	})
}

// basicWitness is a native client of the same server that calls all the time.
func basicWitness(t testing.TB, srv *Server) (stop func()) {
	t.Helper()
	client, err := NewClient(context.Background(), dialed(srv), &ClientOptions{Logger: quiet, Limits: Limits{PingAfter: NoLimit}})
	if err != nil {
		t.Fatal(err)
	}
	desk, err := Bind[basicDesk](context.Background(), client, "Desk")
	if err != nil {
		t.Fatal(err)
	}
	return witnessOf(t, client, desk.Add)
}

// The frames shown in docs/basic-wire.md equal the recorded ones.
func TestBasicBytes(t *testing.T) {
	page, err := os.ReadFile("docs/basic-wire.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "## Frames to compare")
	withBasic(t, nil, func(p *rawPeer, _ *Server, _ *basicClerk) {
		rows := 0
		for line := range strings.Lines(table) {
			cells := strings.Split(line, "|")
			if len(cells) < 4 || !strings.Contains(cells[2], "`") || strings.Contains(cells[1], "INIT") {
				continue // INIT has been sent
			}
			rows++
			p.ask(unhex(t, strings.Trim(cells[2], " `")), unhex(t, strings.Trim(cells[3], " `")))
		}
		if rows != 7 {
			t.Errorf("%d rows, want 7", rows)
		}
		p.ask(command(65535, ""), "\x05\x00\x00\x00\x01")
		p.ask(command(21, "\x02"), "\x06\x00\x00\x00\x01\x01") // any byte but 0 is true
		p.ask(command(21, "\x00"), "\x06\x00\x00\x00\x01\x00")
	})
}

func unhex(t testing.TB, s string) string {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestBasicExceptions(t *testing.T) {
	withBasic(t, &ServerOptions{MaxMessage: 1 << 20}, func(p *rawPeer, srv *Server, _ *basicClerk) {
		fail := func(how string) string { return command(23, str(how)) }
		for _, tt := range []struct{ ask, name, text string }{
			{command(10, "x"), "ProtocolError", "Unknown command with id: 10"},
			{command(1, ""), "ProtocolError", "Unknown command with id: 1"}, // Native has no id
			{basicInit, "ProtocolError", "Initialization already occurred"},
			{"\x05\x00\x00\x00\x00", "ProtocolError", "Initialization already occurred"},
			{"\x00\x00\x00\x00", "ProtocolError", "Reported message size too small: 0"},
			{"\x04\x00\x00\x00", "ProtocolError", "Reported message size too small: 4"},
			{"\x05\x00\x00\x00\x01", "ProtocolError", "Insufficient bytes in command."},
			{"\x06\x00\x00\x00\x01\x00", "ProtocolError", "Insufficient bytes in command."},
			{"\x06\x00\x00\x00\x09\x00", "ProtocolError", "Unexpected msg_type: 9"},
			{"\x06\x00\x00\x00\x04\x00", "ProtocolError", "Unexpected msg_type: 4"},
			{command(2, "\x01"), "ValueError", "Desk.Add, parameter 1: want 4 bytes, have 1, offset 0"},
			{command(2, "123456789"), "ValueError", "Desk.Add, 1 trailing byte, offset 8"},
			{command(0, u32(1<<32-1)), "ValueError", "Desk.Hello, parameter 1: want 4294967295 bytes, have 0, offset 4"},
			{command(0, str("\xff")), "ValueError", "Desk.Hello, parameter 1: not UTF-8, offset 5"},
			{command(20, u64(1<<16)), "OverflowError", "int too big to convert"},
			{command(22, ""), "RuntimeError", "Desk.Garble, result 1: not UTF-8"},
			{fail("plain"), "RuntimeError", "plain\ntext"},
			{fail("type"), "NamedFault", "named by its type"},
			{fail("wrapped"), "KeyError", "while at it: chosen"},
			{fail("code"), "RuntimeError", "no such thing"},
			{fail("named code"), "IndexError", "no such thing"},
			{fail("long"), "RuntimeError", strings.Repeat("x", 4096)},
			{fail("bytes"), "RuntimeError", "a\uFFFDb"},
			{fail("ServerShutdown"), "ServerShutdown", "chosen"},
			{fail("OutOfPaper"), "OutOfPaper", "chosen"},
			{fail("SystemExit"), "RuntimeError", "chosen"},
			{fail("KeyboardInterrupt"), "RuntimeError", "chosen"},
			{fail("GeneratorExit"), "RuntimeError", "chosen"},
			{fail("StopIteration"), "RuntimeError", "chosen"},
			{fail("UnicodeDecodeError"), "RuntimeError", "chosen"},
			{fail("ExceptionGroup"), "RuntimeError", "chosen"},
			{fail("not a name"), "RuntimeError", "chosen"},
			{fail(" "), "RuntimeError", "chosen"},
			{fail(""), "RuntimeError", "chosen"},
		} {
			p.askException(tt.ask, tt.name, tt.text)
			p.wantServed()
		}
		p.ask(command(26, str(strings.Repeat("b", 1<<20-4))), u32(5+1<<20)+"\x01"+str(strings.Repeat("b", 1<<20-4)))
	})
}

func TestBasicPanics(t *testing.T) {
	withBasic(t, nil, func(p *rawPeer, srv *Server, _ *basicClerk) {
		for i, how := range []string{"panic", "goexit", "broken"} {
			p.write([]byte(command(23, str(how))))
			_, payload := p.readBasic()
			name, text, err := wire.ReadException(payload)
			if name != "RuntimeError" || !strings.HasPrefix(text, "panic in the handler (id ") || err != nil {
				t.Errorf("%s: %q, %q, %v", how, name, text, err)
			}
			if srv.Panics() != uint64(i+1) {
				t.Errorf("%s: %d panics", how, srv.Panics())
			}
			p.wantServed()
		}
	})
	withBasic(t, nil, func(p *rawPeer, _ *Server, clerk *basicClerk) {
		p.write([]byte(command(27, "")))
		p.readBasic()
		if clerk.ctx.Err() == nil {
			t.Error("the context of a handler that panicked has not ended")
		}
	})
}

// Frames before the first valid INIT do not harm the server.
func TestBasicBeforeInit(t *testing.T) {
	for _, tt := range []struct{ name, ask, exception, text string }{
		{"command", command(0, str("Bob")), "ProtocolError", "Need to initialize connection first"},
		{"nothing", "\x00\x00\x00\x00", "ProtocolError", "Reported message size too small: 0"},
		{"other type", "\x05\x00\x00\x00\x07", "ProtocolError", "Unexpected msg_type: 7"},
		{"other version", "\x08\x00\x00\x00\x00\x01\x02\x03", "ProtocolError", "Incorrect major version: 1. Expected 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := basicServer(t, newBasicClerk(), nil)
				p := rawDial(t, srv)
				p.askException(tt.ask, tt.exception, tt.text)
				p.askException(tt.ask, tt.exception, tt.text)
				p.ask("\x0c\x00\x00\x00\x00\x00\x09\x09more", basicAdmitted)
				p.wantServed()
				p.nc.Close()
				srv.Close()
			})
		})
	}
}

func TestBasicInitClosed(t *testing.T) {
	refuse := func(err error) *ServerOptions {
		return &ServerOptions{OnConnect: func(context.Context, *Session) error { return err }}
	}
	for _, tt := range []struct {
		name, ask       string
		opts            *ServerOptions
		exception, text string
	}{
		{"short", "\x07\x00\x00\x00\x00\x00\x00", nil, "ValueError", "Cannot deserialize version, insufficient bytes: 2. Expected 3"},
		{"refused", basicInit, refuse(errors.New("not today")), "PermissionError", "not today"},
		{"refused by a type", basicInit, refuse(NamedFault{}), "PermissionError", "named by its type"},
		{"refused by name", basicInit, refuse(pythonError("OutOfPaper")), "OutOfPaper", "chosen"},
		{"refused by a bad name", basicInit, refuse(pythonError("SystemExit")), "PermissionError", "chosen"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := basicServer(t, newBasicClerk(), tt.opts)
				p := rawDial(t, srv)
				p.askException(tt.ask, tt.exception, tt.text)
				p.wantEnd()
				if err := <-p.served; err == nil || !strings.Contains(err.Error(), tt.text) {
					t.Errorf("ServeConn: %v", err)
				}
				srv.Close()
			})
		})
	}
}

// HandshakeTimeout ends at the INIT of a client, not at other frames.
func TestBasicHandshakeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := basicServer(t, newBasicClerk(), nil)
		p := rawDial(t, srv)
		start := time.Now()
		for range 3 {
			p.askException(command(0, ""), "ProtocolError", "Need to initialize connection first")
			time.Sleep(3 * time.Second)
		}
		if typ, payload := p.readBasic(); typ != wire.Exception || !strings.Contains(string(payload), "no whole INIT in 10s (the server's HandshakeTimeout)") {
			t.Errorf("the reason: %v %q", typ, payload)
		}
		p.wantEnd()
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("closed after %v", took)
		}
		srv.Close()
	})
}

func TestBasicPipelinedRequests(t *testing.T) {
	withBasic(t, nil, func(p *rawPeer, srv *Server, _ *basicClerk) {
		var ask, want bytes.Buffer
		for i := range uint32(200) {
			ask.WriteString(command(2, u32(i)+u32(1)))
			want.WriteString("\x09\x00\x00\x00\x01" + u32(i+1))
		}
		go p.nc.Write(ask.Bytes())
		p.wantBytes(want.String())
		if list := srv.Sessions(); list[1].Calls() != 200 {
			t.Errorf("%d calls", list[1].Calls())
		}
	})
}

// Two commands received together run one after the other.
func TestBasicOneByOne(t *testing.T) {
	withBasic(t, nil, func(p *rawPeer, _ *Server, clerk *basicClerk) {
		p.write([]byte(command(24, "") + command(24, "")))
		<-clerk.began
		synctest.Wait()
		if len(clerk.began) > 0 {
			t.Error("the second runs beside the first")
		}
		clerk.release <- struct{}{}
		p.wantBytes("\x05\x00\x00\x00\x01")
		<-clerk.began
		clerk.release <- struct{}{}
		p.wantBytes("\x05\x00\x00\x00\x01")
	})
}

// The calls of an exclusive group run one at a time, from both wires.
func TestBasicExclusive(t *testing.T) {
	withBasic(t, nil, func(p *rawPeer, srv *Server, clerk *basicClerk) {
		client, err := NewClient(context.Background(), dialed(srv), &ClientOptions{Limits: Limits{PingAfter: NoLimit}})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		p.write([]byte(command(25, "")))
		<-clerk.began
		native := make(chan error, 1)
		go func() { native <- client.Call(context.Background(), "Desk.Alone", nil) }()
		synctest.Wait()
		other := basicClient(t, srv) // waits behind it, and goes
		other.write([]byte(command(25, "")))
		synctest.Wait()
		other.nc.Close()
		synctest.Wait()
		if len(clerk.began) > 0 {
			t.Error("two run at a time")
		}
		clerk.release <- struct{}{}
		p.wantBytes("\x05\x00\x00\x00\x01")
		<-clerk.began
		clerk.release <- struct{}{}
		if err := <-native; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if len(clerk.began) > 0 {
			t.Error("a call ran whose client had gone")
		}
	})
}

// Calls of basic clients wait for sessions that hold the group, here from OnConnect on, and basic
// clients hold groups themselves.
func TestBasicWaitsForSession(t *testing.T) {
	opts := &ServerOptions{OnConnect: func(ctx context.Context, s *Session) error {
		if s.ID() <= 2 { // the witness, and p
			return nil
		}
		return s.Acquire(ctx, "bench")
	}}
	withBasic(t, opts, func(p *rawPeer, srv *Server, clerk *basicClerk) {
		client, err := NewClient(context.Background(), dialed(srv), &ClientOptions{Limits: Limits{PingAfter: NoLimit}})
		if err != nil {
			t.Fatal(err)
		}
		p.write([]byte(command(25, "")))
		synctest.Wait()
		if len(clerk.began) > 0 {
			t.Error("a call runs beside the holder")
		}
		client.Close()
		<-clerk.began
		clerk.release <- struct{}{}
		p.wantBytes("\x05\x00\x00\x00\x01")
		other := basicClient(t, srv)
		p.write([]byte(command(25, "")))
		other.write([]byte(command(25, "")))
		<-clerk.began
		clerk.release <- struct{}{}
		other.wantBytes("\x05\x00\x00\x00\x01")
		synctest.Wait()
		if len(clerk.began) > 0 {
			t.Error("a call runs beside a basic holder")
		}
		other.nc.Close()
		<-clerk.began
		clerk.release <- struct{}{}
		p.wantBytes("\x05\x00\x00\x00\x01")
	})
}

func TestBasicIDs(t *testing.T) {
	type twice struct {
		One func() error `bsrpc:"id=7"`
		Two func() error `bsrpc:"id=7"`
	}
	type other struct {
		Add func(a, b uint32) (uint32, error) `bsrpc:"id=2"`
	}
	srv := basicServer(t, newBasicClerk(), nil)
	for _, tt := range []struct {
		err  error
		want string
	}{
		{RegisterAs[twice](srv, "Twice", twins{}), "bsrpc: register Twice: 1 problem\n" +
			"    Twice.Two: id=7 is Twice.One's; a server with Basic needs different ones"},
		{RegisterAs[other](srv, "Other", newBasicClerk()), "bsrpc: register Other: 1 problem\n" +
			"    Other.Add: id=2 is Desk.Add's; a server with Basic needs different ones"},
		{RegisterAs[other](NewServer(nil), "Other", newBasicClerk()), ""},
	} {
		if got := fmt.Sprint(cmp.Or(tt.err, errors.New(""))); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

type twins struct{}

func (twins) One() {}
func (twins) Two() {}

// recordedFrames returns the frames recorded from clients of basic-socket-rpc.
func recordedFrames(t testing.TB) (frames []string) {
	t.Helper()
	text, err := os.ReadFile("testdata/basic_socket_rpc.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Frames []struct{ Name, Hex string } }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for _, f := range file.Frames {
		if strings.HasPrefix(f.Name, "client/") {
			frames = append(frames, unhex(t, f.Hex))
		}
	}
	if len(frames) == 0 {
		t.Fatal("no recorded frames")
	}
	return frames
}

// A client may disconnect in the middle of any frame.
func TestBasicTruncations(t *testing.T) {
	t.Parallel()
	for _, frame := range recordedFrames(t) {
		for n := 0; n < len(frame); n += Rounds(3, 1) {
			for _, admitted := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					srv := basicServer(t, newBasicClerk(), nil)
					stop := basicWitness(t, srv)
					p := rawDial(t, srv)
					if admitted {
						p.ask(basicInit, basicAdmitted)
					}
					p.write([]byte(frame[:n]))
					p.nc.Close()
					if err := <-p.served; (err == nil) != (n == 0) && !errors.Is(err, io.ErrUnexpectedEOF) {
						t.Errorf("%x: ServeConn: %v", frame[:n], err)
					}
					synctest.Wait()
					if n := len(srv.Sessions()); n != 1 {
						t.Errorf("%d sessions are left", n)
					}
					stop()
					srv.Close()
				})
			}
		}
	}
}

// A frame announcing one byte too few is served or refused, and the rest is read as
// the next frame.
func TestBasicShortLengths(t *testing.T) {
	withBasic(t, nil, func(p *rawPeer, _ *Server, _ *basicClerk) {
		frame := command(2, u32(1)+u32(2))
		short := u32(uint32(len(frame)-1)) + frame[4:]
		p.write([]byte(short + "\x00\x00\x00")) // the byte too many begins a size of 0
		p.wantException("ValueError", "Desk.Add, parameter 2: want 4 bytes, have 3, offset 4")
		p.wantException("ProtocolError", "Reported message size too small: 0")
		p.wantServed()
	})
}

// A length above MaxMessage is answered, and the connection is closed. A length below
// takes memory only as the bytes arrive.
func TestBasicLongLengths(t *testing.T) {
	for _, tt := range []struct {
		size   uint32
		closed bool
	}{{1<<32 - 1, true}, {1 << 31, true}, {5 + 2 + 16<<20 + 1, true}, {5 + 2 + 16<<20, false}} {
		t.Run(fmt.Sprint(tt.size), func(t *testing.T) {
			withBasic(t, nil, func(p *rawPeer, srv *Server, clerk *basicClerk) {
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				for range 10 {
					q := basicClient(t, srv)
					q.write([]byte(u32(tt.size) + "\x01"))
					if tt.closed {
						q.wantException("ValueError", fmt.Sprintf("frame too long: %d bytes, MaxMessage is 16777216", tt.size-7))
						q.wantEnd()
					}
					synctest.Wait()
					q.nc.Close()
				}
				runtime.ReadMemStats(&after)
				if grown := int64(after.TotalAlloc - before.TotalAlloc); grown > 4<<20 {
					t.Errorf("%d bytes were allocated", grown)
				}
				synctest.Wait()
				if n := srv.budget.Booked(); n != 0 {
					t.Errorf("%d bytes are still booked", n)
				}
				p.wantServed()
			})
		})
	}
}

// A frame exceeding ServerBytes is skipped and refused, and the connection continues.
func TestBasicServerBytes(t *testing.T) {
	opts := &ServerOptions{MaxMessage: 1 << 20, Limits: Limits{ServerBytes: 1 << 20}}
	withBasic(t, opts, func(p *rawPeer, srv *Server, _ *basicClerk) {
		q := basicClient(t, srv)
		big := command(26, str(strings.Repeat("b", 800<<10)))
		q.write([]byte(big[:700<<10]))
		synctest.Wait()
		p.askException(big, "RuntimeError", "unfinished messages at the server exceed Limits.ServerBytes (1048576)")
		p.wantServed()
		q.ask(big[700<<10:], u32(5+4+800<<10)+"\x01"+str(strings.Repeat("b", 800<<10)))
		p.ask(big, u32(5+4+800<<10)+"\x01"+str(strings.Repeat("b", 800<<10)))
		q.write([]byte(big[:700<<10]))
		time.Sleep(2 * safeTime) // from then on others may take its room
		p.ask(big, u32(5+4+800<<10)+"\x01"+str(strings.Repeat("b", 800<<10)))
		q.askException(big[700<<10:], "RuntimeError", "unfinished messages at the server exceed Limits.ServerBytes (1048576)")
		q.wantServed()
		q.nc.Close()
	})
}

// An unfinished frame, and a client that reads no answers, end the connection.
func TestBasicStalls(t *testing.T) {
	withBasic(t, nil, func(p *rawPeer, srv *Server, _ *basicClerk) {
		start := time.Now()
		p.write([]byte(command(2, u32(1))[:9]))
		p.wantEnd()
		if took := time.Since(start); took != 60*time.Second {
			t.Errorf("a stalled frame: closed after %v", took)
		}
		if err := <-p.served; err == nil || !strings.Contains(err.Error(), "a frame has stayed incomplete for this end's Limits.FrameTimeout (1m0s)") {
			t.Errorf("ServeConn: %v", err)
		}
		q := basicClient(t, srv)
		start = time.Now()
		q.write([]byte(command(2, u32(1)+u32(2))))
		if err := <-q.served; err == nil || !strings.Contains(err.Error(), "the peer has taken nothing for this end's Limits.WriteStall (10s)") {
			t.Errorf("ServeConn: %v", err)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("a stalled answer: closed after %v", took)
		}
	})
}

// dialed returns a connection that srv serves.
func dialed(srv *Server) net.Conn {
	near, far := net.Pipe()
	go srv.ServeConn(far)
	return near
}

// A handler called over the basic wire gets no metadata and can send none.
func TestBasicServerMetadata(t *testing.T) {
	type contract struct {
		Set func(ctx context.Context) error `bsrpc:"id=0"`
	}
	synctest.Test(t, func(t *testing.T) {
		srv := NewServer(&ServerOptions{Basic: true, Logger: quiet, Limits: Limits{PingAfter: NoLimit}})
		defer srv.Close()
		err := RegisterAs[contract](srv, "Desk", &contract{Set: func(ctx context.Context) error {
			if n := len(MetadataFrom(ctx)); n > 0 {
				t.Errorf("got %d entries", n)
			}
			return SetReplyMetadata(ctx, "a", "b")
		}})
		if err != nil {
			t.Fatal(err)
		}
		p := basicClient(t, srv)
		p.askException(command(0, ""), "RuntimeError", "bsrpc: SetReplyMetadata: the caller speaks the basic wire, which carries no metadata")
		p.nc.Close()
	})
}
