package bsrpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// vault is a service with a method of each kind.
type vault struct{ ran atomic.Int64 }

func (v *vault) Read(context.Context) (string, error) { v.ran.Add(1); return "gold", nil }
func (v *vault) Count(ctx context.Context) iter.Seq2[int, error] {
	v.ran.Add(1)
	return func(yield func(int, error) bool) { yield(1, nil) }
}
func (v *vault) Put(ctx context.Context, r io.Reader) error  { v.ran.Add(1); return nil }
func (v *vault) Note(ctx context.Context) error              { v.ran.Add(1); return nil }
func (v *vault) Later(ctx context.Context) (int, error)      { v.ran.Add(1); return 1, nil }
func (v *vault) Alone(ctx context.Context) error             { v.ran.Add(1); return nil }
func (v *vault) Tell(ctx context.Context, f func(int)) error { v.ran.Add(1); f(1); return nil }
func (v *vault) Public(ctx context.Context) (string, error)  { return "hello", nil }

type vaultContract struct {
	Read   func(ctx context.Context) (string, error)       `bsrpc:"roles=admin|operator"`
	Count  func(ctx context.Context) iter.Seq2[int, error] `bsrpc:"roles=admin"`
	Put    func(ctx context.Context, r io.Reader) error    `bsrpc:"roles=admin"`
	Note   func(ctx context.Context) error                 `bsrpc:"oneway,roles=admin"`
	Later  func(ctx context.Context) *bsrpc.Future[int]    `bsrpc:"roles=admin"`
	Alone  func(ctx context.Context) error                 `bsrpc:"exclusive=vault,roles=admin"`
	Tell   func(ctx context.Context, f func(int)) error    `bsrpc:"roles=admin"`
	Public func(ctx context.Context) (string, error)       `bsrpc:"roles=*"`
}

// roleOf is an Authenticate that takes the user's name for its role.
func roleOf(_ context.Context, p *bsrpc.Peer, c bsrpc.Credentials) error {
	p.Name, p.Roles = c.User(), []string{"guest", c.User()}
	return nil
}

// callAll calls every method of a vault and returns the errors by method.
func callAll(ctx context.Context, v *vaultContract) map[string]error {
	errs := make(map[string]error)
	_, errs["Read"] = v.Read(ctx)
	_, errs["Count"] = bsrpctest.Collect(v.Count(ctx))
	errs["Put"] = v.Put(ctx, strings.NewReader(strings.Repeat("x", 1<<20)))
	errs["Note"] = v.Note(ctx)
	_, errs["Later"] = v.Later(ctx).Wait(ctx)
	errs["Alone"] = v.Alone(ctx)
	errs["Tell"] = v.Tell(ctx, func(int) {})
	_, errs["Public"] = v.Public(ctx)
	return errs
}

// A client without a role can bind a method, but none of its calls run, of any kind.
func TestRolesOfEveryKindOfCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := new(vault)
		var refused atomic.Int64
		srv, _ := guardedServer(t, &bsrpc.ServerOptions{
			Authenticate: roleOf, Roles: map[string]string{"Who.*": "*"},
			OnRefused: func(context.Context, *bsrpc.Session, bsrpc.Method, *bsrpc.Error) { refused.Add(1) },
		})
		if err := bsrpc.RegisterAs[vaultContract](srv, "Vault", v); err != nil {
			t.Fatal(err)
		}
		bind := func(user string) (*bsrpc.Client, *vaultContract) {
			c, err := bsrpctest.Dial(t, srv, clientAs(user, ""))
			if err != nil {
				t.Fatal(err)
			}
			proxy, err := bsrpc.Bind[vaultContract](t.Context(), c, "Vault")
			if err != nil {
				t.Fatal(err)
			}
			return c, proxy
		}
		c, guest := bind("ann")
		for name, err := range callAll(t.Context(), guest) {
			if name == "Public" || name == "Note" {
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				continue
			}
			wantError(t, err, bsrpc.CodePermissionDenied, bsrpc.OutcomeNotRun, "Vault."+name+": the client has no role that may call it")
		}
		synctest.Wait()
		if n := v.ran.Load(); n != 0 {
			t.Errorf("%d calls ran", n)
		}
		if n := refused.Load(); n != 7 {
			t.Errorf("OnRefused saw %d calls, want 7", n)
		}
		// By name the methods do not exist, and near names are those that the client may call.
		err := c.Call(t.Context(), "Vault.Read", nil)
		wantError(t, err, bsrpc.CodeUnimplemented, bsrpc.OutcomeNotRun, "the server has no method Vault.Read")
		err = c.Call(t.Context(), "Vault.Publik", nil)
		wantError(t, err, bsrpc.CodeUnimplemented, bsrpc.OutcomeNotRun, "Vault.Public")
		err = c.Call(t.Context(), "Vault.Raed", nil)
		if e := wantError(t, err, bsrpc.CodeUnimplemented, bsrpc.OutcomeNotRun, "Vault.Raed"); strings.Contains(e.Message, "Vault.Read") {
			t.Errorf("the name leaks: %v", e)
		}
		// A contract that differs is bound too: nothing of the layout may be learned.
		other, err := bsrpc.Bind[struct {
			Read   func(ctx context.Context, n int) ([]int, error)
			Public func(ctx context.Context) (string, error)
		}](t.Context(), c, "Vault")
		if err != nil {
			t.Fatal(err)
		}
		_, err = other.Read(t.Context(), 1)
		wantError(t, err, bsrpc.CodePermissionDenied, bsrpc.OutcomeNotRun, "Vault.Read")

		_, operator := bind("operator")
		if got, err := operator.Read(t.Context()); got != "gold" || err != nil {
			t.Errorf("the operator: %q, %v", got, err)
		}
		wantError(t, operator.Alone(t.Context()), bsrpc.CodePermissionDenied, bsrpc.OutcomeNotRun, "Vault.Alone")
		_, admin := bind("admin")
		for name, err := range callAll(t.Context(), admin) {
			if err != nil {
				t.Errorf("admin: %s: %v", name, err)
			}
		}
		srv.Close()
	})
}

// Authorize holds for every kind of call, before it waits, and can only deny.
func TestAuthorizeEveryKindOfCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := new(vault)
		var deny, panics atomic.Bool
		var asked, reached, refused atomic.Int64
		srv, log := guardedServer(t, &bsrpc.ServerOptions{
			Authenticate: roleOf, Roles: map[string]string{"Who.*": "*"},
			OnRefused: func(_ context.Context, _ *bsrpc.Session, m bsrpc.Method, err *bsrpc.Error) {
				if refused.Add(1); !strings.HasPrefix(m.Name, "Vault.") || err.Outcome != bsrpc.OutcomeNotRun {
					t.Errorf("refused %s: %v", m.Name, err)
				}
			},
			Interceptors: []bsrpc.Interceptor{around(func(ctx context.Context, call *bsrpc.Call, next bsrpc.CallFunc) error {
				reached.Add(1)
				return next(ctx, call)
			})},
			Authorize: func(ctx context.Context, s *bsrpc.Session, m bsrpc.Method) error {
				asked.Add(1)
				if bsrpc.SessionFrom(ctx) != s || !strings.HasPrefix(m.Name, "Vault.") && m.Name != "Who.Am" {
					t.Errorf("asked about %q", m.Name)
				}
				if md := bsrpc.MetadataFrom(ctx); md["tenant"] != "7" {
					t.Errorf("metadata %v", md)
				}
				if panics.Load() {
					panic("oh")
				}
				if deny.Load() {
					return errors.New("not today")
				}
				return nil
			},
		})
		if err := bsrpc.RegisterAs[vaultContract](srv, "Vault", v); err != nil {
			t.Fatal(err)
		}
		c, err := bsrpctest.Dial(t, srv, clientAs("admin", ""))
		if err != nil {
			t.Fatal(err)
		}
		ctx := bsrpc.WithMetadata(t.Context(), bsrpc.Metadata{"tenant": "7"})
		admin, err := bsrpc.Bind[vaultContract](ctx, c, "Vault")
		if err != nil {
			t.Fatal(err)
		}
		for name, err := range callAll(ctx, admin) {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		synctest.Wait()
		ran := v.ran.Load()
		deny.Store(true)
		for name, err := range callAll(ctx, admin) {
			if name != "Note" {
				wantError(t, err, bsrpc.CodePermissionDenied, bsrpc.OutcomeNotRun, "not today")
			}
		}
		err = c.Call(ctx, "Vault.Public", nil, new(string))
		wantError(t, err, bsrpc.CodePermissionDenied, bsrpc.OutcomeNotRun, "not today")
		panics.Store(true)
		for name, err := range callAll(ctx, admin) {
			if name != "Note" {
				wantError(t, err, bsrpc.CodeInternal, bsrpc.OutcomeNotRun, "panic in the Authorize hook")
			}
		}
		synctest.Wait()
		if n := v.ran.Load(); n != ran || asked.Load() != 25 {
			t.Errorf("%d calls ran, want %d; asked %d times", n, ran, asked.Load())
		}
		if in, out := reached.Load(), refused.Load(); in != 8 || out != 17 {
			t.Errorf("%d calls reached the interceptors, %d were refused, of 25", in, out)
		}
		if !strings.Contains(log.String(), "panic=oh") {
			t.Errorf("log:\n%s", log)
		}
		// Roles come first: Authorize is not asked about what they deny.
		guest, err := bsrpctest.Dial(t, srv, clientAs("ann", ""))
		if err != nil {
			t.Fatal(err)
		}
		proxy, err := bsrpc.Bind[vaultContract](ctx, guest, "Vault")
		if err != nil {
			t.Fatal(err)
		}
		wantError(t, proxy.Alone(ctx), bsrpc.CodePermissionDenied, bsrpc.OutcomeNotRun, "has no role")
		if n := asked.Load(); n != 25 {
			t.Errorf("asked %d times", n)
		}
		srv.Close()
	})
}

// What the caller gets of an error of Authorize. A time of its own is not that of the call.
func TestAuthorizeErrors(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		code bsrpc.Code
		text string
	}{
		{"its own time", fmt.Errorf("directory: %w", context.DeadlineExceeded), bsrpc.CodeDeadlineExceeded, "directory: context deadline exceeded"},
		{"its own context", context.Canceled, bsrpc.CodeCanceled, "context canceled"},
		{"a code", &bsrpc.Error{Code: bsrpc.CodeUnavailable, Message: "no directory"}, bsrpc.CodeUnavailable, "no directory"},
		{"a nil *Error", (*bsrpc.Error)(nil), bsrpc.CodeInternal, "panic in the Authorize hook"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, Authorize: func(context.Context, *bsrpc.Session, bsrpc.Method) error { return test.err }})
				if err := bsrpc.RegisterAs[feedContract](srv, "Feed", feed{}); err != nil {
					t.Fatal(err)
				}
				client, err := bsrpctest.Dial(t, srv, nil)
				if err != nil {
					t.Fatal(err)
				}
				over := bsrpc.NewClientOver(bsrpctest.Direct(srv), nil)
				defer over.Close()
				for _, c := range []*bsrpc.Client{client, over} {
					var items iter.Seq2[int, error]
					err := c.Call(t.Context(), "Feed.Send", []any{1, ""}, &items)
					wantError(t, err, test.code, bsrpc.OutcomeNotRun, test.text)
					if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
						t.Errorf("%v is the error of the caller's context", err)
					}
				}
			})
		})
	}
}

// A denied call does not wait for a group that another call holds, and a hanging Authorize
// delays only its own call.
func TestAuthorizeBeforeTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, hang := make(chan struct{}), make(chan struct{})
		srv, _ := guardedServer(t, &bsrpc.ServerOptions{Authenticate: roleOf, Authorize: func(_ context.Context, s *bsrpc.Session, m bsrpc.Method) error {
			switch s.Peer().Name {
			case "bad":
				return &bsrpc.Error{Code: bsrpc.CodeNotFound, Message: "no such vault"}
			case "slow":
				<-hang
			}
			return nil
		}})
		type contract struct {
			Hold func(ctx context.Context) error `bsrpc:"exclusive=vault"`
		}
		if err := bsrpc.RegisterAs[contract](srv, "Vault", &contract{Hold: func(ctx context.Context) error { <-release; return nil }}); err != nil {
			t.Fatal(err)
		}
		bind := func(user string) *contract {
			c, err := bsrpctest.Dial(t, srv, clientAs(user, ""))
			if err != nil {
				t.Fatal(err)
			}
			proxy, err := bsrpc.Bind[contract](t.Context(), c, "Vault")
			if err != nil {
				t.Fatal(err)
			}
			return proxy
		}
		results := make(chan error, 3)
		good, slow := bind("good"), bind("slow")
		go func() { results <- good.Hold(t.Context()) }()
		synctest.Wait()
		begin := time.Now()
		wantError(t, bind("bad").Hold(t.Context()), bsrpc.CodeNotFound, bsrpc.OutcomeNotRun, "no such vault")
		if d := time.Since(begin); d > 0 {
			t.Errorf("denied after %v", d)
		}
		go func() { results <- slow.Hold(t.Context()) }()
		synctest.Wait()
		go func() { results <- good.Hold(t.Context()) }()
		synctest.Wait()
		close(release)
		for range 2 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		close(hang)
		if err := <-results; err != nil {
			t.Error(err)
		}
		srv.Close()
	})
}

// Mistakes in roles are errors of Serve, each by its name.
func TestRoleMistakes(t *testing.T) {
	type contract struct {
		Read  func() error `bsrpc:"roles=admin"`
		Write func() error
		List  func() error
	}
	for _, test := range []struct {
		opts bsrpc.ServerOptions
		want string
	}{
		{bsrpc.ServerOptions{Authenticate: roleOf}, "bsrpc: ServerOptions: some methods have roles, and these have none: S.Write, S.List; tag them roles="},
		{bsrpc.ServerOptions{Roles: map[string]string{"S.*": "*"}}, "no client can have a role without Authenticate, but these methods need one: S.Read"},
		{bsrpc.ServerOptions{Authenticate: roleOf, Roles: map[string]string{"S.*": "admin|"}}, `Roles: "S.*": roles=admin|: want identifiers separated by |, or *`},
		{bsrpc.ServerOptions{Authenticate: roleOf, Roles: map[string]string{"S.*": "*|admin"}}, `Roles: "S.*": roles=*|admin: want identifiers`},
		{bsrpc.ServerOptions{Authenticate: roleOf, Roles: map[string]string{"S.*": "*", "S.Raed": "admin"}}, `Roles: "S.Raed": no such method or service is registered`},
		{bsrpc.ServerOptions{Authenticate: roleOf, Roles: map[string]string{"S.*": "*", "T.*": "admin"}}, `Roles: "T.*": no such method`},
		{bsrpc.ServerOptions{Authenticate: roleOf, Roles: map[string]string{"S.*": "*"}}, ""},
		{bsrpc.ServerOptions{Roles: map[string]string{"S.*": "*", "S.Read": "*"}}, ""},
	} {
		test.opts.Logger = quiet
		srv := bsrpc.NewServer(&test.opts)
		if err := bsrpc.RegisterAs[contract](srv, "S", &contract{func() error { return nil }, func() error { return nil }, func() error { return nil }}); err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		near.Close()
		err := srv.ServeConn(far)
		if test.want == "" {
			if err == nil || !strings.HasPrefix(err.Error(), "bsrpc: handshake: ") {
				t.Errorf("%v: %v", test.opts.Roles, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: got %v, want %q", test.opts.Roles, err, test.want)
		}
	}
	// The word is checked, and is nothing for the methods of a client.
	type misspelt struct {
		Read func() error `bsrpc:"role=admin"`
	}
	err := bsrpc.RegisterAs[misspelt](bsrpc.NewServer(nil), "S", &misspelt{func() error { return nil }})
	if err == nil || !strings.Contains(err.Error(), `unknown option "role="; did you mean roles=?`) {
		t.Errorf("role=: %v", err)
	}
	handlers := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	if err := bsrpc.RegisterAs[contract](handlers, "S", &contract{func() error { return nil }, func() error { return nil }, func() error { return nil }}); err != nil {
		t.Fatal(err)
	}
	_, err = bsrpctest.Dial(t, newLab(t), &bsrpc.ClientOptions{Handlers: handlers})
	if err == nil || !strings.Contains(err.Error(), "the tag roles=") {
		t.Errorf("at a client: %v", err)
	}
}
