package httpbsrpc_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
	"github.com/bsrpc/bsrpc/httpbsrpc"
)

func TestJSON(t *testing.T) {
	_, _, web := serve(t, nil, &httpbsrpc.Options{MaxMessage: 1000})
	for _, test := range []struct {
		method, args string
		status       int
		want         string
	}{
		{"Stock.Put", `["bolt", 4]`, 200, `["8"]`},
		{"Stock.Put", ` [ "bolt" , "4" ] `, 200, `["8"]`},
		{"Stock.Describe", `[{"Name": "nut", "Sizes": [3, 5]}]`, 200, `[{"Name":"nut","Sizes":[3,5]},"2"]`},
		{"Stock.Describe", `[{}]`, 200, `[{"Name":"","Sizes":[]},"0"]`},
		{"Stock.Note", `["x"]`, 200, `[]`},
		{"Stock.Put", `["none", 4]`, 500, `{"code":"unknown","message":"put: no stock","outcome":"answered","name":"stock.none"}`},
		{"Stock.Put", `["bolt", "four"]`, 400, `{"code":"invalid argument","message":"bsrpc: Stock.Put, parameter 2: `},
		{"Stock.Describe", `[{"Name": "nut", "Sizes": [3, 70000]}]`, 400, `Stock.Describe, parameter 1: Sizes[1]: `},
		{"Stock.Describe", `[{"Name": 7}]`, 400, `parameter 1: Name: a number; the layout has a string`},
		{"Stock.Describe", `[{"Nmae": "secret"}]`, 400, `parameter 1: `},
		{"Stock.Put", `["bolt"]`, 400, `Stock.Put: 1 arguments; the method has 2 parameters`},
		{"Stock.Put", ``, 400, `0 arguments`},
		{"Stock.Put", `null`, 400, `want a JSON list`},
		{"Stock.Put", `{"item": "bolt"}`, 400, `want a JSON list`},
		{"Stock.Put", `["bolt", 4`, 400, `want a JSON list`},
		{"Stock.Put", `["bolt", 4] x`, 400, `want a JSON list`},
		{"Stock.Pit", `[]`, 501, `it has Stock.Put`},
		{"", `[]`, 501, `the server has no`},
		{"Stock.Put/x", `[]`, 501, `the server has no`},
		{"bsrpc.v1.Bind", ``, 400, `has no JSON`},
		{"bsrpc.v1.Health", `[""]`, 200, `[{"Serving":true,"Draining":false}]`},
		{"Stock.Count", `[2]`, 200, "data: \"0\"\n\ndata: \"1\"\n\nevent: end\ndata: null\n\n"},
		{"Stock.Count", `[7]`, 200, "data: \"6\"\n\nevent: error\ndata: {\"code\":\"unknown\",\"message\":\"count: no stock\",\"outcome\":\"answered\",\"name\":\"stock.none\"}\n\n"},
		{"Stock.Open", `["ab"]`, 200, "event: results\ndata: [\"2\"]\n\ndata: \"YWJhY"},
		{"Stock.Open", `[""]`, 500, `"name":"fs.ErrNotExist"`},
	} {
		status, body, h := asJSON(t, web.URL+"/"+test.method, test.args)
		if status != test.status || !strings.Contains(body, test.want) || strings.Contains(body, "secret") {
			t.Errorf("%s %s: got %d, %s", test.method, test.args, status, body)
		}
		if kind := h.Get("Content-Type"); kind != "application/json" && kind != "text/event-stream" || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: got the type %q", test.method, kind)
		}
		if strings.HasPrefix(body, "{") && !json.Valid([]byte(body)) {
			t.Errorf("%s: not JSON: %s", test.method, body)
		}
	}
}

// Parameters that are optional may be absent in a list.
func TestJSONOptional(t *testing.T) {
	type c struct {
		Add func(a int, b noteV2, list []string) (string, error) `bsrpc:"(,optional,optional)"`
	}
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	err := bsrpc.RegisterAs[c](srv, "Sum", &c{func(a int, b noteV2, list []string) (string, error) {
		return strings.Repeat("x", a+len(b.Text)+len(list)), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(httpbsrpc.Handler(srv, nil))
	defer web.Close()
	for args, want := range map[string]string{`[1]`: `["x"]`, `[1, {"Text": "ab"}]`: `["xxx"]`, `[1, {}, ["a"]]`: `["xx"]`, `[]`: "0 arguments"} {
		if _, body, _ := asJSON(t, web.URL+"/Sum.Add", args); !strings.Contains(body, want) {
			t.Errorf("%s: got %s", args, body)
		}
	}
}

func TestHeaders(t *testing.T) {
	_, _, web := serve(t, nil, nil)
	for _, test := range []struct {
		header string
		status int
		want   string
	}{
		{"Bsrpc-Metadata: tenant=%2Fa%2C, trace=7", 200, `["8"]`},
		{"Bsrpc-Metadata: tenant", 400, "want entries key=value"},
		{"Bsrpc-Metadata: tenant=%2", 400, "want entries"},
		{"Bsrpc-Metadata: tenant=1,tenant=2", 400, "different keys"},
		{"Bsrpc-Metadata: Tenant=1", 400, "metadata"},
		{"Bsrpc-Timeout: 5s", 200, `["8"]`},
		{"Bsrpc-Timeout: 5", 400, "such as 1.5s"},
		{"Bsrpc-Timeout: -5s", 400, "above zero"},
		{"Bsrpc-Timeout: 1ns", 504, "deadline exceeded"},
		{"Bsrpc-Knows: 00", 400, "64 hexadecimal"},
		{"Bsrpc-Knows: " + strings.Repeat("x", 64), 400, "Bsrpc-Knows"},
		{"Bsrpc-Layout: -1", 400, "number of bytes"},
		{"Content-Encoding: gzip", 415, "Content-Encoding"},
	} {
		status, body, h := asJSON(t, web.URL+"/Stock.Put", `["bolt", 4]`, test.header)
		if status != test.status || !strings.Contains(body, test.want) {
			t.Errorf("%s: got %d, %s", test.header, status, body)
		}
		if strings.Contains(test.header, "%2F") && h.Get("Bsrpc-Metadata") != "item=bolt%2Fa%2C" {
			t.Errorf("got the metadata %q", h.Get("Bsrpc-Metadata"))
		}
	}
	for body, want := range map[string]string{
		"abc":                              "want at least 40",
		strings.Repeat("\x00", 40) + "abc": "more than the body",
		strings.Repeat("\xff", 43):         "microseconds",
	} {
		status, text, _ := do(t, http.MethodPost, web.URL+"/Stock.Put", body, "Content-Type: application/bsrpc", "Bsrpc-Layout: 4")
		e, err := bsrpc.ReadError([]byte(text[min(len(text), 33):])) // after the status and a hash
		if status != http.StatusBadRequest || err != nil || e.Outcome != bsrpc.OutcomeNotRun || !strings.Contains(e.Message, want) {
			t.Errorf("%q: got %d, %v, %v", body, status, e, err)
		}
	}
}

// A body that fails the test if it is read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

// What is refused is refused before its body is read.
func TestRefusals(t *testing.T) {
	opts := &bsrpc.ServerOptions{Authenticate: func(_ context.Context, _ *bsrpc.Peer, c bsrpc.Credentials) error {
		if !c.HasToken("right") {
			return errors.New("wrong token")
		}
		return nil
	}}
	srv := bsrpc.NewServer(opts)
	defer srv.Close()
	h := httpbsrpc.Handler(srv, &httpbsrpc.Options{Hosts: []string{"Lab.example", "10.0.0.7"}, MaxMessage: 10})
	const jsonType = "Content-Type: application/json"
	for _, test := range []struct {
		method, host string
		headers      []string
		status       int
	}{
		{"POST", "rebound.example", []string{jsonType}, 421},
		{"POST", "localhost.evil.example", []string{jsonType}, 421},
		{"POST", "", []string{jsonType}, 421},
		{"POST", "10.0.0.8", []string{jsonType}, 421},
		{"GET", "rebound.example", nil, 421},
		{"POST", "localhost", []string{jsonType, "Origin: http://evil.example"}, 403},
		{"POST", "localhost", []string{jsonType, "Origin: null"}, 403},
		{"POST", "localhost:80", []string{jsonType, "Origin: http://localhost:81"}, 403},
		{"POST", "localhost", []string{jsonType, "Origin: http://localhost", "Origin: http://evil.example"}, 403},
		{"GET", "localhost", []string{"Origin: http://evil.example"}, 403},
		{"GET", "localhost", nil, 405},
		{"PUT", "localhost", []string{jsonType}, 405},
		{"OPTIONS", "localhost", nil, 405},
		{"POST", "localhost", nil, 415},
		{"POST", "localhost", []string{"Content-Type: text/plain"}, 415},
		{"POST", "localhost", []string{"Content-Type: application/x-www-form-urlencoded"}, 415},
		{"POST", "localhost", []string{"Content-Type: application/json; ="}, 415},
		{"POST", "localhost", []string{jsonType}, 401},
		{"POST", "localhost", []string{jsonType, "Authorization: Bearer wrong"}, 401},
		{"POST", "Localhost.:8080", []string{jsonType + "; charset=utf-8", "Origin: http://localhost.:8080"}, 401},
		{"POST", "a.localhost", []string{jsonType}, 401},
		{"POST", "127.1.2.3:80", []string{jsonType}, 401},
		{"POST", "[::1]:80", []string{jsonType}, 401},
		{"POST", "lab.example:80", []string{jsonType}, 401},
		{"POST", "10.0.0.7", []string{jsonType}, 401},
		{"POST", "192.168.1.2:80", []string{jsonType}, 401}, // the listener
	} {
		r := httptest.NewRequest(test.method, "/Stock.Put", unread{t})
		listener := &net.TCPAddr{IP: net.IPv4(192, 168, 1, 2), Port: 80}
		r = r.WithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, net.Addr(listener)))
		r.Host = test.host
		for _, h := range test.headers {
			name, value, _ := strings.Cut(h, ": ")
			r.Header.Add(name, value)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != test.status || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %s %v: got %d, %s, want %d", test.method, test.host, test.headers, w.Code, w.Body, test.status)
		}
	}
	r := httptest.NewRequest("POST", "http://localhost/Stock.Put", unread{t})
	r.Header.Set("Content-Type", "application/json")
	r.ContentLength = 11
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 413 || !strings.Contains(w.Body.String(), "MaxMessage (10 bytes)") {
		t.Errorf("got %d, %s", w.Code, w.Body)
	}
}

// Bodies without a length are limited while they are read.
func TestMaxMessage(t *testing.T) {
	_, _, web := serve(t, nil, &httpbsrpc.Options{MaxMessage: 1000})
	r, _ := http.NewRequestWithContext(t.Context(), "POST", web.URL+"/Stock.Note", io.MultiReader(strings.NewReader(`["`+strings.Repeat("x", 2000)+`"]`)))
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil || response.StatusCode != 413 {
		t.Fatal(response, err)
	}
	response.Body.Close()
	p := bind(t, dial(t, web.URL, nil))
	if err := p.Note(strings.Repeat("x", 100_000)); bsrpc.CodeOf(err) != bsrpc.CodeResourceExhausted {
		t.Errorf("got %v", err)
	}
	_, _, web = serve(t, nil, nil)
	p = bind(t, dial(t, web.URL, &bsrpc.ClientOptions{MaxMessage: 1000}))
	if _, _, err := p.Describe(t.Context(), part{Name: strings.Repeat("x", 990)}); !strings.Contains(err.Error(), "this end's MaxMessage is 1000") {
		t.Errorf("got %v", err)
	}
}

// A body that does not arrive ends its request.
func TestFrameTimeout(t *testing.T) {
	_, _, web := serve(t, nil, &httpbsrpc.Options{FrameTimeout: 20 * time.Millisecond})
	nc, err := net.Dial("tcp", web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	io.WriteString(nc, "POST /Stock.Note HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n[")
	if answer, err := io.ReadAll(nc); !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") || err != nil {
		t.Errorf("got %q, %v", answer, err)
	}
	// A client that takes nothing ends its stream.
	_, d, web := serve(t, nil, &httpbsrpc.Options{FrameTimeout: 20 * time.Millisecond})
	if nc, err = net.Dial("tcp", web.Listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	io.WriteString(nc, "POST /Stock.Count HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n[1099511627776]")
	if got := <-d.waits; got != "stopped" {
		t.Errorf("got %q", got)
	}
}

func TestAuthenticate(t *testing.T) {
	opts := &bsrpc.ServerOptions{
		Authenticate: func(_ context.Context, p *bsrpc.Peer, c bsrpc.Credentials) error {
			switch {
			case c.HasToken("t/+=") && c.User() == "", c.HasToken("a b:ü") && c.User() == "ann":
				p.Name, p.Roles = "ann", []string{"user"}
			default:
				return errors.New("wrong token")
			}
			return nil
		},
		Roles: map[string]string{"Stock.*": "user", "Stock.Note": "admin"},
	}
	srv, _, web := serve(t, opts, nil)
	for _, c := range []bsrpc.Credentials{bsrpc.NewCredentials("", "t/+="), bsrpc.NewCredentials("ann", "a b:ü"), bsrpc.NewCredentials("", "wrong")} {
		client := dial(t, web.URL, &bsrpc.ClientOptions{InsecureCredentials: true, Credentials: func(context.Context) (bsrpc.Credentials, error) { return c, nil }})
		p, err := bsrpc.Bind[contract](t.Context(), client, "Stock")
		if c.HasToken("wrong") {
			if bsrpc.CodeOf(err) != bsrpc.CodeUnauthenticated {
				t.Errorf("got %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if n, err := p.Put(t.Context(), "bolt", 4); n != 8 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
		if err := p.Note("x"); bsrpc.CodeOf(err) != bsrpc.CodePermissionDenied {
			t.Errorf("got %v", err)
		}
	}
	for _, test := range []struct {
		method, header string
		status         int
	}{
		{"Put", "Authorization: bearer t/+=", 200},
		{"Put", "Authorization: Bearer wrong", 401},
		{"Put", "Authorization: Digest x", 401},
		{"Note", "Authorization: Bearer t/+=", 403}, // before its arguments are looked at
	} {
		status, body, h := asJSON(t, web.URL+"/Stock."+test.method, `["bolt", 4]`, test.header)
		if status != test.status || (status == 401) != (h.Get("WWW-Authenticate") == "Bearer") || strings.Contains(body, "parameter") {
			t.Errorf("%v: got %d, %s", test, status, body)
		}
	}
	if status, body, _ := do(t, "GET", web.URL+"/health", "", "Host: any.example", "Origin: http://any.example"); status != 200 || body != "up\n" {
		t.Errorf("got %d, %q", status, body)
	}
	srv.SetHealth("", false)
	if status, body, _ := do(t, "GET", web.URL+"/health", ""); status != 503 || body != "down\n" {
		t.Errorf("got %d, %q", status, body)
	}
}

// Health needs neither a session nor rights.
func TestHealth(t *testing.T) {
	never := errors.New("never")
	for name, opts := range map[string]*bsrpc.ServerOptions{
		"Authenticate": {Authenticate: func(context.Context, *bsrpc.Peer, bsrpc.Credentials) error { return never }},
		"OnConnect":    {OnConnect: func(context.Context, *bsrpc.Session) error { t.Error("a session begins"); return never }},
		"MaxSessions":  {MaxSessions: 1, RefuseWhenFull: true},
		"PerSession":   nil,
	} {
		srv, _, web := serve(t, opts, nil)
		if name == "PerSession" {
			made := func(context.Context, *bsrpc.Session) (depot, error) {
				t.Error("a receiver is made")
				return depot{}, nil
			}
			if err := srv.RegisterName("More", bsrpc.PerSession(made)); err != nil {
				t.Fatal(err)
			}
		}
		for _, up := range []bool{true, false, true} {
			srv.SetHealth("", up)
			status, body, _ := do(t, "GET", web.URL+"/health", "", "Host: any.example")
			if up && (status != 200 || body != "up\n") || !up && (status != 503 || body != "down\n") {
				t.Errorf("%s, up %v: got %d, %q", name, up, status, body)
			}
		}
		if status, body, _ := do(t, "HEAD", web.URL+"/health", ""); status != 200 || body != "" {
			t.Errorf("%s: got %d, %q", name, status, body)
		}
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if status, body, _ := do(t, "GET", web.URL+"/health", ""); status != 503 || body != "down\n" {
			t.Errorf("%s, shut down: got %d, %q", name, status, body)
		}
	}
}

// A certificate that TLS has verified is in the Peer.
func TestTLS(t *testing.T) {
	ca := bsrpctest.NewCA(t)
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, Authenticate: func(_ context.Context, p *bsrpc.Peer, _ bsrpc.Credentials) error {
		if p.Certificate == nil || p.Certificate.DNSNames[0] != "ann.example" || !slices.Equal(p.CertificateNames, []string{"ann.example"}) {
			return errors.New("want a certificate of ann")
		}
		return nil
	}})
	if err := srv.RegisterFunc("Stock.Note", func(string) error { return nil }); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewUnstartedServer(httpbsrpc.Handler(srv, nil))
	web.TLS = &tls.Config{ClientCAs: ca.Pool(), ClientAuth: tls.VerifyClientCertIfGiven, Certificates: []tls.Certificate{ca.Certificate("127.0.0.1")}}
	web.StartTLS()
	defer web.Close()
	for _, config := range []*tls.Config{ca.Client("ann.example"), ca.Client("bob.example"), {RootCAs: ca.Pool()}} {
		config.ServerName = ""
		want := bsrpc.CodeUnauthenticated
		if len(config.Certificates) > 0 && config.Certificates[0].Leaf.DNSNames[0] == "ann.example" {
			want = bsrpc.CodeOK
		}
		client, err := httpbsrpc.Dial(web.URL, &httpbsrpc.DialOptions{
			HTTP:   &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}},
			Client: &bsrpc.ClientOptions{Logger: quiet},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if err := client.Call(t.Context(), "Stock.Note", []any{"x"}); bsrpc.CodeOf(err) != want {
			t.Errorf("got %v, want %v", err, want)
		}
	}
}

// A call whose handler hangs is answered when the server closes, before the handler has returned.
func TestCloseBesideHandler(t *testing.T) {
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	began, release := make(chan struct{}), make(chan struct{})
	if err := srv.RegisterFunc("T.Hang", func() { close(began); <-release }); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(httpbsrpc.Handler(srv, nil))
	defer web.Close()
	defer close(release)
	type contract struct{ Hang func() error }
	p, err := bsrpc.Bind[contract](t.Context(), dial(t, web.URL, nil), "T")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-began
		srv.Close()
	}()
	var e *bsrpc.Error
	if err := p.Hang(); !errors.As(err, &e) || e.Code != bsrpc.CodeUnavailable || e.Outcome != bsrpc.OutcomeUnknown || !e.Remote {
		t.Errorf("got %+v", err)
	}
}

// Shutdown refuses calls, waits for those under way, and ends what is left.
func TestShutdown(t *testing.T) {
	srv, d, web := serve(t, nil, nil)
	p := bind(t, dial(t, web.URL, nil))
	ended := make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, err := bsrpctest.Collect(p.Count(ctx, 9))
		ended <- err
	}()
	<-d.waits
	down := make(chan error)
	go func() { down <- srv.Shutdown(t.Context()) }()
	for {
		_, err := p.Put(t.Context(), "bolt", 4)
		var e *bsrpc.Error
		if errors.As(err, &e) {
			if e.Code != bsrpc.CodeUnavailable || e.Outcome != bsrpc.OutcomeNotRun {
				t.Errorf("got %+v", e)
			}
			break
		}
	}
	if status, body, _ := do(t, "GET", web.URL+"/health", ""); status != 503 || body != "down\n" {
		t.Errorf("got %d, %q", status, body)
	}
	if status, body, _ := asJSON(t, web.URL+"/Stock.Put", `["bolt", 4]`); status != 503 || !strings.Contains(body, `"not run"`) {
		t.Errorf("got %d, %s", status, body)
	}
	select {
	case err := <-down:
		t.Errorf("Shutdown has not waited for a stream: %v", err)
	default:
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
}

// The statuses are those of docs/errors.md.
func TestStatuses(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "docs", "errors.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `Code\\w+` \\| (\\d+) \\| \\w+ \\| (\\d+) \\|").FindAllStringSubmatch(string(page), -1)
	if len(rows) != 16 {
		t.Fatalf("got %d rows", len(rows))
	}
	_, _, web := serve(t, nil, nil)
	for _, row := range append(rows, []string{"", "77", "500"}) {
		want, _ := strconv.Atoi(row[2])
		if status, body, _ := asJSON(t, web.URL+"/Stock.Put", `["code", `+row[1]+`]`); status != want {
			t.Errorf("code %s: got %d, %s", row[1], status, body)
		}
	}
}

// FuzzHandler sends any requests. Each has an answer with a status, a type and a form.
func FuzzHandler(f *testing.F) {
	for _, seed := range []string{"Put", "Count", "Open", "Describe", "Pit"} {
		f.Add("POST", "/Stock."+seed, "localhost", "application/json", "Bsrpc-Metadata", "a=b", []byte(`["x", 4]`))
		f.Add("POST", "/Stock."+seed, "localhost", "application/bsrpc", "Bsrpc-Layout", "3", append(make([]byte, 40), "abc"...))
	}
	f.Add("GET", "/health", "any", "", "Origin", "null", []byte(nil))
	f.Add("POST", "/bsrpc.v1.Bind", "localhost", "application/bsrpc", "Bsrpc-Timeout", "1s", append(make([]byte, 40), "\x00\x05Stock\x01\x03Put"...))
	srv, d := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet}), depot{make(chan string, 1<<20)}
	if err := srv.RegisterName("Stock", d); err != nil {
		f.Fatal(err)
	}
	h := httpbsrpc.Handler(srv, nil)
	f.Fuzz(func(t *testing.T, method, path, host, kind, name, value string, body []byte) {
		r := httptest.NewRequest("POST", "/", strings.NewReader(string(body)))
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond) // for Put "wait"
		defer cancel()
		r = r.WithContext(ctx)
		r.Method, r.URL.Path, r.Host = method, path, host
		r.Header[http.CanonicalHeaderKey(name)] = []string{value}
		r.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		switch got := w.Header().Get("Content-Type"); {
		case got == "application/json":
			if !json.Valid(w.Body.Bytes()) {
				t.Errorf("not JSON: %q", w.Body)
			}
		case got == "application/bsrpc" && w.Body.Len() < 33:
			t.Errorf("a reply of %d bytes", w.Body.Len())
		case got == "application/bsrpc" && w.Body.Bytes()[0] == byte(bsrpc.StatusError):
			if _, err := bsrpc.ReadError(w.Body.Bytes()[33:]); err != nil {
				t.Errorf("not an error: %v", err)
			}
		case got != "application/bsrpc" && got != "application/bsrpc-stream" && got != "text/event-stream" && path != "/health":
			t.Errorf("got the type %q, status %d", got, w.Code)
		}
	})
}
