package bsrpc

// The errors of calls, for each possible end, on both wires.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// An errorService has a handler with the end chosen by a test.
type errorService struct {
	end   func(ctx context.Context) error
	began chan *Session
}

func (m *errorService) End(ctx context.Context) error {
	m.began <- SessionFrom(ctx)
	return m.end(ctx)
}

// Timed is End with a timeout= tag in the contract.
func (m *errorService) Timed(ctx context.Context) error { return m.End(ctx) }

// Put ignores its argument.
func (m *errorService) Put([]byte) {}

type mournerContract struct {
	End   func(ctx context.Context) error           `bsrpc:"id=1"`
	Timed func(ctx context.Context) error           `bsrpc:"id=2,timeout=3s"`
	Put   func(ctx context.Context, b []byte) error `bsrpc:"id=3"`
}

// asBasic makes a client's INIT that of a client which speaks the basic wire
// only.
type asBasic struct {
	net.Conn
	said bool
}

func (c *asBasic) Write(b []byte) (int, error) {
	if c.said {
		return c.Conn.Write(b)
	}
	c.said = true
	_, err := c.Conn.Write(wire.AppendBasicClientInit(nil))
	return len(b), err
}

// An errorScene is a client with a server of its own, in memory.
type errorScene struct {
	*errorService
	srv    *Server
	nc     net.Conn // the client's end
	client *Client
	proxy  *mournerContract
}

// newErrorScene connects a client to a server whose handlers are end.
func newErrorScene(t *testing.T, basic bool, end func(ctx context.Context) error) *errorScene {
	t.Helper()
	d := &errorScene{errorService: &errorService{end, make(chan *Session, 8)}}
	d.srv = NewServer(&ServerOptions{Logger: quiet, Basic: basic})
	if err := RegisterAs[mournerContract](d.srv, "Desk", d.errorService); err != nil {
		t.Fatal(err)
	}
	var far net.Conn
	d.nc, far = net.Pipe()
	go d.srv.ServeConn(far)
	nc := d.nc
	if basic {
		nc = &asBasic{Conn: nc}
	}
	var err error
	if d.client, err = NewClient(t.Context(), nc, &ClientOptions{Logger: quiet, Basic: basic}); err != nil {
		t.Fatal(err)
	}
	if d.proxy, err = Bind[mournerContract](t.Context(), d.client, "Desk"); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *errorScene) close() {
	d.client.Close()
	d.srv.Close()
}

// during makes a call, and does something while its handler runs.
func (d *errorScene) during(ctx context.Context, do func()) error {
	ended := make(chan error)
	go func() { ended <- d.proxy.End(ctx) }()
	<-d.began
	do()
	return <-ended
}

// untilDone is a handler that waits for its context.
func untilDone(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// A callError is the error of a failed call as seen by its caller. A text may end in * for
// any rest.
type callError struct {
	text    string
	code    Code
	outcome Outcome
	remote  bool
	is      error // the only one of causes matched by errors.Is
}

// causes are errors that errors.Is must match only if a callError contains them.
var causes = []error{context.Canceled, context.DeadlineExceeded, ErrClosed, ErrServerClosed, io.EOF}

// check compares an error with a callError.
func (want callError) check(t *testing.T, err error) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Errorf("got %v, want an *Error", err)
		return
	}
	text, open := strings.CutSuffix(want.text, "*")
	if e.Error() != text && !(open && strings.HasPrefix(e.Error(), text)) {
		t.Errorf("got  %q\nwant %q", e.Error(), want.text)
	}
	if e.Code != want.code || e.Outcome != want.outcome || e.Remote != want.remote {
		t.Errorf("%q: got %v, %v, remote %v; want %v, %v, %v", e.Error(), e.Code, e.Outcome, e.Remote, want.code, want.outcome, want.remote)
	}
	for _, cause := range causes {
		if errors.Is(err, cause) != (cause == want.is) {
			t.Errorf("%q: errors.Is(err, %v) is %v", e.Error(), cause, cause != want.is)
		}
	}
}

// own returns a handler's error with a code and a name.
func own(text string) error { return &Error{Code: CodeNotFound, Name: "NoStock", Message: text} }

// fails returns a handler that returns err.
func fails(err error) func(context.Context) error {
	return func(context.Context) error { return err }
}

// endings are the possible ends of a call.
var endings = []struct {
	name  string
	end   func(ctx context.Context) error // the handler; nil is untilDone
	call  func(ctx context.Context, d *errorScene) error
	want  callError
	basic *callError // on the basic wire, if different
}{
	{
		name: "cancelled before",
		call: func(ctx context.Context, d *errorScene) error {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return d.proxy.End(ctx)
		},
		want: callError{"bsrpc: Desk.End: context canceled", CodeCanceled, OutcomeNotRun, false, context.Canceled},
	}, {
		name: "cancelled",
		call: func(ctx context.Context, d *errorScene) error {
			ctx, cancel := context.WithCancel(ctx)
			return d.during(ctx, cancel)
		},
		want: callError{"bsrpc: Desk.End: context canceled", CodeCanceled, OutcomeUnknown, false, context.Canceled},
	}, {
		name: "the context's time is over before",
		call: func(ctx context.Context, d *errorScene) error {
			ctx, cancel := context.WithTimeout(ctx, -1)
			defer cancel()
			return d.proxy.End(ctx)
		},
		want: callError{"bsrpc: Desk.End: context deadline exceeded", CodeDeadlineExceeded, OutcomeNotRun, false, context.DeadlineExceeded},
	}, {
		name: "the context's time is over",
		call: func(ctx context.Context, d *errorScene) error {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			return withoutOutcome(d.proxy.End(ctx))
		},
		want: callError{"bsrpc: Desk.End: context deadline exceeded", CodeDeadlineExceeded, OutcomeUnknown, false, context.DeadlineExceeded},
	}, {
		name: "timeout=",
		call: func(ctx context.Context, d *errorScene) error { return withoutOutcome(d.proxy.Timed(ctx)) },
		want: callError{"bsrpc: Desk.Timed: no answer in 3s (timeout= of the method); *", CodeDeadlineExceeded, OutcomeUnknown, false, context.DeadlineExceeded},
	}, {
		name: "DefaultCallTimeout",
		call: func(ctx context.Context, d *errorScene) error { return withoutOutcome(d.proxy.End(ctx)) },
		want: callError{"bsrpc: Desk.End: no answer in 20s (DefaultCallTimeout); *", CodeDeadlineExceeded, OutcomeUnknown, false, context.DeadlineExceeded},
	}, {
		name:  "the handler returns context.Canceled",
		end:   fails(context.Canceled),
		want:  callError{"context canceled", CodeCanceled, OutcomeAnswered, true, nil},
		basic: &callError{"context canceled", CodeUnknown, OutcomeAnswered, true, nil},
	}, {
		name:  "the handler has a shorter time of its own",
		end:   func(ctx context.Context) error { return sleepAtMost(ctx, time.Second) },
		want:  callError{"its own: context deadline exceeded", CodeDeadlineExceeded, OutcomeAnswered, true, nil},
		basic: &callError{"its own: context deadline exceeded", CodeUnknown, OutcomeAnswered, true, nil},
	}, {
		name:  "the handler's own error",
		end:   fails(own("sold out")),
		want:  callError{"sold out", CodeNotFound, OutcomeAnswered, true, nil},
		basic: &callError{"sold out", CodeUnknown, OutcomeAnswered, true, nil},
	}, {
		name:  "the handler's own error, wrapped",
		end:   fails(fmt.Errorf("order 7: %w", own("sold out"))),
		want:  callError{"order 7: sold out", CodeNotFound, OutcomeAnswered, true, nil},
		basic: &callError{"order 7: sold out", CodeUnknown, OutcomeAnswered, true, nil},
	}, {
		name:  "the handler's own error among others",
		end:   fails(errors.Join(errors.New("first"), own("sold out"))),
		want:  callError{"first\nsold out", CodeNotFound, OutcomeAnswered, true, nil},
		basic: &callError{"first\nsold out", CodeUnknown, OutcomeAnswered, true, nil},
	}, {
		name:  "the handler's own error without a text",
		end:   fails(&Error{Code: CodeAborted}),
		want:  callError{"aborted", CodeAborted, OutcomeAnswered, true, nil},
		basic: &callError{"unknown", CodeUnknown, OutcomeAnswered, true, nil},
	}, {
		name:  "the handler's own internal error",
		end:   fails(&Error{Code: CodeInternal, Message: "torn page"}),
		want:  callError{"torn page", CodeInternal, OutcomeAnswered, true, nil},
		basic: &callError{"torn page", CodeUnknown, OutcomeAnswered, true, nil},
	}, {
		name:  "the handler panics",
		end:   func(context.Context) error { panic("secret") },
		want:  callError{"bsrpc: Desk.End: panic in the handler (id *", CodeInternal, OutcomeAnswered, true, nil},
		basic: &callError{"panic in the handler (id *", CodeUnknown, OutcomeAnswered, true, nil},
	}, {
		name: "this end closes",
		call: func(ctx context.Context, d *errorScene) error { return d.during(ctx, func() { d.client.Close() }) },
		want: callError{"bsrpc: Desk.End: client closed", CodeCanceled, OutcomeUnknown, false, ErrClosed},
	}, {
		name: "this end has closed",
		call: func(ctx context.Context, d *errorScene) error { d.client.Close(); return d.proxy.End(ctx) },
		want: callError{"bsrpc: Desk.End: client closed", CodeCanceled, OutcomeNotRun, false, ErrClosed},
	}, {
		name: "the server closes",
		call: func(ctx context.Context, d *errorScene) error { return d.during(ctx, func() { d.srv.Close() }) },
		want: callError{"bsrpc: Desk.End: connection lost: *", CodeUnavailable, OutcomeUnknown, false, nil},
	}, {
		name: "the server closes the session",
		call: func(ctx context.Context, d *errorScene) error {
			ended := make(chan error)
			go func() { ended <- d.proxy.End(ctx) }()
			(<-d.began).Close("maintenance at noon")
			return <-ended
		},
		want:  callError{"maintenance at noon", CodeAborted, OutcomeUnknown, true, nil},
		basic: &callError{"maintenance at noon", CodeUnavailable, OutcomeAnswered, true, nil},
	}, {
		name: "the server has shut down",
		call: func(ctx context.Context, d *errorScene) error {
			go d.srv.Shutdown(ctx)
			time.Sleep(time.Second) // until it is read
			return d.proxy.End(ctx)
		},
		want:  callError{"bsrpc: Desk.End: the server is shutting down", CodeUnavailable, OutcomeNotRun, true, nil},
		basic: &callError{"bsrpc: Desk.End: connection lost: *", CodeUnavailable, OutcomeNotRun, false, nil},
	}, {
		name: "the argument is too long",
		call: func(ctx context.Context, d *errorScene) error { return d.proxy.Put(ctx, make([]byte, 17<<20)) },
		want: callError{"bsrpc: Desk.Put, parameter 1*", CodeResourceExhausted, OutcomeNotRun, false, nil},
	}, {
		name: "lost, and then closed",
		call: func(ctx context.Context, d *errorScene) error {
			d.nc.Close()
			time.Sleep(time.Second) // until it is read
			d.client.Close()
			return d.proxy.End(ctx)
		},
		want: callError{"bsrpc: Desk.End: client closed; before that: connection lost: *", CodeCanceled, OutcomeNotRun, false, ErrClosed},
	}, {
		name: "the connection is lost",
		call: func(ctx context.Context, d *errorScene) error { return d.during(ctx, func() { d.nc.Close() }) },
		want: callError{"bsrpc: Desk.End: connection lost: *", CodeUnavailable, OutcomeUnknown, false, nil},
	},
}

// sleepAtMost waits for a handler's context with a time limit of its own.
func sleepAtMost(ctx context.Context, d time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-ctx.Done()
	return fmt.Errorf("its own: %w", ctx.Err())
}

// withoutOutcome returns the error of a call whose time ends at both ends at the same
// moment: the order decides its outcome.
func withoutOutcome(err error) error {
	var e *Error
	if errors.As(err, &e) && e.Outcome == OutcomeAnswered {
		e.Outcome = OutcomeUnknown
	}
	return err
}

// Each ending has one code, outcome and text. errors.Is matches only errors caused by
// this caller.
func TestHowCallsEnd(t *testing.T) {
	for _, tt := range endings {
		for _, basic := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, basic %v", tt.name, basic), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					end, call, want := tt.end, tt.call, tt.want
					if end == nil {
						end = untilDone
					}
					if call == nil {
						call = func(ctx context.Context, d *errorScene) error { return d.proxy.End(ctx) }
					}
					if basic && tt.basic != nil {
						want = *tt.basic
					}
					d := newErrorScene(t, basic, end)
					defer d.close()
					want.check(t, call(context.Background(), d))
				})
			})
		}
	}
}

// A call by name ends like a call through a proxy.
func TestHowCallsByNameEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newErrorScene(t, false, untilDone)
		defer d.close()
		callError{"bsrpc: Desk.End: no answer in 20s (DefaultCallTimeout); *", CodeDeadlineExceeded, OutcomeUnknown, false, context.DeadlineExceeded}.
			check(t, withoutOutcome(d.client.Call(t.Context(), "Desk.End", nil)))
		d.client.Close()
		callError{"bsrpc: Desk.End: client closed", CodeCanceled, OutcomeNotRun, false, ErrClosed}.check(t, d.client.Call(t.Context(), "Desk.End", nil))
		callError{"bsrpc: Desk.Timed: client closed", CodeCanceled, OutcomeNotRun, false, ErrClosed}.check(t, d.client.Call(t.Context(), "Desk.Timed", nil))
		_, err := Bind[mournerContract](t.Context(), d.client, "Desk")
		callError{"bsrpc: bind Desk: client closed", CodeCanceled, OutcomeNotRun, false, ErrClosed}.check(t, err)
	})
}

// hops are errors from another server, and the resulting errors at the caller of the
// handler.
var hops = []struct {
	name string
	far  func(ctx context.Context) error // the further server's handler
	call func(ctx context.Context, d *errorScene) error
	want callError
}{
	{"its own error", fails(own("sold out")), nil, callError{"sold out", CodeNotFound, OutcomeAnswered, true, nil}},
	{
		"a panic", func(context.Context) error { panic("secret") }, nil,
		callError{"bsrpc: Desk.End: panic in the handler (id *", CodeInternal, OutcomeAnswered, true, nil},
	}, {
		"no answer in time", untilDone, func(ctx context.Context, d *errorScene) error { return d.proxy.Timed(context.WithoutCancel(ctx)) },
		callError{"bsrpc: Desk.Timed: no answer in 3s (timeout= of the method); *", CodeDeadlineExceeded, OutcomeAnswered, true, nil},
	}, {
		"its client is closed", untilDone, func(ctx context.Context, d *errorScene) error { d.client.Close(); return d.proxy.End(ctx) },
		callError{"bsrpc: Desk.End: client closed", CodeCanceled, OutcomeAnswered, true, nil},
	}, {
		"its connection is lost", untilDone,
		func(ctx context.Context, d *errorScene) error { return d.during(ctx, func() { d.nc.Close() }) },
		callError{"bsrpc: Desk.End: connection lost: *", CodeUnavailable, OutcomeAnswered, true, nil},
	}, {
		"wrapped", fails(own("sold out")),
		func(ctx context.Context, d *errorScene) error { return fmt.Errorf("warehouse: %w", d.proxy.End(ctx)) },
		callError{"warehouse: sold out", CodeNotFound, OutcomeAnswered, true, nil},
	},
}

// A handler that returns the error of another server passes on its code, name and
// text. The other fields are those of its own call.
func TestErrorsThroughTwoServers(t *testing.T) {
	for _, tt := range hops {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				far := newErrorScene(t, false, tt.far)
				defer far.close()
				near := newErrorScene(t, false, func(ctx context.Context) error {
					if tt.call == nil {
						return far.proxy.End(ctx)
					}
					return tt.call(ctx, far)
				})
				defer near.close()
				err := near.proxy.End(t.Context())
				tt.want.check(t, err)
				var e *Error
				if errors.As(err, &e); e.ID != "" || strings.Count(e.Error(), "(id ") > 1 {
					t.Errorf("got %q with id %q: a line that is not in this server's log", e.Error(), e.ID)
				}
				if e.Code == CodeNotFound && e.Name != "NoStock" {
					t.Errorf("the name is %q", e.Name)
				}
			})
		})
	}
}

// The end of a connection is one shared error, and each call adds its own method to a
// copy.
func TestNamedErrorsAreCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newErrorScene(t, false, untilDone)
		defer d.close()
		d.nc.Close()
		synctest.Wait()
		for range 2 {
			for what, call := range map[string]func(context.Context) error{"Desk.End": d.proxy.End, "Desk.Timed": d.proxy.Timed} {
				if err := call(t.Context()); strings.Count(err.Error(), "Desk.") != 1 || !strings.HasPrefix(err.Error(), "bsrpc: "+what+": connection lost") {
					t.Errorf("%s: %v", what, err)
				}
			}
		}
		if err := d.client.Err(); !strings.HasPrefix(err.Error(), "bsrpc: connection lost") {
			t.Error(err)
		}
	})
}

// An ERROR frame with code 4 or 1, for a caller whose own time is not over and who has
// not cancelled.
func TestAnswersOfTimeThatIsOver(t *testing.T) {
	for _, tt := range []struct {
		name  string
		limit time.Duration // of the call; 0: none
		flags wire.Flags
		code  Code
		text  string
		want  callError
	}{
		{"EXPIRED", time.Hour, wire.Expired, CodeDeadlineExceeded, "mine", callError{"bsrpc: Probe.Add: context deadline exceeded", CodeDeadlineExceeded, OutcomeAnswered, false, context.DeadlineExceeded}},
		{"EXPIRED, not run", time.Hour, wire.Expired | wire.NotRun, CodeDeadlineExceeded, "bsrpc: no turn", callError{"bsrpc: Probe.Add: no turn", CodeDeadlineExceeded, OutcomeNotRun, false, context.DeadlineExceeded}},
		{"without EXPIRED", time.Hour, 0, CodeDeadlineExceeded, "mine", callError{"mine", CodeDeadlineExceeded, OutcomeAnswered, true, nil}},
		{"EXPIRED with another code", time.Hour, wire.Expired, CodeAborted, "mine", callError{"mine", CodeAborted, OutcomeAnswered, true, nil}},
		{"EXPIRED, and the call has no time", 0, wire.Expired, CodeDeadlineExceeded, "mine", callError{"mine", CodeDeadlineExceeded, OutcomeAnswered, true, nil}},
		{"canceled", time.Hour, 0, CodeCanceled, "mine", callError{"mine", CodeCanceled, OutcomeAnswered, true, nil}},
		{"canceled, not run", 0, wire.NotRun, CodeCanceled, "bsrpc: left", callError{"bsrpc: Probe.Add: left", CodeCanceled, OutcomeNotRun, true, nil}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, proxy, p := rawServer(t, &ClientOptions{DefaultCallTimeout: NoLimit})
				ctx := context.Background()
				if tt.limit > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.limit)
					defer cancel()
				}
				ended := make(chan error)
				go func() {
					_, err := proxy.Add(ctx, 1, 2)
					ended <- err
				}()
				f, _ := p.read()
				p.nc.Write(frameBytes(wire.Frame{Type: wire.Error, Flags: tt.flags, Arg: uint16(tt.code), ID: f.ID}, failureBody(tt.text)))
				tt.want.check(t, <-ended)
				client.Close()
				p.nc.Close()
			})
		})
	}
}

// At the server, the flag EXPIRED is set only for the deadline of the call itself.
func TestExpiredAtTheServer(t *testing.T) {
	for _, tt := range []struct {
		name  string
		end   func(ctx context.Context) error
		flags wire.Flags
	}{
		{"until the time is over", untilDone, wire.Expired},
		{"by a time of its own", func(ctx context.Context) error { return sleepAtMost(ctx, time.Second) }, 0},
		{"by a time of its own that is longer", func(ctx context.Context) error { return sleepAtMost(ctx, time.Minute) }, wire.Expired},
		{"at once", fails(context.DeadlineExceeded), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newErrorScene(t, false, tt.end)
				defer d.close()
				p := rawDial(t, d.srv)
				defer p.nc.Close()
				p.write(wire.AppendClientInit(nil, &wire.Hello{Version: 1}))
				p.readBasic()
				p.send(wire.Frame{Type: wire.Bind, Flags: wire.Describe, ID: 1}, (&wire.BindRequest{Service: "Desk", Names: []string{"End"}}).Append(nil))
				p.wantAnswer(1)
				p.send(wire.Frame{Type: wire.Request, ID: 2, Timeout: 5_000_000}, nil)
				f, _ := p.read()
				if f.Type != wire.Error || f.Flags != tt.flags || Code(f.Arg) != CodeDeadlineExceeded {
					t.Errorf("got %v, flags %x, code %v; want flags %x", f.Type, f.Flags, Code(f.Arg), tt.flags)
				}
			})
		})
	}
}

func failureBody(text string) []byte {
	failure := wire.Failure{Message: text}
	return failure.Append(nil)
}

// The table of codes in docs/errors.md has each code under its number, with its words.
func TestCodesInTheDocuments(t *testing.T) {
	page, err := os.ReadFile("docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `Code([A-Za-z]+)` \\| ([0-9]+) \\| ([A-Z_]+) \\| [1-5][0-9]{2} \\|").FindAllStringSubmatch(string(page), -1)
	if len(rows) != int(CodeUnauthenticated) {
		t.Errorf("%d rows, want %d", len(rows), CodeUnauthenticated)
	}
	for i, row := range rows {
		words := Code(i + 1).String()
		grpc := strings.ToLower(strings.ReplaceAll(row[3], "_", " "))
		if grpc == "cancelled" {
			grpc = "canceled"
		}
		if row[2] != strconv.Itoa(i+1) || !strings.EqualFold(row[1], strings.ReplaceAll(words, " ", "")) || grpc != words {
			t.Errorf("%q: want %q as row %d", row[0], words, i+1)
		}
	}
}

// CodeOf is the code that the caller of a handler's error gets.
func TestCodeOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var end error
		d := newErrorScene(t, false, func(context.Context) error { return end })
		defer d.close()
		for _, tt := range []struct {
			err  error
			want Code
		}{
			{nil, CodeOK},
			{errors.New("plain"), CodeUnknown},
			{&Error{Code: CodeNotFound}, CodeNotFound},
			{fmt.Errorf("wrapped: %w", &Error{Code: CodeAborted}), CodeAborted},
			{&Error{Message: "no code"}, CodeUnknown},
			{&Error{Code: 99}, 99},
			{context.DeadlineExceeded, CodeDeadlineExceeded},
			{fmt.Errorf("wrapped: %w", context.Canceled), CodeCanceled},
			{&Error{Code: CodeInternal, Err: context.Canceled}, CodeInternal},
		} {
			end = tt.err
			if got, atCaller := CodeOf(tt.err), CodeOf(d.proxy.End(t.Context())); got != tt.want || atCaller != got {
				t.Errorf("%v: got %v, want %v, and %v at the caller", tt.err, got, tt.want, atCaller)
			}
			<-d.began
		}
	})
}
