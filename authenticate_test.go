package bsrpc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// tokenOf returns an Authenticate for users with the token "secret of " and their name, which
// gives each the role user.
func tokenOf(_ context.Context, p *bsrpc.Peer, c bsrpc.Credentials) error {
	if !c.HasToken("secret of " + c.User()) {
		return fmt.Errorf("wrong token of %q", c.User())
	}
	p.Name, p.Roles = c.User(), []string{"user"}
	return nil
}

// clientAs returns the options of a client with credentials.
func clientAs(user, token string) *bsrpc.ClientOptions {
	return &bsrpc.ClientOptions{Logger: quiet, InsecureCredentials: true, Credentials: func(context.Context) (bsrpc.Credentials, error) {
		return bsrpc.NewCredentials(user, token), nil
	}}
}

// guardedServer returns a server with an Authenticate and a method Who.Am, and its log.
func guardedServer(t testing.TB, opts *bsrpc.ServerOptions) (*bsrpc.Server, *bytes.Buffer) {
	t.Helper()
	log := new(bytes.Buffer)
	opts.Logger = slog.New(slog.NewTextHandler(log, nil))
	srv := bsrpc.NewServer(opts)
	if err := srv.RegisterFunc("Who.Am", func(ctx context.Context) string {
		p := bsrpc.SessionFrom(ctx).Peer()
		return p.Name + " " + strings.Join(p.Roles, "|")
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	return srv, log
}

// A client with the right token gets in, with a name and roles. All others learn the same,
// and the log has the reason under the id that they get.
func TestAuthenticate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, log := guardedServer(t, &bsrpc.ServerOptions{Authenticate: tokenOf})
		client, err := bsrpctest.Dial(t, srv, clientAs("ann", "secret of ann"))
		if err != nil {
			t.Fatal(err)
		}
		var who string
		if err := client.Call(t.Context(), "Who.Am", nil, &who); err != nil || who != "ann user" {
			t.Errorf("got %q, %v", who, err)
		}
		for _, opts := range []*bsrpc.ClientOptions{clientAs("ann", "secret of bob"), clientAs("", ""), clientAs("ann", ""), nil} {
			_, err := bsrpctest.Dial(t, srv, opts)
			e := wantError(t, err, bsrpc.CodeUnauthenticated, bsrpc.OutcomeNotRun, "bsrpc: unauthenticated (id ")
			id := strings.TrimSuffix(strings.TrimPrefix(e.Message, "bsrpc: unauthenticated (id "), " in the server's log)")
			if len(id) != 16 || strings.Count(log.String(), "id="+id) != 1 {
				t.Errorf("%q is not in the log:\n%s", e.Message, log)
			}
		}
		if text := log.String(); !strings.Contains(text, `wrong token of \"ann\"`) || strings.Contains(text, "secret") {
			t.Errorf("log:\n%s", text)
		}
		if n := len(srv.Sessions()); n != 1 {
			t.Errorf("%d sessions", n)
		}
	})
}

// A server without Authenticate ignores credentials.
func TestCredentialsOfNoUse(t *testing.T) {
	srv, _ := guardedServer(t, &bsrpc.ServerOptions{})
	client, err := bsrpctest.Dial(t, srv, clientAs("ann", "x"))
	if err != nil {
		t.Fatal(err)
	}
	var who string
	if err := client.Call(t.Context(), "Who.Am", nil, &who); err != nil || who != " " {
		t.Errorf("got %q, %v", who, err)
	}
}

// Authenticate comes before a place: a client without a proof neither waits nor takes one.
func TestAuthenticateBeforeAPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, _ := guardedServer(t, &bsrpc.ServerOptions{Authenticate: tokenOf, MaxSessions: 1, RefuseWhenFull: true})
		if _, err := bsrpctest.Dial(t, srv, clientAs("ann", "secret of ann")); err != nil {
			t.Fatal(err)
		}
		_, err := bsrpctest.Dial(t, srv, clientAs("ann", "wrong"))
		wantError(t, err, bsrpc.CodeUnauthenticated, bsrpc.OutcomeNotRun, "unauthenticated")
		_, err = bsrpctest.Dial(t, srv, clientAs("bob", "secret of bob"))
		wantError(t, err, bsrpc.CodeResourceExhausted, bsrpc.OutcomeNotRun, "MaxSessions (1)")
	})
}

// Authenticate may panic, and hang: until HandshakeTimeout, and in a limited number.
func TestAuthenticateFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, log := guardedServer(t, &bsrpc.ServerOptions{Authenticate: func(context.Context, *bsrpc.Peer, bsrpc.Credentials) error {
			panic("oh")
		}})
		_, err := bsrpctest.Dial(t, srv, nil)
		wantError(t, err, bsrpc.CodeUnauthenticated, bsrpc.OutcomeNotRun, "unauthenticated")
		synctest.Wait()
		if !strings.Contains(log.String(), "panic=oh") {
			t.Errorf("log:\n%s", log)
		}

		release := make(chan struct{})
		var running atomic.Int64
		srv, log = guardedServer(t, &bsrpc.ServerOptions{Limits: bsrpc.Limits{MaxHandshakes: 3}, Authenticate: func(ctx context.Context, _ *bsrpc.Peer, _ bsrpc.Credentials) error {
			if end, ok := ctx.Deadline(); !ok || time.Until(end) > 10*time.Second {
				t.Errorf("deadline %v", end)
			}
			running.Add(1)
			<-release
			return nil
		}})
		for i := range 5 {
			begin := time.Now()
			near, far := net.Pipe()
			go srv.ServeConn(far)
			_, err := bsrpc.NewClient(t.Context(), near, &bsrpc.ClientOptions{DialTimeout: time.Minute})
			want := 10 * time.Second
			if i < 2 {
				wantError(t, err, bsrpc.CodeUnauthenticated, bsrpc.OutcomeNotRun, "unauthenticated")
			} else { // one address has half of the limit
				wantError(t, err, bsrpc.CodeResourceExhausted, bsrpc.OutcomeNotRun, "too many calls of Authenticate are under way (Limits.MaxHandshakes, half of it for one address)")
				want = 0
			}
			if d := time.Since(begin); d != want {
				t.Errorf("client %d: %v", i, d)
			}
		}
		time.Sleep(time.Second) // the line follows the refusal
		synctest.Wait()
		if n := running.Load(); n != 2 || !strings.Contains(log.String(), "too many calls of Authenticate") {
			t.Errorf("%d calls of Authenticate, log:\n%s", n, log)
		}
		close(release)
	})
}

// Authenticate sets name and roles: the address stays, whatever it does to its Peer, and what it changes
// later has no effect.
func TestAuthenticateSetsNameAndRoles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept *bsrpc.Peer
		roles := []string{"user"}
		srv, _ := guardedServer(t, &bsrpc.ServerOptions{Roles: map[string]string{"Who.*": "user"}, Authenticate: func(_ context.Context, p *bsrpc.Peer, _ bsrpc.Credentials) error {
			*p = bsrpc.Peer{Name: "ann", Roles: roles}
			kept = p
			return nil
		}})
		client, err := bsrpctest.Dial(t, srv, nil)
		if err != nil {
			t.Fatal(err)
		}
		kept.Name, kept.Roles, roles[0] = "eve", nil, "admin"
		var who string
		if err := client.Call(t.Context(), "Who.Am", nil, &who); err != nil || who != "ann user" {
			t.Errorf("got %q, %v", who, err)
		}
		if srv.Sessions()[0].RemoteAddr() == nil {
			t.Error("the address is gone")
		}
	})
}

// Errors of a server's hooks whose methods panic, as those of a nil *Error do, refuse the client.
func TestNilErrorsOfServerHooks(t *testing.T) {
	for name, test := range map[string]struct {
		opts bsrpc.ServerOptions
		code bsrpc.Code
		text string
	}{
		"Authenticate": {bsrpc.ServerOptions{Authenticate: func(context.Context, *bsrpc.Peer, bsrpc.Credentials) error { return (*bsrpc.Error)(nil) }},
			bsrpc.CodeUnauthenticated, "bsrpc: unauthenticated (id "},
		"OnConnect": {bsrpc.ServerOptions{OnConnect: func(context.Context, *bsrpc.Session) error { return (*bsrpc.Error)(nil) }},
			bsrpc.CodeInternal, "bsrpc: panic in the error of OnConnect or PerSession (id "},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv, _ := guardedServer(t, &test.opts)
				for range 2 {
					_, err := bsrpctest.Dial(t, srv, nil)
					wantError(t, err, test.code, bsrpc.OutcomeNotRun, test.text)
				}
			})
		})
	}
}

// Credentials are asked for each connection. Their errors are those of Dial.
func TestCredentialsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, _ := guardedServer(t, &bsrpc.ServerOptions{Authenticate: tokenOf})
		errNoToken := errors.New("the vault is closed")
		dial := func(insecure bool, f func(context.Context) (bsrpc.Credentials, error)) error {
			near, far := net.Pipe()
			go srv.ServeConn(far)
			_, err := bsrpc.NewClient(t.Context(), near, &bsrpc.ClientOptions{Logger: quiet, InsecureCredentials: insecure, Credentials: f})
			return err
		}
		err := dial(true, func(context.Context) (bsrpc.Credentials, error) { return bsrpc.Credentials{}, errNoToken })
		wantError(t, err, bsrpc.CodeUnavailable, bsrpc.OutcomeNotRun, "bsrpc: Credentials: the vault is closed")
		if !errors.Is(err, errNoToken) {
			t.Errorf("got %v", err)
		}
		err = dial(true, func(context.Context) (bsrpc.Credentials, error) { panic("oh") })
		wantError(t, err, bsrpc.CodeInternal, bsrpc.OutcomeNotRun, "panic in Credentials")
		begin := time.Now()
		release := make(chan struct{})
		err = dial(true, func(context.Context) (bsrpc.Credentials, error) { <-release; return bsrpc.Credentials{}, nil })
		wantError(t, err, bsrpc.CodeDeadlineExceeded, bsrpc.OutcomeNotRun, "DialTimeout")
		if d := time.Since(begin); d != 10*time.Second {
			t.Errorf("after %v", d)
		}
		close(release)
		err = dial(true, func(context.Context) (bsrpc.Credentials, error) {
			return bsrpc.NewCredentials("ann", strings.Repeat("x", 8165)), nil
		})
		wantError(t, err, bsrpc.CodeInvalidArgument, bsrpc.OutcomeNotRun, "want at most 8176")
		err = dial(false, func(context.Context) (bsrpc.Credentials, error) {
			t.Error("asked in vain")
			return bsrpc.Credentials{}, nil
		})
		wantError(t, err, bsrpc.CodeFailedPrecondition, bsrpc.OutcomeNotRun, "Credentials are not sent: the server is not verified by TLS, and not at a unix socket; set TLS, or InsecureCredentials")
	})
}

// Where tokens are sent: over verified TLS, and to a unix socket of this user.
func TestWhereTokensGo(t *testing.T) {
	ca := bsrpctest.NewCA(t)
	srv, _ := guardedServer(t, &bsrpc.ServerOptions{TLS: ca.Server(), Authenticate: tokenOf})
	opts := clientAs("ann", "secret of ann")
	opts.InsecureCredentials, opts.TLS = false, ca.Client()
	if _, err := bsrpctest.Dial(t, srv, opts); err != nil {
		t.Error(err)
	}
	opts.TLS.InsecureSkipVerify = true
	if _, err := bsrpctest.Dial(t, srv, opts); err == nil || !strings.Contains(err.Error(), "not verified by TLS") {
		t.Errorf("TLS without verification: %v", err)
	}
	plain, _ := guardedServer(t, &bsrpc.ServerOptions{Authenticate: tokenOf})
	opts.TLS = nil
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go plain.Serve(tcp)
	if _, err := bsrpc.Dial(t.Context(), "tcp", tcp.Addr().String(), opts); err == nil || !strings.Contains(err.Error(), "Credentials are not sent") {
		t.Errorf("loopback: %v", err)
	}
	path := filepath.Join(t.TempDir(), "s")
	unix, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	go plain.Serve(unix)
	client, err := bsrpc.Dial(t.Context(), "unix", path, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var who string
	if err := client.Call(t.Context(), "Who.Am", nil, &who); err != nil {
		t.Fatal(err)
	}
	p := plain.Sessions()[0].Peer()
	if p.Unix == nil || int(p.Unix.UID) != os.Getuid() || int(p.Unix.PID) != os.Getpid() || int(p.Unix.GID) != os.Getgid() {
		t.Errorf("got %+v", p.Unix)
	}
}

// A certificate can be the proof, without credentials.
func TestAuthenticateByCertificate(t *testing.T) {
	ca := bsrpctest.NewCA(t)
	srv, _ := guardedServer(t, &bsrpc.ServerOptions{TLS: ca.Server(), Authenticate: func(_ context.Context, p *bsrpc.Peer, c bsrpc.Credentials) error {
		if !slices.Contains(p.CertificateNames, "ann.example") || c.User() != "" || c.Token() != "" {
			return errors.New("who?")
		}
		p.Name = "ann"
		return nil
	}})
	if _, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{TLS: ca.Client("ann.example")}); err != nil {
		t.Error(err)
	}
	_, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{TLS: ca.Client("bob.example")})
	wantError(t, err, bsrpc.CodeUnauthenticated, bsrpc.OutcomeNotRun, "unauthenticated")
}

// A refusal over TLS takes no time in memory, where nothing is read after it: neither end waits to send an alert.
func TestRefusalOverTLSWaitsForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := bsrpctest.NewCA(t) // valid in the bubble's year
		srv, _ := guardedServer(t, &bsrpc.ServerOptions{TLS: ca.Server(), Authenticate: func(context.Context, *bsrpc.Peer, bsrpc.Credentials) error {
			return errors.New("nobody may")
		}})
		began := time.Now()
		_, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{TLS: ca.Client()})
		wantError(t, err, bsrpc.CodeUnauthenticated, bsrpc.OutcomeNotRun, "unauthenticated")
		if took := time.Since(began); took != 0 {
			t.Errorf("took %v", took)
		}
		srv.Close()
	})
}

// Credentials print as "redacted", however deep they are.
func TestCredentialsPrintNothing(t *testing.T) {
	c := bsrpc.NewCredentials("ann", "hunter2")
	type holder struct {
		Public  bsrpc.Credentials
		private bsrpc.Credentials
		pointer *bsrpc.Credentials
	}
	h := holder{c, c, &c}
	var text strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&text, verb+verb+verb+"\n", c, &c, h)
	}
	encoded, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	text.Write(encoded)
	for _, handler := range []slog.Handler{slog.NewTextHandler(&text, nil), slog.NewJSONHandler(&text, nil)} {
		slog.New(handler).Info("x", "c", c, "p", &c, "h", h)
	}
	text.WriteString(c.String() + c.GoString() + fmt.Sprint(errors.New(c.String())))
	if got := text.String(); strings.Contains(got, "hunter2") || strings.Contains(got, fmt.Sprintf("%x", "hunter2")) || strings.Contains(got, "ann") {
		t.Errorf("printed:\n%s", got)
	}
	if c.User() != "ann" || c.Token() != "hunter2" || !c.HasToken("hunter2") || c.HasToken("hunter") || bsrpc.NewCredentials("", "").HasToken("") || (bsrpc.Credentials{}).Token() != "" {
		t.Error("the credentials themselves are wrong")
	}
}

// HasToken compares the whole of two tokens, in a time that depends on neither. A digest of a long
// token takes many times longer than that of a short one, and would show which users have one.
func TestHasToken(t *testing.T) {
	for _, n := range []int{1, 7, 8, 63, 64, 8164, 8191, 8192, 8193, 20_000} {
		token := strings.Repeat("x", n)
		c := bsrpc.NewCredentials("ann", token)
		for _, other := range []string{"", token[1:], token + "x", token + "\x00", token[1:] + "\x00", token[1:] + "y", "y" + token[1:], strings.Repeat("y", n)} {
			if c.HasToken(other) || bsrpc.NewCredentials("ann", other).HasToken(token) {
				t.Errorf("%d bytes: another token, of %d bytes, is taken for the right one", n, len(other))
			}
		}
		if !c.HasToken(token) {
			t.Errorf("%d bytes: not the right one", n)
		}
	}
	guess := bsrpc.NewCredentials("ann", "let me in")
	shortest := func(want string) time.Duration {
		least := time.Hour
		for range 50 {
			began := time.Now()
			guess.HasToken(want)
			guess.HasToken(want)
			least = min(least, time.Since(began))
		}
		return least
	}
	none, long := shortest(""), shortest(strings.Repeat("x", 8000))
	if long > 4*none {
		t.Errorf("%v for two comparisons with no token, %v with a long one", none, long)
	}
}
