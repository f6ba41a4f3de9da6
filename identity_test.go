package bsrpc

// Errors with identity, from a handler to errors.Is and errors.As at the caller.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/bsrpc/bsrpc/internal/identity"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/wire"
)

var (
	errNoStock = errors.New("no stock")
	errClosed  = errors.New("shop closed")
)

// A limitError is listed as a pointer.
type limitError struct {
	Limit uint64 `bsrpc:"be2"`
	Item  string
	note  string
}

func (e *limitError) Error() string { return fmt.Sprintf("limit of %d %s%s", e.Limit, e.Item, e.note) }

// A rangeError is listed as a value. It matches errNoStock by itself.
type rangeError struct{ Low, High int }

func (e rangeError) Error() string        { return fmt.Sprintf("not in %d to %d", e.Low, e.High) }
func (e rangeError) Is(target error) bool { return target == errNoStock }

// An emptyError is a type, and its only value.
type emptyError struct{}

func (emptyError) Error() string { return "empty" }

// An overtimeError matches errors that mean something else at the caller.
type overtimeError struct{ Hours int }

func (overtimeError) Error() string { return "overtime" }
func (overtimeError) Is(target error) bool {
	return target == context.DeadlineExceeded || target == context.Canceled || target == io.EOF || target == ErrClosed
}

var shopErrors = map[string]error{
	"shop.no_stock": errNoStock,
	"shop.closed":   errClosed,
	"shop.limit":    (*limitError)(nil),
	"shop.range":    rangeError{},
	"shop.empty":    emptyError{},
	"shop.overtime": overtimeError{},
	"shop.errno":    syscall.EBUSY,
}

// An identityScene is a client and a server of an errorService, with options of their own.
type identityScene struct {
	srv    *Server
	client *Client
	proxy  *mournerContract
}

func newIdentityScene(t *testing.T, server *ServerOptions, client *ClientOptions, end func(ctx context.Context) error) *identityScene {
	t.Helper()
	d := &identityScene{srv: NewServer(server)}
	if err := RegisterAs[mournerContract](d.srv, "Desk", &errorService{end, make(chan *Session, 100)}); err != nil {
		t.Fatal(err)
	}
	d.connect(t, client)
	return d
}

func (d *identityScene) connect(t *testing.T, client *ClientOptions) {
	t.Helper()
	near, far := net.Pipe()
	go d.srv.ServeConn(far)
	if client.Basic {
		near = &asBasic{Conn: near}
	}
	var err error
	if d.client, err = NewClient(t.Context(), near, client); err != nil {
		t.Fatal(err)
	}
	if d.proxy, err = Bind[mournerContract](t.Context(), d.client, "Desk"); err != nil {
		t.Fatal(err)
	}
}

func (d *identityScene) close() {
	d.client.Close()
	d.srv.Close()
}

// shopCall returns the error of a call whose handler returns err, between ends that list
// shopErrors.
func shopCall(t *testing.T, err error) (received error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := newIdentityScene(t, &ServerOptions{Logger: quiet, Errors: shopErrors}, &ClientOptions{Logger: quiet, Errors: shopErrors}, fails(err))
		defer d.close()
		received = d.proxy.End(t.Context())
	})
	return received
}

// allTargets are errors for errors.Is; a test names those that match.
var allTargets = map[string]error{
	"noStock": errNoStock, "closed": errClosed, "empty": emptyError{}, "busy": syscall.EBUSY,
	"notExist": fs.ErrNotExist, "exist": fs.ErrExist, "permission": fs.ErrPermission, "invalid": fs.ErrInvalid,
	"fsClosed": fs.ErrClosed, "unexpectedEOF": io.ErrUnexpectedEOF, "unsupported": errors.ErrUnsupported, "EOF": io.EOF,
	"canceled": context.Canceled, "deadline": context.DeadlineExceeded, "ErrClosed": ErrClosed, "ErrServerClosed": ErrServerClosed,
}

// checkIs checks that errors.Is matches exactly the named targets, separated by spaces.
func checkIs(t *testing.T, err error, names string) {
	t.Helper()
	for name, target := range allTargets {
		want := strings.Contains(" "+names+" ", " "+name+" ")
		if errors.Is(err, target) != want {
			t.Errorf("%q: errors.Is of %s is %v", err, name, !want)
		}
	}
}

// Every error of the table is found at the caller, under the same text, with the name of
// its outermost identity.
func TestErrorsAreFoundAtTheCaller(t *testing.T) {
	limit := &limitError{Limit: 8, Item: "bolts", note: "!"}
	for _, tt := range []struct {
		name   string
		err    error
		code   Code
		failed string // Error.Name
		is     string
		limit  *limitError
		low    int // of a rangeError; 0 for none
	}{
		{"a value", errNoStock, CodeUnknown, "shop.no_stock", "noStock", nil, 0},
		{"wrapped", fmt.Errorf("order 7: %w", errNoStock), CodeUnknown, "shop.no_stock", "noStock", nil, 0},
		{"joined", errors.Join(errors.New("first"), errClosed, errNoStock), CodeUnknown, "shop.closed", "noStock closed", nil, 0},
		{"a type", limit, CodeUnknown, "shop.limit", "", &limitError{8, "bolts", ""}, 0},
		{"a type, wrapped twice", fmt.Errorf("a: %w", fmt.Errorf("b: %w", limit)), CodeUnknown, "shop.limit", "", &limitError{8, "bolts", ""}, 0},
		{"the first of a type", errors.Join(&limitError{Limit: 1}, limit), CodeUnknown, "shop.limit", "", &limitError{1, "", ""}, 0},
		{"a nil pointer", (*limitErrorNil)(nil), CodeUnknown, "", "", nil, 0},
		{"a value of a type", rangeError{3, 9}, CodeUnknown, "shop.range", "noStock", nil, 3},
		{"an empty type", emptyError{}, CodeUnknown, "shop.empty", "empty", nil, 0},
		{"everything", fmt.Errorf("%w, %w, %w", limit, errClosed, rangeError{1, 2}), CodeUnknown, "shop.limit", "closed noStock", &limitError{8, "bolts", ""}, 1},
		{"in an Error", &Error{Code: CodeAborted, Message: "busy", Err: errNoStock}, CodeAborted, "shop.no_stock", "noStock", nil, 0},
		{"in an Error without a text", &Error{Code: CodeAborted, Err: fmt.Errorf("order 7: %w", errNoStock)}, CodeAborted, "shop.no_stock", "noStock", nil, 0},
		{"in an Error with a name", &Error{Code: CodeAborted, Name: "Mine", Message: "busy", Err: limit}, CodeAborted, "Mine", "", &limitError{8, "bolts", ""}, 0},
		{"an Error by name alone", &Error{Code: CodeNotFound, Name: "shop.closed", Message: "closed"}, CodeNotFound, "shop.closed", "closed", nil, 0},
		{"an errno", fmt.Errorf("lock: %w", syscall.EBUSY), CodeUnknown, "shop.errno", "busy", nil, 0},
		{"not listed", errors.New("other"), CodeUnknown, "", "", nil, 0},
		{"a listed one does not bring others", &named{errNoStock}, CodeUnknown, "shop.no_stock", "noStock", nil, 0},

		{"no file", missingFile(), CodeUnknown, "PathError", "notExist", nil, 0},
		{"exist", fs.ErrExist, CodeUnknown, "fs.ErrExist", "exist", nil, 0},
		{"permission", fmt.Errorf("a: %w", syscall.EACCES), CodeUnknown, "fs.ErrPermission", "permission", nil, 0},
		{"invalid", fs.ErrInvalid, CodeUnknown, "fs.ErrInvalid", "invalid", nil, 0},
		{"closed file", &fs.PathError{Op: "read", Path: "x", Err: os.ErrClosed}, CodeUnknown, "PathError", "fsClosed", nil, 0},
		{"unexpected EOF", io.ErrUnexpectedEOF, CodeUnknown, "io.ErrUnexpectedEOF", "unexpectedEOF", nil, 0},
		{"unsupported", errors.Join(errors.ErrUnsupported), CodeUnknown, "errors.ErrUnsupported", "unsupported", nil, 0},
		{"a standard one and a listed one", fmt.Errorf("%w: %w", fs.ErrNotExist, errNoStock), CodeUnknown, "shop.no_stock", "notExist noStock", nil, 0},
		{"EOF", io.EOF, CodeUnknown, "io.EOF", "EOF", nil, 0},
		{"EOF, wrapped", fmt.Errorf("read: %w", io.EOF), CodeUnknown, "", "", nil, 0},
		{"EOF, joined", errors.Join(io.EOF), CodeUnknown, "", "", nil, 0},

		{"context errors", errors.Join(errNoStock, context.Canceled), CodeCanceled, "shop.no_stock", "noStock", nil, 0},
		{"a type that matches errors of this end", overtimeError{3}, CodeDeadlineExceeded, "shop.overtime", "", nil, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := shopCall(t, tt.err)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want an *Error", err)
			}
			text := tt.err.Error()
			if e.Message != text || e.Code != tt.code || e.Name != tt.failed || !e.Remote || e.Outcome != OutcomeAnswered {
				t.Errorf("got %+v, want %q, %v, name %q", e, text, tt.code, tt.failed)
			}
			checkIs(t, err, tt.is)
			var l *limitError
			if errors.As(err, &l) != (tt.limit != nil) || l != nil && *l != *tt.limit {
				t.Errorf("errors.As: %+v, want %+v", l, tt.limit)
			}
			var r rangeError
			if errors.As(err, &r) != (tt.low != 0) || r.Low != tt.low {
				t.Errorf("errors.As: %+v, want Low %d", r, tt.low)
			}
		})
	}
}

// limitErrorNil is not listed.
type limitErrorNil struct{}

func (*limitErrorNil) Error() string { return "nil" }

// A named error wraps another one, and has its own text.
type named struct{ error }

func (e *named) Unwrap() error { return e.error }

func missingFile() error {
	_, err := os.Open("testdata/no such file")
	return err
}

// An error keeps the fields of each call apart.
func TestErrorFieldsOfConcurrentCalls(t *testing.T) {
	type key struct{}
	d := newIdentityScene(t, &ServerOptions{Logger: quiet, Errors: shopErrors}, &ClientOptions{Logger: quiet, Errors: shopErrors}, func(context.Context) error {
		return &limitError{Limit: 7, Item: strings.Repeat("x", 100)}
	})
	defer d.close()
	var calls sync.WaitGroup
	for range 20 {
		calls.Go(func() {
			var l *limitError
			if err := d.proxy.End(context.WithValue(t.Context(), key{}, 1)); !errors.As(err, &l) || l.Limit != 7 || len(l.Item) != 100 {
				t.Errorf("%v, %+v", err, l)
			}
			l.Item = "changed" // the caller's own
		})
	}
	calls.Wait()
}

// A client without the server's list gets code, name and text, and what is listed later has
// no effect.
func TestErrorsOfOneEndOnly(t *testing.T) {
	for _, tt := range []struct {
		name           string
		server, client map[string]error
		want           string // of errors.Is
		failed         string
	}{
		{"the server", shopErrors, nil, "", "shop.no_stock"},
		{"the client", nil, shopErrors, "", ""},
		{"neither", nil, nil, "", ""},
		{"another error under the name", shopErrors, map[string]error{"shop.no_stock": errClosed}, "closed", "shop.no_stock"},
		{"a type under the name", shopErrors, map[string]error{"shop.no_stock": (*limitError)(nil)}, "", "shop.no_stock"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newIdentityScene(t, &ServerOptions{Logger: quiet, Errors: tt.server}, &ClientOptions{Logger: quiet, Errors: tt.client}, fails(fmt.Errorf("a: %w", errNoStock)))
				defer d.close()
				err := d.proxy.End(t.Context())
				checkIs(t, err, tt.want)
				var e *Error
				if !errors.As(err, &e) || e.Name != tt.failed || e.Message != "a: no stock" {
					t.Errorf("got %+v, want name %q", e, tt.failed)
				}
				err = d.client.Call(t.Context(), "Desk.End", nil)
				checkIs(t, err, tt.want)
			})
		})
	}
}

// The options are copied.
func TestErrorsAreCopied(t *testing.T) {
	listed := map[string]error{"shop.no_stock": errNoStock}
	srv, client := &ServerOptions{Logger: quiet, Errors: listed}, &ClientOptions{Logger: quiet, Errors: listed}
	d := newIdentityScene(t, srv, client, fails(errNoStock))
	defer d.close()
	clear(listed)
	checkIs(t, d.proxy.End(t.Context()), "noStock")
}

// At most eight identities travel, the outermost ones.
func TestAtMostEightIdentities(t *testing.T) {
	listed := make(map[string]error)
	var all []error
	for i := range 12 {
		all = append(all, fmt.Errorf("error %d", i))
		listed[fmt.Sprintf("e%d", 11-i)] = all[i]
	}
	synctest.Test(t, func(t *testing.T) {
		d := newIdentityScene(t, &ServerOptions{Logger: quiet, Errors: listed}, &ClientOptions{Logger: quiet, Errors: listed}, fails(errors.Join(all...)))
		defer d.close()
		err := d.proxy.End(t.Context())
		for i, e := range all {
			if errors.Is(err, e) != (i < wire.MaxIdentities) {
				t.Errorf("error %d: %v", i, i >= wire.MaxIdentities)
			}
		}
		if want := errors.Join(all...).Error(); err.Error() != want {
			t.Errorf("got %q, want the whole text %q", err, want)
		}
	})
}

// A wideError has as many bytes of fields as its text.
type wideError struct{ Text string }

func (e *wideError) Error() string { return "wide" }

// Fields that do not fit are left out, and the server logs it once.
func TestErrorFieldsThatDoNotFit(t *testing.T) {
	listed := map[string]error{"wide": (*wideError)(nil), "shop.no_stock": errNoStock}
	room := wire.MaxIdentityRoom - (2 + 4 + 1 + 32 + 4) - 4 // name, hash and length, and the length of the string
	for _, size := range []int{0, 1000, room, room + 1, 100_000} {
		synctest.Test(t, func(t *testing.T) {
			lines, log := linesAt(slog.LevelInfo)
			d := newIdentityScene(t, &ServerOptions{Logger: log, Errors: listed}, &ClientOptions{Logger: quiet, Errors: listed},
				fails(fmt.Errorf("%w", &wideError{strings.Repeat("x", size)})))
			defer d.close()
			for range 3 {
				err := d.proxy.End(t.Context())
				var w *wideError
				var e *Error
				if errors.As(err, &w) != (size <= room) || w != nil && len(w.Text) != size {
					t.Errorf("size %d: errors.As is %v", size, w != nil)
				}
				if !errors.As(err, &e) || e.Name != "wide" || e.Message != "wide" {
					t.Errorf("size %d: got %+v", size, e)
				}
			}
			logged := strings.Count(lines.String(), `msg="bsrpc: the fields of an error cannot be sent" name=wide method=Desk.End`)
			if want := map[bool]int{true: 0, false: 1}[size <= room]; logged != want {
				t.Errorf("size %d: %d lines, want %d\n%s", size, logged, want, lines)
			}
			if strings.Contains(lines.String(), "xx") {
				t.Error("the log has a value")
			}
		})
	}
}

// Two ends with different types under one name: the error arrives as code and text, and
// the client logs it once.
func TestErrorLayoutsDiffer(t *testing.T) {
	for name, typ := range map[string]error{"another type": rangeError{}, "another format": (*wideLimit)(nil)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lines, log := linesAt(slog.LevelInfo)
				d := newIdentityScene(t, &ServerOptions{Logger: quiet, Errors: shopErrors},
					&ClientOptions{Logger: log, Errors: map[string]error{"shop.limit": typ}}, fails(&Error{Code: CodeAborted, Message: "full", Err: &limitError{Limit: 1}}))
				defer d.close()
				for range 3 {
					err := d.proxy.End(t.Context())
					var r rangeError
					var w *wideLimit
					if errors.As(err, &r) || errors.As(err, &w) {
						t.Errorf("errors.As finds %+v, %+v", r, w)
					}
					var e *Error
					if !errors.As(err, &e) || e.Code != CodeAborted || e.Message != "full" || e.Name != "shop.limit" {
						t.Errorf("got %+v", e)
					}
				}
				want := `msg="bsrpc: an error has another layout at the peer, and arrives without its fields" name=shop.limit method=Desk.End`
				if n := strings.Count(lines.String(), want); n != 1 {
					t.Errorf("%d lines, want 1\n%s", n, lines)
				}
			})
		})
	}
}

// A wideLimit is a limitError with another format.
type wideLimit struct {
	Limit uint64
	Item  string
}

func (*wideLimit) Error() string { return "" }

// invalidErrors are maps for the option Errors with mistakes, and the rest of the error.
var invalidErrors = []struct {
	name   string
	errors map[string]error
	want   string
}{
	{"empty key", map[string]error{"": errNoStock}, `Errors: key "": want 1 to 64 letters, digits, "_", "-" or "."`},
	{"long key", map[string]error{strings.Repeat("k", 65): errNoStock}, `Errors: key "` + strings.Repeat("k", 64) + `": want 1 to 64 letters, digits, "_", "-" or "."`},
	{"space", map[string]error{"no stock": errNoStock}, `Errors: key "no stock": want 1 to 64 letters, digits, "_", "-" or "."`},
	{"not ASCII", map[string]error{"Überlauf": errNoStock}, `Errors: key "Überlauf": want 1 to 64 letters, digits, "_", "-" or "."`},
	{"nil", map[string]error{"a": nil}, `Errors: key "a": nil; want an error, or a nil pointer of its type`},
	{"one error twice", map[string]error{"a": errNoStock, "b": errNoStock}, `Errors: key "b": the same error as key "a"; keep one of them`},
	{"one type twice", map[string]error{"a": rangeError{}, "b": rangeError{}}, `Errors: key "b": the same error as key "a"; keep one of them`},
	{"a type that cannot travel", map[string]error{"path": (*fs.PathError)(nil)}, `Errors: key "path": PathError.Err: error has no wire form*`},
	{"hidden fields", map[string]error{"a": (*hiddenError)(nil)}, `Errors: key "a": *`},
	{"a pointer to a zero value", map[string]error{"a": &limitError{}}, `Errors: key "a": pointer to a zero bsrpc.limitError; use (*bsrpc.limitError)(nil) for the type`},
	{"not comparable", map[string]error{"a": listError{"x"}}, `Errors: key "a": a bsrpc.listError cannot be compared; use the zero bsrpc.listError for the type`},
	{"context.Canceled", map[string]error{"a": context.Canceled}, `Errors: key "a": this error has a meaning of its own at each end; use another one`},
	{"context.DeadlineExceeded", map[string]error{"a": context.DeadlineExceeded}, `Errors: key "a": this error has a meaning of its own at each end; use another one`},
	{"io.EOF", map[string]error{"a": io.EOF}, `Errors: key "a": this error has a meaning of its own at each end; use another one`},
	{"ErrClosed", map[string]error{"a": ErrClosed}, `Errors: key "a": this error has a meaning of its own at each end; use another one`},
	{"a standard error", map[string]error{"a": fs.ErrNotExist}, `Errors: key "a": a standard error, which travels as "fs.ErrNotExist" without an entry`},
	{"a standard name", map[string]error{"fs.ErrNotExist": errNoStock}, `Errors: key "fs.ErrNotExist": the name of a standard error, which needs no entry`},
	{"an Error as a type", map[string]error{"a": (*Error)(nil)}, `Errors: key "a": Error.Err: error has no wire form*`},
	{"several", map[string]error{"a": nil, "b c": errNoStock, "d": errNoStock}, "2 problems\n    Errors: key \"a\": nil; want an error, or a nil pointer of its type\n    Errors: key \"b c\": want 1*"},
}

type hiddenError struct{ n int }

func (e *hiddenError) Error() string { return fmt.Sprint(e.n) }

type listError []string

func (listError) Error() string { return "list" }

// A mistake in Errors is reported at both ends, with its key.
func TestErrorsOptionMistakes(t *testing.T) {
	check := func(t *testing.T, err error, of, want string) {
		t.Helper()
		want, open := strings.CutSuffix("bsrpc: "+of+": "+want, "*")
		if err == nil || err.Error() != want && !(open && strings.HasPrefix(err.Error(), want)) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	for _, tt := range invalidErrors {
		t.Run(tt.name, func(t *testing.T) {
			near, far := net.Pipe()
			srv := NewServer(&ServerOptions{Logger: quiet, Errors: tt.errors})
			check(t, srv.ServeConn(far), "ServerOptions", tt.want)
			_, err := NewClient(t.Context(), near, &ClientOptions{Logger: quiet, Errors: tt.errors})
			check(t, err, "ClientOptions", tt.want)
		})
	}
}

// A handler that returns the error of a further call passes on its identities, whether it
// knows them or not.
func TestIdentitiesThroughTwoServers(t *testing.T) {
	own := errors.New("gate shut")
	gate := map[string]error{"gate.shut": own}
	for _, tt := range []struct {
		name   string
		middle map[string]error // the list of the server between the two, at both of its ends
		end    func(err error) error
		is     string
		shut   bool
		text   string
		failed string
	}{
		{"as it is, known", shopErrors, func(err error) error { return err }, "noStock", false, "order: no stock, limit of 3 nuts", "shop.no_stock"},
		{"as it is, unknown", nil, func(err error) error { return err }, "noStock", false, "order: no stock, limit of 3 nuts", "shop.no_stock"},
		{"wrapped", nil, func(err error) error { return fmt.Errorf("gate: %w", err) }, "noStock", false, "gate: order: no stock, limit of 3 nuts", "shop.no_stock"},
		{"with an identity of its own", gate, func(err error) error { return fmt.Errorf("%w: %w", own, err) }, "noStock", true, "gate shut: order: no stock, limit of 3 nuts", "shop.no_stock"},
		{"in an Error of its own", gate, func(err error) error { return &Error{Code: CodeAborted, Name: "Gate", Message: "no", Err: err} }, "noStock", false, "no", "Gate"},
		{"as text", nil, func(err error) error { return errors.New(err.Error()) }, "", false, "order: no stock, limit of 3 nuts", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				far := newIdentityScene(t, &ServerOptions{Logger: quiet, Errors: shopErrors}, &ClientOptions{Logger: quiet, Errors: tt.middle},
					fails(fmt.Errorf("order: %w, %w", errNoStock, &limitError{Limit: 3, Item: "nuts"})))
				defer far.close()
				caller := map[string]error{"gate.shut": own, "shop.no_stock": errNoStock, "shop.limit": (*limitError)(nil)}
				near := newIdentityScene(t, &ServerOptions{Logger: quiet, Errors: tt.middle}, &ClientOptions{Logger: quiet, Errors: caller},
					func(ctx context.Context) error { return tt.end(far.proxy.End(ctx)) })
				defer near.close()
				err := near.proxy.End(t.Context())
				checkIs(t, err, tt.is)
				var l *limitError
				if found := errors.As(err, &l); found != (tt.is != "") || found && *l != (limitError{Limit: 3, Item: "nuts"}) {
					t.Errorf("errors.As: %+v", l)
				}
				var e *Error
				if !errors.As(err, &e) || e.Message != tt.text || e.Name != tt.failed || errors.Is(err, own) != tt.shut {
					t.Errorf("got %+v, want %q, name %q, own %v", e, tt.text, tt.failed, tt.shut)
				}
			})
		})
	}
}

// io.EOF of a further server counts like that of the handler: only as it is.
func TestEOFThroughTwoServers(t *testing.T) {
	for name, tt := range map[string]struct {
		end func(err error) error
		is  string
	}{
		"as it is": {func(err error) error { return err }, "EOF"},
		"wrapped":  {func(err error) error { return fmt.Errorf("gate: %w", err) }, ""},
		"joined":   {func(err error) error { return errors.Join(err, fs.ErrExist) }, "exist"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				far := newIdentityScene(t, &ServerOptions{Logger: quiet}, &ClientOptions{Logger: quiet}, fails(io.EOF))
				defer far.close()
				near := newIdentityScene(t, &ServerOptions{Logger: quiet}, &ClientOptions{Logger: quiet}, func(ctx context.Context) error { return tt.end(far.proxy.End(ctx)) })
				defer near.close()
				checkIs(t, near.proxy.End(t.Context()), tt.is)
			})
		})
	}
}

// A proxy registered at a second server passes on identities.
func TestIdentitiesThroughAForwardingProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := newIdentityScene(t, &ServerOptions{Logger: quiet, Errors: shopErrors}, &ClientOptions{Logger: quiet}, fails(&limitError{Limit: 9}))
		defer far.close()
		near := &identityScene{srv: NewServer(&ServerOptions{Logger: quiet})}
		if err := RegisterAs[mournerContract](near.srv, "Desk", far.proxy); err != nil {
			t.Fatal(err)
		}
		near.connect(t, &ClientOptions{Logger: quiet, Errors: shopErrors})
		defer near.close()
		var l *limitError
		if err := near.proxy.End(t.Context()); !errors.As(err, &l) || l.Limit != 9 {
			t.Errorf("%v, %+v", err, l)
		}
	})
}

// A hostileError calls a func of the test in its methods.
type hostileError struct{ at func(method string) }

func (e *hostileError) Error() string         { e.at("Error"); return "hostile" }
func (e *hostileError) Is(error) bool         { e.at("Is"); return false }
func (e *hostileError) As(any) bool           { e.at("As"); return false }
func (e *hostileError) Unwrap() error         { e.at("Unwrap"); return nil }
func (e *hostileError) ExceptionName() string { e.at("ExceptionName"); return "" }

// Methods of a handler's error may panic, call runtime.Goexit or hang. The call fails, and
// other calls of the connection do not notice.
func TestHostileErrorMethods(t *testing.T) {
	for _, method := range []string{"Error", "Is", "As", "Unwrap", "ExceptionName"} {
		for name, fall := range falls {
			t.Run(method+" "+name, func(t *testing.T) {
				if name != "hang" { // would delay the calls behind it on the basic wire
					synctest.Test(t, func(t *testing.T) {
						d := newIdentityScene(t, &ServerOptions{Logger: quiet, Basic: true, Errors: shopErrors}, &ClientOptions{Logger: quiet, Basic: true}, fails(&hostileError{func(m string) {
							if m == method {
								fall(nil)
							}
						}}))
						defer d.close()
						for range 2 {
							wantCall(t, d.proxy.End(t.Context()), CodeUnknown, OutcomeAnswered, "panic in the handler")
						}
					})
				}
				synctest.Test(t, func(t *testing.T) {
					thaw := make(chan struct{})
					var hostile bool
					d := newIdentityScene(t, &ServerOptions{Logger: quiet, Errors: shopErrors}, &ClientOptions{Logger: quiet, Errors: shopErrors}, func(context.Context) error {
						if hostile {
							return errNoStock
						}
						hostile = true
						return &hostileError{func(m string) {
							if m == method {
								fall(thaw)
							}
						}}
					})
					defer d.close()
					ended := make(chan error)
					go func() { ended <- d.proxy.End(t.Context()) }()
					synctest.Wait()
					checkIs(t, d.proxy.End(t.Context()), "noStock")
					close(thaw)
					if name == "hang" {
						wantCall(t, <-ended, CodeUnknown, OutcomeAnswered, "hostile")
					} else {
						wantCall(t, <-ended, CodeInternal, OutcomeAnswered, "panic in the handler")
					}
				})
			})
		}
	}
}

// A loop is an error that wraps itself.
type loop struct{ left, right error }

func (e *loop) Error() string   { return "loop" }
func (e *loop) Unwrap() []error { return []error{e.left, e.right} }

// A tree of errors that grows without an end costs a bounded time.
func TestErrorTreeWithoutEnd(t *testing.T) {
	list := shopList(t)
	e := &loop{}
	e.left, e.right = e, errNoStock
	if found := list.Find(e, nil, "", 0, wire.MaxIdentityRoom); found.Key != "" && found.Key != "shop.no_stock" {
		t.Errorf("found %q", found.Key)
	}
	e.left, e.right = errNoStock, e
	if found := list.Find(e, nil, "", 0, wire.MaxIdentityRoom); found.Key != "shop.no_stock" {
		t.Errorf("found %q", found.Key)
	}
}

// A codecError has encoders of its own.
type codecError struct {
	Code fragileText `bsrpc:"text"`
}

func (*codecError) Error() string { return "codec" }

// A fragileText calls a func of the test where it is encoded or decoded.
type fragileText string

var atFragileText func(method string)

func (f fragileText) MarshalText() ([]byte, error) {
	atFragileText("MarshalText")
	return []byte(f), nil
}
func (f *fragileText) UnmarshalText(b []byte) error {
	atFragileText("UnmarshalText")
	*f = fragileText(b)
	return nil
}

// Fields may have code of the user. A panic at the server is that of the handler; at the
// client the error arrives without its fields.
func TestErrorFieldsWithUserCode(t *testing.T) {
	type key = map[string]error
	listed := key{"codec": (*codecError)(nil)}
	for _, method := range []string{"", "MarshalText", "UnmarshalText"} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				atFragileText = func(m string) {
					if m == method {
						panic("on purpose")
					}
				}
				lines, log := linesAt(slog.LevelInfo)
				d := newIdentityScene(t, &ServerOptions{Logger: quiet, Errors: listed}, &ClientOptions{Logger: log, Errors: listed},
					fails(&codecError{Code: "abc"}))
				defer d.close()
				err := d.proxy.End(t.Context())
				var c *codecError
				if found := errors.As(err, &c); found != (method == "") || found && c.Code != "abc" {
					t.Errorf("errors.As: %v, %+v", found, c)
				}
				switch method {
				case "MarshalText":
					wantCall(t, err, CodeInternal, OutcomeAnswered, "panic in the handler")
				case "UnmarshalText":
					wantCall(t, err, CodeUnknown, OutcomeAnswered, "codec")
					if !strings.Contains(lines.String(), "panic while decoding") {
						t.Errorf("not logged: %s", lines)
					}
				}
			})
		})
	}
}

// identityMeta returns the metadata of an ERROR with these bytes as identities.
func identityMeta(ids string) []byte {
	return wire.AppendReplyMetadata(nil, &wire.ReplyMetadata{Identities: []byte(ids)})
}

// hashOf returns the hash under which a listed type travels.
func hashOf(t *testing.T, name string, err error) string {
	t.Helper()
	ids, readErr := wire.ReadIdentities(shopList(t).Find(err, report.New(quiet), "", 0, wire.MaxIdentityRoom).IDs)
	if readErr != nil || len(ids) == 0 || ids[0].Name != name {
		t.Fatalf("%q, %v", ids, readErr)
	}
	return string(ids[0].Hash)
}

func shopList(t *testing.T) *identity.List {
	t.Helper()
	list, problems := identity.New(shopErrors)
	if problems != nil {
		t.Fatal(problems)
	}
	return list
}

// Identities from a hostile server: each has one answer, and the connection goes on.
func TestMalformedIdentities(t *testing.T) {
	hash := hashOf(t, "shop.limit", &limitError{})
	const malformed = "bsrpc: Probe.Add: metadata of the answer: field 0x000c: "
	for _, tt := range []struct {
		name string
		ids  string
		want string // "" for the server's text
		is   string
	}{
		{"none", "", "", ""},
		{"known", "\x0d\x00shop.no_stock\x00", "", "noStock"},
		{"unknown", "\x04\x00more\x00", "", ""},
		{"unknown with fields", "\x04\x00more\x20" + hash + "\x01\x00\x00\x00x", "", ""},
		{"a value with fields", "\x0d\x00shop.no_stock\x20" + hash + "\x01\x00\x00\x00x", "", "noStock"},
		{"a type without fields", "\x0a\x00shop.limit\x00", "", ""},
		{"a type with another hash", "\x0a\x00shop.limit\x20" + strings.Repeat("h", 32) + "\x06\x00\x00\x00\x00\x01\x00\x00\x00\x00", "", ""},
		{"fields cut off", "\x0a\x00shop.limit\x20" + hash + "\x05\x00\x00\x00\x00\x01\x00\x00\x00", "", ""},
		{"too many fields", "\x0a\x00shop.limit\x20" + hash + "\x07\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00", "", ""},
		{"cut off", "\x0d\x00shop.no_stoc", malformed, ""},
		{"no name", "\x00\x00\x00", malformed, ""},
		{"nine", strings.Repeat("\x01\x00a\x00", 9), malformed, ""},
		{"a short hash", "\x01\x00a\x10" + strings.Repeat("h", 16), malformed, ""},
		{"fields of 4 GiB", "\x01\x00a\x20" + hash + "\xff\xff\xff\xff", malformed, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, proxy, p := rawServer(t, &ClientOptions{Logger: quiet, Errors: shopErrors})
				for range 2 {
					ended := make(chan error)
					go func() {
						_, err := proxy.Add(t.Context(), 1, 2)
						ended <- err
					}()
					f, _ := p.read()
					p.nc.Write(frameBytes(wire.Frame{Type: wire.Error, Flags: wire.Metadata, Arg: 5, ID: f.ID, Meta: identityMeta(tt.ids)}, failureBody("sold out")))
					err := <-ended
					if tt.want == "" {
						callError{"sold out", CodeNotFound, OutcomeAnswered, true, nil}.check(t, err)
					} else {
						callError{tt.want + "*", CodeInternal, OutcomeAnswered, false, nil}.check(t, err)
					}
					checkIs(t, err, tt.is)
					var l *limitError
					if errors.As(err, &l) {
						t.Errorf("errors.As finds %+v", l)
					}
				}
				client.Close()
				p.nc.Close()
			})
		})
	}
}

// On the basic wire the names of exceptions are identities of values. An error with a name
// keeps it, and any other one gets the key.
func TestIdentitiesOnTheBasicWire(t *testing.T) {
	errKey := errors.New("no such key")
	listed := map[string]error{"KeyError": errKey, "shop.no_stock": errNoStock, "limitError": (*limitError)(nil), "NamedFault": errClosed}
	for _, tt := range []struct {
		name   string
		err    error
		code   Code
		failed string
		is     error
	}{
		{"a listed exception", fmt.Errorf("find: %w", errKey), CodeNotFound, "KeyError", errKey},
		{"a key that is not a Python name", errNoStock, CodeUnknown, "RuntimeError", nil},
		{"a type's own name", NamedFault{}, CodeUnknown, "NamedFault", errClosed},
		{"a name of its own", &Error{Name: "Mine", Message: "x", Err: errKey}, CodeUnknown, "Mine", nil},
		{"an Error without a name", &Error{Message: "x", Err: errKey}, CodeNotFound, "KeyError", errKey},
		{"a standard error", fs.ErrNotExist, CodeUnknown, "RuntimeError", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newIdentityScene(t, &ServerOptions{Logger: quiet, Basic: true, Errors: listed}, &ClientOptions{Logger: quiet, Basic: true, Errors: listed}, fails(tt.err))
				defer d.close()
				err := d.proxy.End(t.Context())
				var e *Error
				if !errors.As(err, &e) || e.Name != tt.failed || e.Code != tt.code {
					t.Errorf("got %+v, want %v, name %q", e, tt.code, tt.failed)
				}
				for _, target := range []error{errKey, errNoStock, errClosed, fs.ErrNotExist} {
					if errors.Is(err, target) != (target == tt.is) {
						t.Errorf("errors.Is of %v is %v", target, target != tt.is)
					}
				}
			})
		})
	}
}

// A streamShop has streams that fail.
type streamShop struct {
	err  error             // of the streams, after two items
	seen chan error        // the error of a parameter, as its handler ranged over it
	pass func(error) error // what the handler returns for it
}

func (s *streamShop) List() iter.Seq2[int, error] { return failing(s.err) }
func (s *streamShop) Open() (io.ReadCloser, error) {
	return io.NopCloser(io.MultiReader(strings.NewReader("ab"), iotest.ErrReader(s.err))), nil
}

func (s *streamShop) Take(in iter.Seq2[int, error]) error {
	for _, err := range in {
		if err != nil {
			s.seen <- err
			return s.pass(err)
		}
	}
	return nil
}

type streamShopContract struct {
	List func(ctx context.Context) iter.Seq2[int, error]
	Open func(ctx context.Context) (io.ReadCloser, error)
	Take func(ctx context.Context, in iter.Seq2[int, error]) error
}

// failing yields two items, and then err.
func failing(err error) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		_ = yield(1, nil) && yield(2, nil) && yield(0, err)
	}
}

// rangeOver returns the items of a stream before its error.
func rangeOver(seq iter.Seq2[int, error]) (items []int, err error) {
	for i, err := range seq {
		if err != nil {
			return items, err
		}
		items = append(items, i)
	}
	return items, nil
}

// The last error of a stream has identities like that of a call, in both directions, and
// the items before it arrive.
func TestIdentitiesInStreams(t *testing.T) {
	for _, tt := range []struct {
		name   string
		err    error
		is     string
		limit  uint64 // of a limitError; 0 for none
		failed string
	}{
		{"a value", fmt.Errorf("list: %w", errNoStock), "noStock", 0, "shop.no_stock"},
		{"a type", fmt.Errorf("list: %w", &limitError{Limit: 5}), "", 5, "shop.limit"},
		{"in an Error", &Error{Code: CodeAborted, Message: "x", Err: errClosed}, "closed", 0, "shop.closed"},
		{"EOF, wrapped", fmt.Errorf("list: %w", io.EOF), "", 0, ""},
		{"no identity", errors.New("other"), "", 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				service := &streamShop{err: tt.err, seen: make(chan error, 1), pass: func(err error) error { return err }}
				srv := NewServer(&ServerOptions{Logger: quiet, Errors: shopErrors})
				if err := RegisterAs[streamShopContract](srv, "Shop", service); err != nil {
					t.Fatal(err)
				}
				near, far := net.Pipe()
				go srv.ServeConn(far)
				client, err := NewClient(t.Context(), near, &ClientOptions{Logger: quiet, Errors: shopErrors})
				if err != nil {
					t.Fatal(err)
				}
				proxy, err := Bind[streamShopContract](t.Context(), client, "Shop")
				if err != nil {
					t.Fatal(err)
				}
				check := func(where string, err error) {
					t.Helper()
					var e *Error
					if !errors.As(err, &e) || !e.Remote || e.Name != tt.failed {
						t.Errorf("%s: got %+v, want name %q", where, e, tt.failed)
					}
					checkIs(t, err, tt.is)
					var l *limitError
					if errors.As(err, &l) != (tt.limit != 0) || l != nil && l.Limit != tt.limit {
						t.Errorf("%s: errors.As: %+v", where, l)
					}
				}
				items, err := rangeOver(proxy.List(t.Context()))
				if len(items) != 2 {
					t.Errorf("%v before the error", items)
				}
				check("a result", err)
				r, err := proxy.Open(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(r)
				if string(b) != "ab" {
					t.Errorf("%q before the error", b)
				}
				check("a reader", err)
				err = proxy.Take(t.Context(), failing(tt.err))
				check("a parameter, at the server", <-service.seen)
				check("a parameter, and back", err)
				client.Close()
				srv.Close()
			})
		})
	}
}

// A stream that a second server passes on keeps the identities of its last error.
func TestIdentitiesInStreamsThroughTwoServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		connect := func(impl any, list map[string]error) (*streamShopContract, func()) {
			srv := NewServer(&ServerOptions{Logger: quiet, Errors: shopErrors})
			near, far := net.Pipe()
			if err := RegisterAs[streamShopContract](srv, "Shop", impl); err != nil {
				t.Fatal(err)
			}
			go srv.ServeConn(far)
			client, err := NewClient(t.Context(), near, &ClientOptions{Logger: quiet, Errors: list})
			if err != nil {
				t.Fatal(err)
			}
			proxy, err := Bind[streamShopContract](t.Context(), client, "Shop")
			if err != nil {
				t.Fatal(err)
			}
			return proxy, func() { client.Close(); srv.Close() }
		}
		last := fmt.Errorf("list: %w, %w", errNoStock, &limitError{Limit: 5})
		far, closeFar := connect(&streamShop{err: last, seen: make(chan error, 1), pass: func(err error) error { return err }}, nil)
		defer closeFar()
		near, closeNear := connect(far, shopErrors)
		defer closeNear()
		_, listed := rangeOver(near.List(t.Context()))
		r, err := near.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, read := io.ReadAll(r)
		for name, err := range map[string]error{"a stream": listed, "a reader": read, "a parameter": near.Take(t.Context(), failing(last))} {
			checkIs(t, err, "noStock")
			var l *limitError
			if !errors.As(err, &l) || l.Limit != 5 || err.Error() != last.Error() {
				t.Errorf("%s: %v, %+v", name, err, l)
			}
		}
	})
}

// An iterator that yields io.EOF itself ends with an error, which is io.EOF for errors.Is.
func TestEOFInStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := NewServer(&ServerOptions{Logger: quiet})
		if err := RegisterAs[streamShopContract](srv, "Shop", &streamShop{err: io.EOF}); err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		go srv.ServeConn(far)
		client, err := NewClient(t.Context(), near, &ClientOptions{Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		proxy, err := Bind[streamShopContract](t.Context(), client, "Shop")
		if err != nil {
			t.Fatal(err)
		}
		items, err := rangeOver(proxy.List(t.Context()))
		var e *Error
		if len(items) != 2 || !errors.As(err, &e) || e.Name != "io.EOF" {
			t.Errorf("%v, %+v", items, e)
		}
		checkIs(t, err, "EOF")
		client.Close()
		srv.Close()
	})
}

// The metadata of an END is read like its failure: a malformed block ends the connection,
// and an unknown field is skipped.
func TestMalformedIdentitiesInStreams(t *testing.T) {
	for _, tt := range []struct {
		name, meta string
		want       string // of CLOSE; "" for none
		is         string
	}{
		{"known", string(identityMeta("\x0d\x00shop.no_stock\x00")), "", "noStock"},
		{"entries", "\x0b\x00\x02\x00\x00\x00\xff\xff", "", ""},
		{"cut off", string(identityMeta("\x0d\x00shop.no_stoc")), "END: metadata: field 0x000c: want 13 bytes, have 12", ""},
		{"required", "\x0c\x80\x00\x00\x00\x00", "END: metadata: unknown field 0x800c is required by the peer", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				service := &streamShop{seen: make(chan error, 1), pass: func(err error) error { return nil }}
				srv := NewServer(&ServerOptions{Logger: quiet, Errors: shopErrors})
				if err := RegisterAs[streamShopContract](srv, "Shop", service); err != nil {
					t.Fatal(err)
				}
				p := rawDial(t, srv)
				p.write(wire.AppendClientInit(nil, &wire.Hello{Version: 1, Streams: wire.StreamLimits{Window: 1 << 16, Most: 8}}))
				p.readBasic()
				p.send(wire.Frame{Type: wire.Bind, Flags: wire.Describe, ID: 1}, (&wire.BindRequest{Service: "Shop", Names: []string{"Take"}}).Append(nil))
				p.wantAnswer(1)
				p.send(wire.Frame{Type: wire.Request, ID: 2}, nil)
				end := wire.StreamEnd{Code: 5, Failure: wire.Failure{Message: "sold out"}}
				p.nc.Write(frameBytes(wire.Frame{Type: wire.End, Flags: wire.FromCaller | wire.Metadata, Arg: 1, ID: 2, Meta: []byte(tt.meta)}, end.Append(nil)))
				if tt.want != "" {
					p.wantClose(CodeInternal, tt.want)
				} else {
					checkIs(t, <-service.seen, tt.is)
					p.wantAnswer(2)
				}
				p.nc.Close()
				<-p.served
				srv.Close()
			})
		})
	}
}

// A server finds the errors of its clients' handlers, and passes them on to its callers.
func TestIdentitiesOfACallToAClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handlers := NewServer(&ServerOptions{Logger: quiet, Errors: shopErrors})
		if err := RegisterAs[mournerContract](handlers, "Desk", &errorService{fails(fmt.Errorf("ask: %w", &limitError{Limit: 4})), make(chan *Session, 9)}); err != nil {
			t.Fatal(err)
		}
		atServer := make(chan error, 1)
		srv := NewServer(&ServerOptions{Logger: quiet, Errors: shopErrors})
		if err := srv.RegisterFunc("Shop.Ask", func(ctx context.Context) error {
			desk, err := Bind[mournerContract](ctx, SessionFrom(ctx), "Desk")
			if err == nil {
				err = desk.End(ctx)
			}
			atServer <- err
			return err
		}); err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		go srv.ServeConn(far)
		client, err := NewClient(t.Context(), near, &ClientOptions{Logger: quiet, Errors: shopErrors, Handlers: handlers})
		if err != nil {
			t.Fatal(err)
		}
		back := client.Call(t.Context(), "Shop.Ask", nil)
		for where, err := range map[string]error{"at the server": <-atServer, "back at the client": back} {
			var l *limitError
			if !errors.As(err, &l) || l.Limit != 4 || err.Error() != "ask: limit of 4 " {
				t.Errorf("%s: %v, %+v", where, err, l)
			}
		}
		client.Close()
		srv.Close()
		handlers.Close()
	})
}
