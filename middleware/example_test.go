package middleware_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/middleware"
)

// stable leaves out what differs from run to run.
func stable(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey || a.Key == "duration" {
		return slog.Attr{}
	}
	return a
}

// greet calls a greeter on a server with an interceptor.
func greet(i bsrpc.Interceptor) {
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Interceptors: []bsrpc.Interceptor{i}})
	defer srv.Close()
	err := srv.RegisterFunc("Greeter.Hello", func(name string) string {
		time.Sleep(time.Millisecond)
		return "hello " + name
	})
	if err != nil {
		log.Fatal(err)
	}
	near, far := net.Pipe()
	go srv.ServeConn(far)
	ctx := context.Background()
	client, err := bsrpc.NewClient(ctx, near, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	var greeting string
	err = client.Call(ctx, "Greeter.Hello", []any{"Bob"}, &greeting)
	fmt.Println(greeting, err)
}

// The line is written once the answer is on its way.
func ExampleLog() {
	written := make(chan struct{})
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: stable}))
	greet(func(next bsrpc.CallFunc) bsrpc.CallFunc {
		logged := middleware.Log(logger)(next)
		return func(ctx context.Context, call *bsrpc.Call) error {
			call.OnEnd(func(error) { close(written) })
			return logged(ctx, call)
		}
	})
	<-written
	// Unordered output:
	// level=INFO msg=call method=Greeter.Hello code=ok args=7 results=13 session=1 remote=pipe
	// hello Bob <nil>
}

func ExampleSlow() {
	written := make(chan struct{})
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: stable}))
	greet(func(next bsrpc.CallFunc) bsrpc.CallFunc {
		logged := middleware.Slow(logger, time.Millisecond)(next)
		return func(ctx context.Context, call *bsrpc.Call) error {
			call.OnEnd(func(error) { close(written) })
			return logged(ctx, call)
		}
	})
	<-written
	// Unordered output:
	// level=WARN msg="slow call" method=Greeter.Hello code=ok args=7 results=13 session=1 remote=pipe
	// hello Bob <nil>
}
