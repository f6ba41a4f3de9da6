package bsrpc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/transport"
)

// A collapse is a way in which a handler does not return.
type collapse struct {
	name  string
	do    func()
	panic string // the value in the log
}

// The panic value of a handler must appear only in the log.
const secret = "hunter2"

var collapses = []collapse{
	{"a string", func() { panic(secret) }, secret},
	{"nil", func() { panic(nil) }, "panic called with nil argument"},
	{"an error", func() { panic(errors.New(secret)) }, secret},
	{"an *Error", func() { panic(&Error{Code: CodeNotFound, Message: secret}) }, secret},
	{"a value", func() { panic(struct{ Password string }{secret}) }, secret},
	{"a value that cannot be printed", func() { panic(unprintable{}) }, ""},
	{"a nil map", func() { maps.Copy(map[string]int(nil), map[string]int{secret: 1}) }, "assignment to entry in nil map"},
	{"a nil pointer", func() { var p *collapse; _ = p.name }, "nil pointer dereference"},
	{"an index", func() { _ = []int{}[len(secret)] }, "index out of range [7]"},
	{"Goexit", runtime.Goexit, "runtime.Goexit"},
	{"Goexit in a deferred func", func() { defer runtime.Goexit(); panic(secret) }, "runtime.Goexit"},
	{"a panic in a deferred func", func() { defer func() { panic(secret) }(); panic("first") }, secret},
}

type unprintable struct{}

func (unprintable) Error() string { panic(secret) }

// fragile collapses at the requested place, after some time.
type fragile struct {
	collapse func()
	after    time.Duration
}

func (f *fragile) Fall(context.Context, []byte) (string, error) {
	time.Sleep(f.after)
	f.collapse()
	return secret, nil
}

func (f *fragile) Plain() {
	time.Sleep(f.after)
	f.collapse()
}

func (f *fragile) Add(a, b uint32) uint32 { return a + b }

// Hold returns when its caller asks for it.
func (f *fragile) Hold(ctx context.Context) error {
	<-ctx.Done()
	return errors.New("held until then")
}

type fragileContract struct {
	Fall  func(context.Context, []byte) (string, error)
	Plain func(context.Context) error
	Add   func(context.Context, uint32, uint32) (uint32, error)
	Hold  func(context.Context) error
}

// Paths of a handler: its time before it collapses, and the size of its argument.
var scenes = []struct {
	name  string
	after time.Duration
	size  int
	slow  bool // the watchdog has replaced the leader
}{
	{"on the leader", 0, 1, false},
	{"on a replaced leader", 5 * time.Millisecond, 1, true},
	{"on a goroutine of its own", 0, minOwnGoroutine, false},
	{"long, on a goroutine of its own", 5 * time.Millisecond, minOwnGoroutine, false},
}

// The collapse of a handler fails its call, and has no other effect.
func TestPanicFailsOneCall(t *testing.T) {
	t.Parallel()
	for _, scene := range scenes {
		for _, c := range collapses {
			t.Run(scene.name+", "+c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newStage(t, &fragile{c.do, scene.after})
					_, err := s.proxy.Fall(t.Context(), make([]byte, scene.size))
					s.checkFall(t, err, c.panic, "Stage.Fall")
					if slow := s.srv.registry.find("Stage.Fall").slow.Load() > 0; slow != scene.slow {
						t.Errorf("the leader was replaced: %v, want %v", slow, scene.slow)
					}
					s.checkFall(t, s.proxy.Plain(t.Context()), c.panic, "Stage.Plain")
					s.close(t)
				})
			})
		}
	}
}

// A stage is a fragile service with two clients, of whom one has a call open
// all the time.
type stage struct {
	srv     *Server
	log     syncBuffer
	wire    *tap
	client  *Client
	proxy   *fragileContract
	other   *Client
	witness *fragileContract
	release context.CancelFunc
	held    chan error
	falls   uint64
}

func newStage(t *testing.T, service any) *stage {
	t.Helper()
	s := &stage{held: make(chan error, 1)}
	s.srv = NewServer(&ServerOptions{Logger: slog.New(slog.NewJSONHandler(&s.log, nil))})
	if err := s.srv.RegisterName("Stage", service); err != nil {
		t.Fatal(err)
	}
	s.client, s.proxy, s.wire = s.join(t)
	s.other, s.witness, _ = s.join(t)
	ctx, release := context.WithCancel(t.Context())
	s.release = release
	go func() { s.held <- s.proxy.Hold(ctx) }()
	time.Sleep(10 * transport.WatchdogPeriod) // its handler has a goroutine of its own now
	return s
}

func (s *stage) join(t *testing.T) (*Client, *fragileContract, *tap) {
	t.Helper()
	near, far := net.Pipe()
	go s.srv.ServeConn(far)
	wire := &tap{Conn: near}
	client, err := NewClient(t.Context(), wire, &ClientOptions{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := Bind[fragileContract](t.Context(), client, "Stage")
	if err != nil {
		t.Fatal(err)
	}
	return client, proxy, wire
}

// A tap records the bytes read from a connection.
type tap struct {
	net.Conn
	read syncBuffer
}

func (t *tap) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.read.Write(p[:n])
	return n, err
}

// A syncBuffer is safe for concurrent use.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// take returns the bytes written since the last call.
func (b *syncBuffer) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.buf.Reset()
	return b.buf.String()
}

// checkFall checks the error of a call with a collapsed handler, the bytes on the
// wire, the log, and that everything else works.
func (s *stage) checkFall(t *testing.T, err error, what, method string) {
	t.Helper()
	s.falls++
	var e *Error
	if !errors.As(err, &e) {
		t.Errorf("got %v, want an *Error", err)
		return
	}
	want := Error{Code: CodeInternal, Message: "bsrpc: " + method + ": panic in the handler", ID: e.ID, Outcome: OutcomeAnswered, Remote: true}
	if *e != want || e.Error() != fmt.Sprintf("bsrpc: %s: panic in the handler (id %s in the server's log)", method, e.ID) {
		t.Errorf("got %+v, %q", *e, e)
	}
	read := s.wire.read.take()
	for _, not := range []string{secret, "goroutine", ".go", "runtime", "first"} {
		if strings.Contains(read, not) {
			t.Errorf("%q went over the wire", not)
		}
	}
	s.checkLog(t, e.ID, what, method)
	if n := s.srv.Panics(); n != s.falls {
		t.Errorf("Panics: %d, want %d", n, s.falls)
	}
	s.checkOthers(t)
}

// checkLog checks the one line in the log.
func (s *stage) checkLog(t *testing.T, id, what, method string) {
	t.Helper()
	var line struct{ Level, Msg, Method, ID, Stack string }
	text := s.log.take()
	if err := json.Unmarshal([]byte(text), &line); err != nil {
		t.Errorf("logged was %q: %v", text, err)
		return
	}
	if line.Level != "ERROR" || line.Msg != "bsrpc: handler panicked" || line.Method != method || len(id) != 16 || line.ID != id {
		t.Errorf("the error's id is %q, logged was %q", id, text)
	}
	if !strings.Contains(text, what) || !strings.Contains(line.Stack, "panic_test.go:") {
		t.Errorf("%q, or the stack, is not in the log: %q", what, text)
	}
}

// checkOthers calls on the same connection and on another.
func (s *stage) checkOthers(t *testing.T) {
	t.Helper()
	for _, p := range []*fragileContract{s.proxy, s.witness} {
		if sum, err := p.Add(t.Context(), 1, 2); sum != 3 || err != nil {
			t.Errorf("another call: %d, %v", sum, err)
		}
	}
	select {
	case err := <-s.held:
		t.Errorf("the call that was open has ended: %v", err)
	default:
	}
}

func (s *stage) close(t *testing.T) {
	t.Helper()
	s.release()
	wantCall(t, <-s.held, CodeCanceled, OutcomeUnknown, "canceled")
	checkEmpty(t, s.client.native.Conn)
	checkEmpty(t, s.other.native.Conn)
	for _, c := range connOf(t, s.srv, 2) {
		checkEmpty(t, c)
	}
	s.client.Close()
	s.other.Close()
	s.srv.Close()
	checkBooked(t, s.srv)
}

// With GODEBUG=panicnil=1, recover returns nil for panic(nil). It is still a failed
// call.
func TestPanicNil(t *testing.T) {
	t.Setenv("GODEBUG", "panicnil=1")
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, &fragile{func() { panic(nil) }, 0})
		_, err := s.proxy.Fall(t.Context(), nil)
		s.checkFall(t, err, "", "Stage.Fall")
		s.close(t)
	})
}

// explosive collapses in methods called by the library.
type explosive struct{ At string }

func (e explosive) MarshalBinary() ([]byte, error) {
	if e.At == "marshal" {
		panic(secret)
	}
	return []byte(e.At), nil
}

func (e *explosive) UnmarshalBinary(data []byte) error {
	if e.At = string(data); e.At == "unmarshal" {
		panic(secret)
	}
	return nil
}

// mute is an error that collapses in Error, as a nil pointer of an error type often
// does.
type mute struct{ text string }

func (m *mute) Error() string { return m.text }

// misnamed collapses in ExceptionName.
type misnamed struct{ error }

func (misnamed) ExceptionName() string { panic(secret) }

// unwrapped collapses in Unwrap.
type unwrapped struct{ error }

func (unwrapped) Unwrap() error { panic(secret) }

// bomber is a service whose handlers return values that collapse later.
type bomber struct{ fragile }

func (*bomber) Put(explosive) {}
func (b *bomber) Get(at string, us uint32) explosive {
	time.Sleep(time.Duration(us) * time.Microsecond)
	return explosive{at}
}

func (b *bomber) Err(which int, us uint32) error {
	time.Sleep(time.Duration(us) * time.Microsecond)
	return []error{(*mute)(nil), unprintable{}, misnamed{errors.New("a")}, unwrapped{errors.New("b")}, &Error{Code: CodeAborted, Err: nil}}[which]
}

type bomberContract struct {
	Put func(context.Context, explosive) error
	Get func(context.Context, string, uint32) (explosive, error)
	Err func(context.Context, int, uint32) error
}

// The same for user code before and after the handler: the methods of its arguments,
// results and error.
func TestPanicAroundHandler(t *testing.T) {
	for _, us := range []uint32{0, 5000} {
		for _, test := range []struct {
			name   string
			method string
			call   func(ctx context.Context, p *bomberContract) error
			panic  string
		}{
			{"argument", "Stage.Put", func(ctx context.Context, p *bomberContract) error { return p.Put(ctx, explosive{"unmarshal"}) }, secret},
			{"result", "Stage.Get", func(ctx context.Context, p *bomberContract) error { _, err := p.Get(ctx, "marshal", us); return err }, secret},
			{"nil in an error", "Stage.Err", func(ctx context.Context, p *bomberContract) error { return p.Err(ctx, 0, us) }, "nil pointer dereference"},
			{"text of an error", "Stage.Err", func(ctx context.Context, p *bomberContract) error { return p.Err(ctx, 1, us) }, secret},
			{"name of an error", "Stage.Err", func(ctx context.Context, p *bomberContract) error { return p.Err(ctx, 2, us) }, secret},
			{"cause of an error", "Stage.Err", func(ctx context.Context, p *bomberContract) error { return p.Err(ctx, 3, us) }, secret},
		} {
			t.Run(fmt.Sprint(test.name, ", ", us, " µs"), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newStage(t, new(bomber))
					proxy, err := Bind[bomberContract](t.Context(), s.client, "Stage")
					if err != nil {
						t.Fatal(err)
					}
					s.checkFall(t, test.call(t.Context(), proxy), test.panic, test.method)
					s.close(t)
				})
			})
		}
	}
}

// brittle has streams that collapse after an item, or after a byte.
type brittle struct{ fragile }

func (b *brittle) Items() iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		if yield(7, nil) {
			b.collapse()
		}
	}
}

func (b *brittle) Open() io.ReadCloser {
	first := true
	return io.NopCloser(readFunc(func(p []byte) (int, error) {
		if !first {
			b.collapse()
		}
		first, p[0] = false, 7
		return 1, nil
	}))
}

// The same for the streams of a handler, which run after it has returned.
func TestPanicInAStream(t *testing.T) {
	for _, c := range collapses {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, &brittle{fragile{collapse: c.do}})
				p, err := Bind[struct {
					Items func(context.Context) iter.Seq2[int, error]
					Open  func(context.Context) (io.ReadCloser, error)
				}](t.Context(), s.client, "Stage")
				if err != nil {
					t.Fatal(err)
				}
				n := 0
				for item, err := range p.Items(t.Context()) {
					if n++; n == 1 {
						if item != 7 || err != nil {
							t.Errorf("the first item: %d, %v", item, err)
						}
						continue
					}
					s.checkFall(t, err, c.panic, "Stage.Items")
				}
				r, err := p.Open(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(r)
				if n != 2 || string(got) != "\x07" {
					t.Errorf("%d items, %q", n, got)
				}
				s.checkFall(t, err, c.panic, "Stage.Open")
				s.close(t)
			})
		})
	}
}
