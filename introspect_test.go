package bsrpc_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
	"github.com/bsrpc/bsrpc/introspect"
)

// cashDesk is a service whose contract says everything that a description shows.
type cashDesk struct{}

type tillLogin struct {
	User     string
	Password string `bsrpc:"secret,max=64"`
}

func (cashDesk) Login(context.Context, tillLogin, bool) (string, error) { return "token", nil }
func (cashDesk) Total(context.Context, string) (int, error)             { return 1, nil }
func (cashDesk) Audit(context.Context) ([]tillLogin, error)             { return nil, nil }
func (cashDesk) Refund(context.Context, string, int) (err error)        { return nil }

type tillContract struct {
	Login  func(ctx context.Context, l tillLogin, remember bool) (string, error) `bsrpc:"() (secret),timeout=5s,names=login remember,roles=*"`
	Total  func(ctx context.Context, day string) (int, error)                    `bsrpc:"idempotent,names=day,roles=*"`
	Audit  func(ctx context.Context) ([]tillLogin, error)                        `bsrpc:"roles=admin|auditor"`
	Refund func(ctx context.Context, day string, n int) error                    `bsrpc:"exclusive=till,nowait,id=7,roles=admin"`
}

// secureTill returns a server with roles, among them that of operators.
func secureTill(t *testing.T, change func(o *bsrpc.ServerOptions)) *bsrpc.Server {
	t.Helper()
	o := &bsrpc.ServerOptions{Authenticate: roleOf, OperatorRole: "ops", Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(o)
	}
	srv := bsrpc.NewServer(o)
	if err := errors.Join(bsrpc.RegisterAs[tillContract](srv, "Till", cashDesk{}), bsrpc.RegisterAs[tillContract](srv, "lab.Till", cashDesk{})); err != nil {
		t.Fatal(err)
	}
	return srv
}

// dialAs returns a client with a role.
func dialAs(t *testing.T, srv *bsrpc.Server, role string) (*bsrpc.Client, *introspect.Contract) {
	t.Helper()
	c, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{InsecureCredentials: true, Credentials: func(context.Context) (bsrpc.Credentials, error) {
		return bsrpc.NewCredentials(role, ""), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	server, err := bsrpc.Bind[introspect.Contract](t.Context(), c, introspect.Service)
	if err != nil {
		t.Fatal(err)
	}
	return c, server
}

// A description has everything, for a client with all roles.
func TestDescription(t *testing.T) {
	srv := secureTill(t, nil)
	_, server := dialAs(t, srv, "admin")
	ctx := t.Context()
	if got, err := server.Services(ctx); err != nil || !slices.Equal(got, []string{"Till", "lab.Till", introspect.Service}) {
		t.Errorf("got %v, %v", got, err)
	}
	list, err := bsrpctest.Collect(server.Methods(ctx, "Till"))
	if err != nil || len(list) != 4 {
		t.Fatalf("got %v, %v", list, err)
	}
	registered := srv.Methods()
	for i, want := range []string{
		"Till.Login unary [login remember] [timeout=5s roles=*] [parameter 1.Password result 1]",
		"Till.Total unary [day] [idempotent roles=*] []",
		"Till.Audit unary [] [roles=admin|auditor] [result 1[].Password]",
		"Till.Refund unary [] [id=7 exclusive=till nowait roles=admin] []",
	} {
		m := list[i]
		if got := fmt.Sprintln(m.Name, m.Kind, m.Params, m.Options, m.Secrets); got != want+"\n" {
			t.Errorf("got %s, want %s", got, want)
		}
		if m.Layout != registered[i].Layout || m.Hash != registered[i].Hash || strings.Contains(m.Layout, "secret") || strings.Contains(m.Layout, "remember") {
			t.Errorf("%s: layout %s", m.Name, m.Layout)
		}
	}
	all, err := bsrpctest.Collect(server.Methods(ctx, ""))
	if err != nil || len(all) != 4+4+4 { // without the methods of operators
		t.Errorf("got %v, %v", all, err)
	}
	kinds := map[string]string{}
	for _, m := range all {
		kinds[m.Name] = m.Kind
	}
	if kinds["bsrpc.v1.WatchHealth"] != "server stream" || kinds["bsrpc.v1.Sessions"] != "" {
		t.Errorf("got %v", kinds)
	}
	if got := len(srv.Methods()); got != 8 {
		t.Errorf("Methods lists %d methods", got)
	}
}

// What a client may not call is unknown to it, in every answer, with the words for what does not
// exist at all.
func TestDescriptionUnderRoles(t *testing.T) {
	srv := secureTill(t, func(o *bsrpc.ServerOptions) {
		o.Roles = map[string]string{"lab.Till.*": "admin", "lab.Till.Login": "admin", "lab.Till.Total": "admin"}
	})
	client, server := dialAs(t, srv, "guest")
	ctx := t.Context()
	if got, err := server.Services(ctx); err != nil || !slices.Equal(got, []string{"Till", introspect.Service}) {
		t.Errorf("got %v, %v", got, err)
	}
	list, err := bsrpctest.Collect(server.Methods(ctx, "Till"))
	if err != nil || len(list) != 2 {
		t.Errorf("got %v, %v", list, err)
	}
	texts := map[string]string{}
	for _, service := range []string{"lab.Till", "lab.Lost", strings.Repeat("x", 60<<10)} {
		_, methods := bsrpctest.Collect(server.Methods(ctx, service))
		_, health := server.Health(ctx, service)
		_, watched := bsrpctest.Collect(server.WatchHealth(ctx, service))
		for _, err := range []error{methods, health, watched} {
			var e *bsrpc.Error
			if !errors.As(err, &e) || e.Code != bsrpc.CodeNotFound || !e.Remote || len(e.Message) > 100 {
				t.Errorf("%.20s: got %v", service, err)
			} else {
				texts[service] = strings.ReplaceAll(e.Message, service, "X")
			}
		}
	}
	if texts["lab.Till"] != texts["lab.Lost"] {
		t.Errorf("a hidden service differs from a missing one: %q", texts)
	}
	var total int
	for name, want := range map[string]string{"lab.Till.Total": "lbb.Till.Total", "Till.Audit": "Till.Audix", "bsrpc.v1.Sessions": "bsrpc.v1.Sessionx"} {
		err, missing := client.Call(ctx, name, nil, &total), client.Call(ctx, want, nil, &total)
		if err == nil || missing == nil || strings.ReplaceAll(strings.ReplaceAll(err.Error(), name, "X"), "lab.Till", "lbb.Till") != strings.ReplaceAll(missing.Error(), want, "X") {
			t.Errorf("hidden: %v\nmissing: %v", err, missing)
		}
	}
	_, sessions := server.Sessions(ctx)
	_, groups := server.Groups(ctx)
	_, counters := server.Counters(ctx)
	for _, err := range []error{sessions, groups, counters} {
		wantOutcome(t, err, bsrpc.CodePermissionDenied, bsrpc.OutcomeNotRun)
	}
}

// wantOutcome checks the code and the outcome of a call.
func wantOutcome(t *testing.T, err error, code bsrpc.Code, outcome bsrpc.Outcome) {
	t.Helper()
	var e *bsrpc.Error
	if !errors.As(err, &e) || e.Code != code || e.Outcome != outcome {
		t.Errorf("got %v, want %v, %v", err, code, outcome)
	}
}

// HideDescription leaves contracts and health, and answers everything else as unknown, over a
// connection and apart from it.
func TestHideDescription(t *testing.T) {
	srv := secureTill(t, func(o *bsrpc.ServerOptions) { o.HideDescription = true })
	client, server := dialAs(t, srv, "admin")
	testHidden(t, client, server)
	over := bsrpc.NewClientOver(bsrpctest.Direct(srv), &bsrpc.ClientOptions{Credentials: func(context.Context) (bsrpc.Credentials, error) {
		return bsrpc.NewCredentials("admin", ""), nil
	}})
	defer over.Close()
	server, err := bsrpc.Bind[introspect.Contract](t.Context(), over, introspect.Service)
	if err != nil {
		t.Fatal(err)
	}
	testHidden(t, over, server)
}

func testHidden(t *testing.T, client *bsrpc.Client, server *introspect.Contract) {
	t.Helper()
	ctx := t.Context()
	if _, err := bsrpc.Bind[struct {
		Total func(ctx context.Context, day string) (int, error)
	}](ctx, client, "Till"); err != nil {
		t.Error(err)
	}
	_, err := server.Services(ctx)
	wantOutcome(t, err, bsrpc.CodeUnimplemented, bsrpc.OutcomeNotRun)
	_, err = bsrpctest.Collect(server.Methods(ctx, ""))
	wantOutcome(t, err, bsrpc.CodeUnimplemented, bsrpc.OutcomeNotRun)
	if h, err := server.Health(ctx, "Till"); err != nil || !h.Serving {
		t.Errorf("got %v, %v", h, err)
	}
	for _, name := range []string{"Till.Total", "Till.Totall", "Tils.Total", "bsrpc.v1.Health"} {
		err := client.Call(ctx, name, []any{"today"})
		wantOutcome(t, err, bsrpc.CodeUnimplemented, bsrpc.OutcomeNotRun)
		service, _, _ := strings.Cut(name, ".T")
		missing := client.Call(ctx, "Xyz.Total", []any{"today"})
		if text := strings.ReplaceAll(strings.ReplaceAll(err.Error(), name, "Xyz.Total"), service, "Xyz"); name != "bsrpc.v1.Health" && text != missing.Error() {
			t.Errorf("%s: %v, but of a missing service %v", name, err, missing)
		}
	}
	type misspelt struct {
		Totall func(ctx context.Context, day string) (int, error)
	}
	for _, service := range []string{"Till", "Tils"} {
		_, err := bsrpc.Bind[misspelt](ctx, client, service)
		var m *bsrpc.MismatchError
		if !errors.As(err, &m) || m.Differences[0].Near != "" {
			t.Errorf("%s: got %v", service, err)
		}
	}
}

// Calls without a connection are under the same rules: by name nothing is found, nothing is
// suggested, and what the roles deny has no layout.
func TestHideDescriptionApart(t *testing.T) {
	guest := bsrpc.NewCredentials("guest", "")
	for _, hide := range []bool{true, false} {
		srv := secureTill(t, func(o *bsrpc.ServerOptions) { o.HideDescription = hide })
		client := bsrpc.NewClientOver(bsrpctest.Direct(srv), &bsrpc.ClientOptions{InsecureCredentials: true, Credentials: func(context.Context) (bsrpc.Credentials, error) {
			return guest, nil
		}})
		for name, shown := range map[string]bool{"Till.Total": true, "Till.Audit": false, "Till.Audix": false, "Tils.Total": false, "bsrpc.v1.Services": true, "bsrpc.v1.Sessions": false} {
			var args []any
			if name == "Till.Total" {
				args = append(args, "today")
			}
			err := client.Call(t.Context(), name, args)
			if shown && !hide {
				if err != nil && bsrpc.CodeOf(err) != bsrpc.CodeInvalidArgument {
					t.Errorf("%s: %v", name, err)
				}
				continue
			}
			wantOutcome(t, err, bsrpc.CodeUnimplemented, bsrpc.OutcomeNotRun)
			service := name[:strings.LastIndexByte(name, '.')]
			if text := strings.NewReplacer(name, "", service, "").Replace(err.Error()); strings.Contains(text, "Audit") || hide && strings.Contains(text, "Till") {
				t.Errorf("%s: %v", name, err)
			}
			if shown {
				continue
			}
			if r := srv.Handle(t.Context(), &bsrpc.Request{Method: name, Credentials: guest}); r.Layout != "" || r.Err == nil || strings.Contains(strings.ReplaceAll(r.Err.Error(), name, ""), "Audit") {
				t.Errorf("%s: %q, %v", name, r.Layout, r.Err)
			}
		}
		client.Close()
		srv.Close()
	}
}

// Operators see sessions, groups and counters.
func TestOperator(t *testing.T) {
	srv := secureTill(t, nil)
	admin, _ := dialAs(t, srv, "admin")
	_, server := dialAs(t, srv, "ops")
	ctx := t.Context()
	sessions, err := server.Sessions(ctx)
	if err != nil || len(sessions) != 2 || sessions[0].Name != "admin" || sessions[1].Name != "ops" || sessions[1].Calls != 1 || sessions[0].Since.IsZero() {
		t.Errorf("got %v, %v", sessions, err)
	}
	groups, err := server.Groups(ctx)
	if err != nil || len(groups) != 1 || groups[0].Name != "till" || groups[0].Holder != 0 {
		t.Errorf("got %v, %v", groups, err)
	}
	if c, err := server.Counters(ctx); err != nil || c.Sessions != 2 || c.Connections != 2 || c.Handlers < 1 || c.Started.IsZero() {
		t.Errorf("got %v, %v", c, err)
	}
	if err := srv.Sessions()[0].Acquire(ctx, "till"); err != nil {
		t.Fatal(err)
	}
	if groups, err = server.Groups(ctx); err != nil || groups[0].Holder != sessions[0].ID || !groups[0].Acquired {
		t.Errorf("got %v, %v", groups, err)
	}
	admin.Close()
}

// Without a role, a process of the same user is an operator over a unix socket, and any client
// of the machine if the server authenticates none.
func TestOperatorOfThisMachine(t *testing.T) {
	plain := func(o *bsrpc.ServerOptions) {}
	authenticated := func(o *bsrpc.ServerOptions) { o.Authenticate = roleOf }
	for _, tt := range []struct {
		network  string
		opts     func(o *bsrpc.ServerOptions)
		operator bool
	}{
		{"tcp", plain, true},
		{"tcp", authenticated, false},
		{"unix", plain, runtime.GOOS == "linux"},
		{"unix", authenticated, runtime.GOOS == "linux"},
		{"pipe", plain, false},
	} {
		o := &bsrpc.ServerOptions{Logger: slog.New(slog.DiscardHandler)}
		tt.opts(o)
		srv := bsrpc.NewServer(o)
		if err := srv.RegisterName("Greeter", greeter{}); err != nil {
			t.Fatal(err)
		}
		var client *bsrpc.Client
		var err error
		if tt.network == "pipe" {
			client, err = bsrpctest.Dial(t, srv, nil)
		} else {
			address := "127.0.0.1:0"
			if tt.network == "unix" {
				address = filepath.Join(t.TempDir(), "s")
			}
			var l net.Listener
			if l, err = net.Listen(tt.network, address); err != nil {
				t.Fatal(err)
			}
			go srv.Serve(l)
			client, err = bsrpc.Dial(t.Context(), tt.network, l.Addr().String(), nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		server, err := bsrpc.Bind[introspect.Contract](t.Context(), client, introspect.Service)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := server.Counters(t.Context()); (err == nil) != tt.operator {
			t.Errorf("%s: got %v", tt.network, err)
		}
		client.Close()
		srv.Close()
	}
}

// WatchHealth sends each state, the newest alone to a slow reader, and ends with draining: over a
// connection, and apart from it.
func TestWatchHealth(t *testing.T) {
	for _, over := range []bool{false, true} {
		t.Run(fmt.Sprint("over ", over), func(t *testing.T) { testWatchHealth(t, over) })
	}
}

func testWatchHealth(t *testing.T, over bool) {
	synctest.Test(t, func(t *testing.T) {
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: slog.New(slog.DiscardHandler)})
		if err := srv.RegisterName("Greeter", greeter{}); err != nil {
			t.Fatal(err)
		}
		client := bsrpc.NewClientOver(bsrpctest.Direct(srv), nil)
		defer client.Close()
		if !over {
			var err error
			if client, err = bsrpctest.Dial(t, srv, nil); err != nil {
				t.Fatal(err)
			}
		}
		server, err := bsrpc.Bind[introspect.Contract](t.Context(), client, introspect.Service)
		if err != nil {
			t.Fatal(err)
		}
		states := make(chan introspect.Health)
		go func() {
			defer close(states)
			for h, err := range server.WatchHealth(t.Context(), "Greeter") {
				if err != nil {
					t.Error(err)
				}
				states <- h
			}
		}()
		want := func(h introspect.Health) {
			t.Helper()
			synctest.Wait()
			if got := <-states; got != h {
				t.Errorf("got %+v, want %+v", got, h)
			}
		}
		want(introspect.Health{Serving: true})
		srv.SetHealth("Other", false)
		srv.SetHealth("Greeter", false)
		want(introspect.Health{})
		srv.SetHealth("Greeter", true)
		want(introspect.Health{Serving: true})
		srv.SetHealth("", false)
		want(introspect.Health{})
		if h, err := server.Health(t.Context(), ""); err != nil || h.Serving {
			t.Errorf("got %v, %v", h, err)
		}
		srv.SetHealth("", true)
		want(introspect.Health{Serving: true})
		ended := make(chan error)
		go func() { ended <- srv.Shutdown(t.Context()) }()
		want(introspect.Health{Draining: true})
		if _, more := <-states; more {
			t.Error("the stream goes on")
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// Streams of health that nothing reads cost no more than other streams, and none outlives its
// connection.
func TestWatchHealthFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: slog.New(slog.DiscardHandler), MaxStreams: 64})
		if err := srv.RegisterName("Greeter", greeter{}); err != nil {
			t.Fatal(err)
		}
		client, err := bsrpctest.Dial(t, srv, nil)
		if err != nil {
			t.Fatal(err)
		}
		server, err := bsrpc.Bind[introspect.Contract](t.Context(), client, introspect.Service)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		refused := make(chan error, 100)
		for range 100 {
			go func() {
				for _, err := range server.WatchHealth(ctx, "") {
					if err != nil {
						refused <- err
						return
					}
				}
				refused <- nil
			}()
		}
		for i := range 1000 {
			srv.SetHealth("Greeter", i%2 == 0)
		}
		synctest.Wait()
		if n := len(refused); n != 36 {
			t.Errorf("%d of 100 streams have ended, want 36", n)
		}
		client.Close()
		time.Sleep(time.Second)
		if n := len(srv.Sessions()); n != 0 {
			t.Errorf("%d sessions are left", n)
		}
	})
}

// Names of the library are refused at registration.
func TestReservedService(t *testing.T) {
	for _, name := range []string{"bsrpc", "bsrpc.v1", "bsrpc.v2.Extra"} {
		err := bsrpc.NewServer(nil).RegisterName(name, greeter{})
		if err == nil || !strings.Contains(err.Error(), "names that begin with bsrpc. are the library's") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := bsrpc.NewServer(nil).RegisterName("bsrpcs.v1", greeter{}); err != nil {
		t.Error(err)
	}
}

// A client has no such service for its server.
func TestNoDescriptionOfClients(t *testing.T) {
	handlers := bsrpc.NewServer(nil)
	if err := handlers.RegisterName("Greeter", greeter{}); err != nil {
		t.Fatal(err)
	}
	bound := make(chan error, 1)
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: slog.New(slog.DiscardHandler), OnConnect: func(ctx context.Context, s *bsrpc.Session) error {
		_, err := bsrpc.Bind[introspect.Contract](ctx, s, introspect.Service)
		bound <- err
		return nil
	}})
	if _, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{Handlers: handlers}); err != nil {
		t.Fatal(err)
	}
	var m *bsrpc.MismatchError
	if err := <-bound; !errors.As(err, &m) {
		t.Errorf("got %v", err)
	}
}

// An operator's role that no client can have is an error, and so are wrong names of parameters.
func TestDescriptionMistakes(t *testing.T) {
	err := bsrpc.NewServer(&bsrpc.ServerOptions{OperatorRole: "ops"}).ServeConn(new(net.TCPConn))
	if err == nil || !strings.Contains(err.Error(), "OperatorRole: no client can have a role without Authenticate") {
		t.Errorf("got %v", err)
	}
	type contract struct {
		Few   func(ctx context.Context, a, b int) error `bsrpc:"names=a"`
		Twice func(ctx context.Context, a, b int) error `bsrpc:"names=a a"`
		Bad   func(ctx context.Context, a int) error    `bsrpc:"names=1"`
		None  func(ctx context.Context, a int) error    `bsrpc:"names="`
	}
	_, err = bsrpc.Bind[contract](t.Context(), nil, "Shop")
	for _, want := range []string{
		"Shop.Few: names= has 1 names for 2 parameters; give one for each, without the context",
		`Shop.Twice: names=a a: duplicate name "a"`,
		"Shop.Bad: names=1: want identifiers separated by spaces",
		`Shop.None: "names=" needs a value, as in names=a b`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// Tools and servers of all releases work together.
func TestIntrospectContract(t *testing.T) {
	bsrpctest.Golden(t, "introspect/testdata/introspect.contract", introspect.Contract{})
}
