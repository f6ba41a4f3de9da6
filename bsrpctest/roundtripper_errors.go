package bsrpctest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/bsrpc/bsrpc"
)

// The checks of calls that fail: by their handlers, by the server, and by contracts that differ.

// errProbeEmpty and a *probeLimit are known at both ends by their keys in checkedErrors.
var errProbeEmpty = errors.New("nothing left")

type probeLimit struct{ Most int }

func (e *probeLimit) Error() string { return fmt.Sprint("at most ", e.Most) }

var checkedErrors = map[string]error{"bsrpctest.empty": errProbeEmpty, "bsrpctest.limit": (*probeLimit)(nil)}

// checkErrors: the error of a handler arrives with code, name, text, identity and outcome. Some
// have codes that transports use themselves: a handler may choose them all the same. It finds
// transports that map errors to statuses of their own and back, and those that send the text
// only. What the handler says of a deadline is not the deadline of the call.
func checkErrors(x *trial) {
	long := strings.Repeat("long ", 500)
	sent := []error{
		fmt.Errorf("wrapped:\r\n%w", errProbeEmpty), &probeLimit{7}, fs.ErrNotExist, errors.New("ü\t" + long), errors.New(""),
		&bsrpc.Error{Code: bsrpc.CodeUnavailable, Message: "not the transport"},
		&bsrpc.Error{Code: bsrpc.CodeDeadlineExceeded, Message: "not the call"},
		&bsrpc.Error{Code: 1000, Name: "Jam, \"paper\"", Message: "chosen"},
	}
	for code := bsrpc.CodeCanceled; code <= bsrpc.CodeUnauthenticated; code++ {
		sent = append(sent, &bsrpc.Error{Code: code, Message: "chosen"})
	}
	// The handler returns the error with a number, so that all of them need one method.
	type contract struct {
		Fail func(ctx context.Context, i int) error
	}
	p := pair(x, &contract{func(_ context.Context, i int) error { return sent[i] }})
	for i, s := range sent {
		err := p.Fail(x.ctx, i)
		// The code of an error without one is CodeUnknown, and its text is what Error returns.
		want := bsrpc.Error{Code: bsrpc.CodeOf(s), Message: s.Error()}
		if e, ok := s.(*bsrpc.Error); ok {
			want.Name, want.Message = e.Name, e.Message
		}
		// An error of a type arrives with its fields, and one of a variable is that variable.
		switch e := x.failedAs(fmt.Sprintf("the handler's error %.40q", s), err, want.Code, bsrpc.OutcomeAnswered); {
		case e.Message != want.Message || want.Name != "" && e.Name != want.Name || !e.Remote:
			x.wrong("got the error %.60q, name %q, want %.60q, %q", e.Message, e.Name, want.Message, want.Name)
		case i == 0 && !errors.Is(err, errProbeEmpty), i == 2 && !errors.Is(err, fs.ErrNotExist):
			x.wrong("the error %q has lost its identity: errors.Is does not find it", err)
		}
		var l *probeLimit
		if i == 1 && (!errors.As(err, &l) || l.Most != 7) {
			x.wrong("the error %q has lost its identity: errors.As does not find it with its fields", err)
		}
	}
}

// checkPanics: a handler that panics is an error of its call only. The id leads from the error
// at the caller to the line in the log of the server.
func checkPanics(x *trial) {
	p := pair(x, &echo{func(_ context.Context, b []byte) ([]byte, error) {
		if len(b) == 0 {
			panic("secret")
		}
		return b, nil
	}})
	_, err := p.Echo(x.ctx, nil)
	e := x.failedAs("a handler that panics", err, bsrpc.CodeInternal, bsrpc.OutcomeAnswered)
	if e.ID == "" || strings.Contains(fmt.Sprint(err), "secret") {
		x.wrong("a handler that panics: got %q with the id %q, want the id of the line in the log, and nothing else of it", err, e.ID)
	}
	// The server goes on.
	if got, err := p.Echo(x.ctx, []byte("a")); string(got) != "a" || err != nil {
		x.wrong("the call after a panic: got %q, %v", got, err)
	}
}

// checkRefusals: what the server refuses has not run, and the caller knows it. It finds
// transports that keep the outcome for errors of their own. The caller may send such a call
// again, whatever the method does.
func checkRefusals(x *trial) {
	x.server.Authorize = func(context.Context, *bsrpc.Session, bsrpc.Method) error {
		return &bsrpc.Error{Code: bsrpc.CodePermissionDenied, Message: "not today"}
	}
	_, client := serve(x, newEcho())
	_, err := bind[echo](x, client).Echo(x.ctx, nil)
	if e := x.failedAs("a call that Authorize refuses", err, bsrpc.CodePermissionDenied, bsrpc.OutcomeNotRun); !strings.Contains(e.Message, "not today") {
		x.wrong("a call that Authorize refuses: got %q, want its text", e.Message)
	}
	// Call asks for the layout of the method first. The refusal of that request names similar methods.
	err = client.Call(x.ctx, serviceName+".Ecco", nil)
	if e := x.failedAs("an unknown method", err, bsrpc.CodeUnimplemented, bsrpc.OutcomeNotRun); !strings.Contains(e.Message, "Echo") {
		x.wrong("an unknown method: got %q, want that the server has Echo", e.Message)
	}
	// A transport with an address for each service may refuse others by itself, with a code of its own.
	var e *bsrpc.Error
	if err := client.Call(x.ctx, "bsrpctest.Other.Echo", nil); !errors.As(err, &e) || e.Outcome != bsrpc.OutcomeNotRun {
		x.wrong("an unknown service: got %v, want an *Error with the outcome %q", err, bsrpc.OutcomeNotRun)
	}
}

// checkSessions: a call has no session, and what needs one is refused before it runs. The server
// decides it, so a transport has only to carry the refusals.
func checkSessions(x *trial) {
	type contract struct {
		Acquire   func(ctx context.Context) (bool, error)
		Exclusive func(ctx context.Context) error `bsrpc:"exclusive=a"`
	}
	_, client := serve(x, &contract{
		func(ctx context.Context) (bool, error) {
			return errors.Is(bsrpc.SessionFrom(ctx).Acquire(ctx, "a"), bsrpc.ErrNoSession), nil
		},
		func(context.Context) error { return nil },
	})
	_, err := bsrpc.Bind[contract](x.ctx, client, serviceName)
	x.failedAs("Bind of a method with exclusive=", err, bsrpc.CodeUnimplemented, bsrpc.OutcomeNotRun)
	p := bind[struct {
		Acquire func(ctx context.Context) (bool, error)
	}](x, client)
	if refused, err := p.Acquire(x.ctx); !refused || err != nil {
		x.wrong("Session.Acquire in a handler: got %v, want ErrNoSession; %v", refused, err)
	}
	if err := client.Call(x.ctx, serviceName+".Exclusive", nil); bsrpc.CodeOf(err) != bsrpc.CodeUnimplemented {
		x.wrong("a call of a method with exclusive=: got %v, want that it needs a connection", err)
	}
}

// checkMismatch: Bind finds that the ends disagree. The answer to Bind has the layouts of the
// server, of some kilobytes for a large contract.
func checkMismatch(x *trial) {
	_, client := serve(x, newEcho())
	_, err := bsrpc.Bind[struct {
		Echo func(ctx context.Context, n int) (string, error)
	}](x.ctx, client, serviceName)
	var m *bsrpc.MismatchError
	if !errors.As(err, &m) || len(m.Differences) == 0 {
		x.wrong("Bind with another contract than the server's: got %v, want a *MismatchError with the differences", err)
	}
}

// A probeNote lacks the optional field of a probeNoteBy.
type probeNote struct{ Text string }

type probeNoteBy struct {
	Text string
	By   string `bsrpc:"optional"`
}

// A notes is the contract of two versions, with T of each.
type notes[T any] struct {
	Add func(ctx context.Context, n T) (T, error)
}

func newNotes[T any]() *notes[T] {
	return &notes[T]{func(_ context.Context, n T) (T, error) { return n, nil }}
}

// checkOldClient: a server with a field more answers a caller without it. The server knows its
// layout from Bind, so Layout travels only where another server answers the call.
func checkOldClient(x *trial) {
	_, client := serve(x, newNotes[probeNoteBy]())
	p := bind[notes[probeNote]](x, client)
	// The first call may take another round trip than later ones.
	for range 3 {
		if got, err := p.Add(x.ctx, probeNote{"a"}); got.Text != "a" || err != nil {
			x.wrong("a caller without an optional field of the server: got %v, %v; Request has Hash and Knows for it, Reply has Hash", got, err)
			return
		}
	}
}

// checkNewClient: a server without a field of its caller says so. The caller then learns the layout
// of the server, and calls with it while the field is empty.
func checkNewClient(x *trial) {
	_, client := serve(x, newNotes[probeNote]())
	p := bind[notes[probeNoteBy]](x, client)
	if got, err := p.Add(x.ctx, probeNoteBy{Text: "a"}); got.Text != "a" || err != nil {
		x.wrong("a caller with an empty optional field more: got %v, %v; Request has Hash, Knows and Layout for it, Reply has Hash and Layout", got, err)
	}
	_, err := p.Add(x.ctx, probeNoteBy{"a", "me"})
	x.failedAs("a field that the server lacks", err, bsrpc.CodeInvalidArgument, bsrpc.OutcomeNotRun)
}
