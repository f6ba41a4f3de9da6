package httpbsrpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
	"github.com/bsrpc/bsrpc/httpbsrpc"
)

func TestTimeoutOfJSON(t *testing.T) {
	_, _, web := serve(t, nil, nil)
	status, body, _ := asJSON(t, web.URL+"/Stock.Put", `["wait", 1]`, "Bsrpc-Timeout: 20ms")
	if status != http.StatusGatewayTimeout || !strings.Contains(body, `"deadline exceeded"`) {
		t.Errorf("got %d, %s", status, body)
	}
}

type noteV1 struct{ Text string }

type noteV2 struct {
	Text string
	By   string `bsrpc:"optional"`
}

type notes[T any] struct {
	Add func(ctx context.Context, n T) (T, error)
	All func(ctx context.Context) iter.Seq2[T, error]
}

// notesServer returns a server of one version, behind HTTP.
func notesServer[T any](t *testing.T, first T) http.Handler {
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	err := bsrpc.RegisterAs[notes[T]](srv, "Notes", &notes[T]{
		func(_ context.Context, n T) (T, error) { return n, nil },
		func(context.Context) iter.Seq2[T, error] {
			return func(yield func(T, error) bool) { yield(first, nil) }
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	return httpbsrpc.Handler(srv, nil)
}

// Behind a balancer each call may reach another version.
func TestVersions(t *testing.T) {
	v1, v2, v3 := notesServer(t, noteV1{"one"}), notesServer(t, noteV2{"two", "me"}), notesServer(t, struct{ Text int }{3})
	var serving atomic.Pointer[http.Handler]
	serving.Store(&v1)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*serving.Load()).ServeHTTP(w, r) }))
	defer web.Close()
	client := dial(t, web.URL, nil)
	p, err := bsrpc.Bind[notes[noteV2]](t.Context(), client, "Notes")
	if err != nil {
		t.Fatal(err)
	}
	for i, next := range []http.Handler{v1, v2, v1, v2} {
		serving.Store(&next)
		n, err := p.Add(t.Context(), noteV2{Text: "x"})
		if n.Text != "x" || err != nil {
			t.Errorf("%d: got %v, %v", i, n, err)
		}
		if all, err := bsrpctest.Collect(p.All(t.Context())); len(all) != 1 || err != nil {
			t.Errorf("%d: got %v, %v", i, all, err)
		}
	}
	serving.Store(&v3)
	var m *bsrpc.MismatchError
	if _, err := p.Add(t.Context(), noteV2{Text: "x"}); !errors.As(err, &m) || len(m.Differences) == 0 {
		t.Errorf("got %v", err)
	}
	if _, err := bsrpc.Bind[notes[noteV2]](t.Context(), client, "Notes"); !errors.As(err, &m) {
		t.Errorf("got %v", err)
	}
}

func TestDialOptions(t *testing.T) {
	creds := func(context.Context) (bsrpc.Credentials, error) { return bsrpc.NewCredentials("", "t"), nil }
	for _, test := range []struct {
		url  string
		opts *bsrpc.ClientOptions
		want string
	}{
		{"lab.example", nil, "want a URL"},
		{"ftp://lab.example", nil, "want a URL"},
		{"http://ann:secret@lab.example", nil, "want a URL"},
		{"http://ann:sec ret@lab.example", nil, "not a URL"},
		{"http://lab.example/?q", nil, "want a URL"},
		{"http://lab.example", &bsrpc.ClientOptions{Credentials: creds}, "use https"},
		{"http://lab.example", &bsrpc.ClientOptions{Basic: true}, "Basic"},
		{"https://lab.example/rpc", &bsrpc.ClientOptions{Credentials: creds}, "<nil>"},
		{"http://lab.example", &bsrpc.ClientOptions{Credentials: creds, InsecureCredentials: true}, "<nil>"},
	} {
		_, err := httpbsrpc.Dial(test.url, &httpbsrpc.DialOptions{Client: test.opts})
		if text := fmt.Sprint(err); !strings.Contains(text, test.want) || strings.Contains(text, "ann") {
			t.Errorf("%s: got %s, want %s", test.url, text, test.want)
		}
	}
}

// Answers of other programs are errors, whose outcome is unknown.
func TestOtherAnswers(t *testing.T) {
	var answer atomic.Pointer[func(w http.ResponseWriter)]
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { (*answer.Load())(w) }))
	defer web.Close()
	client := dial(t, web.URL, nil)
	reply := func(kind, front, body string) func(w http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", kind)
			io.WriteString(w, front+body)
		}
	}
	const stream = "application/bsrpc-stream"
	hash := strings.Repeat("\x00", 32) // after the status
	for name, a := range map[string]func(w http.ResponseWriter){
		"a proxy":         func(w http.ResponseWriter) { http.Error(w, "bad gateway", http.StatusBadGateway) },
		"a page":          reply("text/html", "", "<html>"),
		"another status":  reply("application/bsrpc", "\x03"+hash, ""),
		"a bad error":     reply("application/bsrpc", "\x01"+hash, "\xff\xff"),
		"an empty stream": reply(stream, "", ""),
		"no results":      reply(stream, "", "i\x00"),
		"a long frame":    reply(stream, "", "r\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
		"a cut frame":     reply(stream, "", "r\x05ab"),
		"a bad length":    reply(stream, "", "r\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
		"no length":       reply(stream, "", "r"),
		"a broken body": func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "40")
			reply("application/bsrpc", "\x00"+hash, "a")(w)
		},
		"metadata": func(w http.ResponseWriter) {
			w.Header().Set("Bsrpc-Metadata", "x")
			reply("application/bsrpc", "\x00"+hash, "")(w)
		},
		"no hash":                reply("application/bsrpc", "\x00", hash[1:]),
		"results without a hash": reply(stream, "", "r\x05abcde"),
		"a redirect": func(w http.ResponseWriter) {
			w.Header().Set("Location", "http://other.example")
			w.WriteHeader(http.StatusTemporaryRedirect)
		},
		"a closed request": func(w http.ResponseWriter) { panic(http.ErrAbortHandler) },
	} {
		answer.Store(&a)
		_, err := bsrpc.Bind[contract](t.Context(), client, "Stock")
		var e *bsrpc.Error
		if !errors.As(err, &e) || e.Outcome == bsrpc.OutcomeNotRun {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A stream whose connection breaks ends with an error, whatever has come before.
func TestCutStream(t *testing.T) {
	_, _, web := serve(t, nil, nil)
	p := bind(t, dial(t, web.URL, nil))
	n := 0
	for _, err := range p.Count(t.Context(), 1<<30) {
		if n++; n == 10 {
			web.CloseClientConnections()
		}
		if err != nil {
			if bsrpc.CodeOf(err) != bsrpc.CodeUnavailable || errors.Is(err, io.EOF) {
				t.Errorf("got %v", err)
			}
			return
		}
	}
	t.Error("the stream has ended without an error")
}

func TestNotRun(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	_, err = bsrpc.Bind[contract](t.Context(), dial(t, "http://"+l.Addr().String(), nil), "Stock")
	var e *bsrpc.Error
	if !errors.As(err, &e) || e.Outcome != bsrpc.OutcomeNotRun || e.Code != bsrpc.CodeUnavailable {
		t.Errorf("got %+v", err)
	}
}

// A captured is an http.RoundTripper that keeps the URLs of requests, and fails them.
type captured struct{ urls []string }

func (c *captured) RoundTrip(r *http.Request) (*http.Response, error) {
	c.urls = append(c.urls, r.URL.String())
	return nil, errors.New("captured")
}

// TestAddresses: the path of Dial stays as it is, with its escapes, and the method is one element behind it.
func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"http://lab.example":             "http://lab.example/bsrpc.v1.Bind",
		"http://lab.example/":            "http://lab.example/bsrpc.v1.Bind",
		"https://lab.example:81/a b/rpc": "https://lab.example:81/a%20b/rpc/bsrpc.v1.Bind",
		"http://lab.example/a%2Fb/%20/":  "http://lab.example/a%2Fb/%20/bsrpc.v1.Bind",
	} {
		got := new(captured)
		client, err := httpbsrpc.Dial(address, &httpbsrpc.DialOptions{HTTP: &http.Client{Transport: got}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bsrpc.Bind[notes[noteV1]](t.Context(), client, "Notes"); err == nil || len(got.urls) != 1 || got.urls[0] != want {
			t.Errorf("%s: got %q, %v, want %s", address, got.urls, err, want)
		}
		client.Close()
	}
}
