package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
)

// desk is a service with values of all kinds.
type desk struct{}

type login struct {
	User     string
	Password string `bsrpc:"secret"`
	Port     uint16 `bsrpc:"be2"`
}

type reading struct {
	At    time.Duration
	Value float64
	Key   string `bsrpc:"secret"`
}

type deskContract struct {
	Open  func(ctx context.Context, l login, remember bool) (string, error)          `bsrpc:"() (secret),names=login remember,timeout=5s"`
	Add   func(ctx context.Context, a, b int) (int, error)                           `bsrpc:"idempotent,names=a b"`
	Echo  func(ctx context.Context, s string) (string, error)                        `bsrpc:"names=text"`
	Login func(ctx context.Context, l login) (login, error)                          `bsrpc:"names=login"`
	Size  func(ctx context.Context, data []byte) (int, error)                        `bsrpc:"names=data"`
	Copy  func(ctx context.Context, r io.Reader) (io.ReadCloser, error)              `bsrpc:"names=from"`
	Watch func(ctx context.Context, n int) iter.Seq2[reading, error]                 `bsrpc:"names=n"`
	Sum   func(ctx context.Context, numbers iter.Seq2[int, error]) (int, error)      `bsrpc:"names=numbers"`
	Fail  func(ctx context.Context, code int) error                                  `bsrpc:"names=code"`
	Tell  func(ctx context.Context) (string, error)                                  ``
	Each  func(ctx context.Context, f func(context.Context, int) error) (int, error) ``
	First func(ctx context.Context, numbers iter.Seq2[int, error]) (int, error)
	Hang  func(ctx context.Context) error ``
}

func (desk) Open(context.Context, login, bool) (string, error) { return "token", nil }
func (desk) Add(_ context.Context, a, b int) (int, error)      { return a + b, nil }
func (desk) Echo(_ context.Context, s string) (string, error)  { return s, nil }
func (desk) Login(_ context.Context, l login) (login, error)   { return l, nil }
func (desk) Size(_ context.Context, data []byte) (int, error)  { return len(data), nil }
func (desk) Copy(_ context.Context, r io.Reader) (io.ReadCloser, error) {
	data, err := io.ReadAll(r)
	return io.NopCloser(bytes.NewReader(data)), err
}
func (desk) Watch(_ context.Context, n int) iter.Seq2[reading, error] {
	return func(yield func(reading, error) bool) {
		for i := range n {
			if !yield(reading{time.Duration(i) * time.Second, float64(i) / 2, "k"}, nil) {
				return
			}
		}
	}
}
func (desk) Sum(_ context.Context, numbers iter.Seq2[int, error]) (sum int, err error) {
	for n, err := range numbers {
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}
func (desk) First(_ context.Context, numbers iter.Seq2[int, error]) (int, error) {
	for n, err := range numbers {
		return n, err
	}
	return 0, nil
}
func (desk) Fail(_ context.Context, code int) error {
	return &bsrpc.Error{Code: bsrpc.Code(code), Name: "Lab\x1b[31m", Message: "broken\x1b]0;title\a\nbsrpc: all is well"}
}
func (desk) Tell(ctx context.Context) (string, error) {
	return bsrpc.MetadataFrom(ctx)["tenant"], nil
}
func (desk) Each(context.Context, func(context.Context, int) error) (int, error) { return 0, nil }
func (desk) Hang(ctx context.Context) error                                      { <-ctx.Done(); return ctx.Err() }

// quiet drops what a server logs.
var quiet = slog.New(slog.DiscardHandler)

// newDesk returns a server with the service Desk.
func newDesk(t *testing.T, opts *bsrpc.ServerOptions) *bsrpc.Server {
	t.Helper()
	if opts == nil {
		opts = new(bsrpc.ServerOptions)
	}
	opts.Logger = quiet
	srv := bsrpc.NewServer(opts)
	if err := bsrpc.RegisterAs[deskContract](srv, "Desk", desk{}); err != nil {
		t.Fatal(err)
	}
	return srv
}

// serve serves on a loopback port until the test ends, and returns its address.
func serve(t *testing.T, srv *bsrpc.Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, srv, l)
	return l.Addr().String()
}

func serveOn(t *testing.T, srv *bsrpc.Server, l net.Listener) {
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		srv.Close()
		if err := <-served; !errors.Is(err, bsrpc.ErrServerClosed) {
			t.Error(err)
		}
	})
}

// bsrpcCommand runs the command in this process.
func bsrpcCommand(t *testing.T, in string, args ...string) (exit int, stdout, stderr string) {
	t.Helper()
	var out, failed strings.Builder
	exit = run(t.Context(), args, strings.NewReader(in), &out, &failed)
	return exit, out.String(), failed.String()
}
