package httpbsrpc_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/httpbsrpc"
)

// A depot is the receiver of the tests.
type depot struct {
	waits chan string // gets the cause when a call of Put "wait", or a stream, has ended early
}

type part struct {
	Name  string
	Sizes []uint16 `bsrpc:"len=le1"`
}

var errNone = errors.New("no stock")

var depotErrors = map[string]error{"stock.none": errNone}

func (d depot) Put(ctx context.Context, item string, n int) (int, error) {
	switch item {
	case "none":
		return 0, fmt.Errorf("put: %w", errNone)
	case "code":
		return 0, &bsrpc.Error{Code: bsrpc.Code(n), Message: "chosen"}
	case "panic":
		panic("secret")
	case "wait":
		d.waits <- "began"
		<-ctx.Done()
		d.waits <- fmt.Sprint(ctx.Err())
		return 0, ctx.Err()
	}
	bsrpc.SetReplyMetadata(ctx, "item", item+bsrpc.MetadataFrom(ctx)["tenant"])
	return 2 * n, nil
}

func (d depot) Describe(_ context.Context, p part) (part, int, error) { return p, len(p.Sizes), nil }

func (d depot) Count(ctx context.Context, n int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				d.waits <- "stopped"
				return
			}
		}
		switch n {
		case 7:
			yield(0, fmt.Errorf("count: %w", errNone))
		case 8:
			panic("items")
		case 9:
			d.waits <- "began"
			<-ctx.Done()
			d.waits <- fmt.Sprint(ctx.Err())
		}
	}
}

func (d depot) Open(_ context.Context, name string) (int, io.ReadCloser, error) {
	if name == "" {
		return 0, nil, fs.ErrNotExist
	}
	return len(name), io.NopCloser(strings.NewReader(strings.Repeat(name, 100_000))), nil
}

func (d depot) Note(text string) error { return nil }

type contract struct {
	Put      func(ctx context.Context, item string, n int) (int, error)
	Describe func(ctx context.Context, p part) (part, int, error)
	Count    func(ctx context.Context, n int) iter.Seq2[int, error]
	Open     func(ctx context.Context, name string) (int, io.ReadCloser, error)
	Note     func(text string) error
}

var quiet = slog.New(slog.DiscardHandler)

// serve returns a server with a depot, behind HTTP.
func serve(t testing.TB, so *bsrpc.ServerOptions, opts *httpbsrpc.Options) (*bsrpc.Server, depot, *httptest.Server) {
	t.Helper()
	var own bsrpc.ServerOptions
	if so != nil {
		own = *so
	}
	own.Logger, own.Errors = quiet, depotErrors
	srv, d := bsrpc.NewServer(&own), depot{make(chan string, 16)}
	if err := srv.RegisterName("Stock", d); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(httpbsrpc.Handler(srv, opts))
	t.Cleanup(func() {
		srv.Close()
		web.CloseClientConnections()
		web.Close()
	})
	return srv, d, web
}

// dial returns a client of a server.
func dial(t testing.TB, address string, opts *bsrpc.ClientOptions) *bsrpc.Client {
	t.Helper()
	var own bsrpc.ClientOptions
	if opts != nil {
		own = *opts
	}
	own.Logger, own.Errors = quiet, depotErrors
	client, err := httpbsrpc.Dial(address, &httpbsrpc.DialOptions{Client: &own})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// bind returns a proxy of the depot.
func bind(t testing.TB, client *bsrpc.Client) *contract {
	t.Helper()
	p, err := bsrpc.Bind[contract](t.Context(), client, "Stock")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// do makes a request with headers "Name: value", and returns the status and the body.
func do(t testing.TB, method, url, body string, headers ...string) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if r.Header.Add(name, value); name == "Host" {
			r.Host = value
		}
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(bufio.NewReader(response.Body))
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(answer), response.Header
}

// asJSON makes a call with JSON.
func asJSON(t testing.TB, url, body string, headers ...string) (int, string, http.Header) {
	t.Helper()
	return do(t, http.MethodPost, url, body, append(headers, "Content-Type: application/json")...)
}
