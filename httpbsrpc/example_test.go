package httpbsrpc_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/httpbsrpc"
)

// Stock is the contract of the examples.
type Stock struct {
	Put func(ctx context.Context, item string, n int) (int, error)
}

// A program without bsrpc calls a method with JSON.
func Example() {
	srv := bsrpc.NewServer(nil)
	srv.RegisterName("Stock", depot{})
	web := httptest.NewServer(httpbsrpc.Handler(srv, nil))
	defer web.Close()

	response, err := http.Post(web.URL+"/Stock.Put", "application/json", strings.NewReader(`["bolt", 4]`))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	answer, _ := io.ReadAll(response.Body)
	fmt.Printf("%s: %s", response.Status, answer)
	// Output: 200 OK: ["8"]
}

// A server of its own machine, with the console at http://127.0.0.1:8080/.
func ExampleOptions() {
	srv := bsrpc.NewServer(nil)
	if err := srv.RegisterName("Stock", depot{}); err != nil {
		fmt.Println(err)
		return
	}
	handler := httpbsrpc.Handler(srv, &httpbsrpc.Options{Console: true, ConsoleAddress: "127.0.0.1:7341"})
	web := &http.Server{Addr: "127.0.0.1:8080", Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	fmt.Println(web.Addr)
	// Output: 127.0.0.1:8080
}

// docs/guide/http.md has the same code.
func ExampleHandler() {
	serve := func() error {
		srv := bsrpc.NewServer(nil)
		if err := srv.RegisterName("Stock", depot{}); err != nil {
			return err
		}
		web := &http.Server{Addr: "127.0.0.1:8080", Handler: httpbsrpc.Handler(srv, nil), ReadHeaderTimeout: 10 * time.Second}
		return web.ListenAndServe()
	}

	fmt.Println(serve())
}

// docs/guide/http.md has the same code.
func ExampleDial() {
	call := func(ctx context.Context) error {
		client, err := httpbsrpc.Dial("https://lab.example", nil)
		if err != nil {
			return err
		}
		defer client.Close()
		stock, err := bsrpc.Bind[Stock](ctx, client, "Stock")
		if err != nil {
			return err
		}
		n, err := stock.Put(ctx, "bolt", 4)

		fmt.Println(n)
		return err
	}

	fmt.Println(call(context.Background()))
}
