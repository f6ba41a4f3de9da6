package ratelimit_test

import (
	"context"
	"fmt"
	"log"
	"net"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/middleware/ratelimit"
)

// Each session may make two calls at once, and one more each second.
func Example() {
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Interceptors: []bsrpc.Interceptor{ratelimit.BySession(1, 2)}})
	defer srv.Close()
	if err := srv.RegisterFunc("Greeter.Hello", func(name string) string { return "hello " + name }); err != nil {
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
	for range 3 {
		var greeting string
		err := client.Call(ctx, "Greeter.Hello", []any{"Bob"}, &greeting)
		fmt.Printf("%q %v\n", greeting, err)
	}
	// Output:
	// "hello Bob" <nil>
	// "hello Bob" <nil>
	// "" bsrpc: Greeter.Hello: above the limit of 1 a second for each session, 2 at once; call again later
}
