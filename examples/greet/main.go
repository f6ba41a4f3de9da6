// Greet calls the methods of a server through a struct of functions.
//
//	go run ./examples/greet          server and client in one process
//	go run ./examples/greet server   the server alone, until it is interrupted
//	go run ./examples/greet client   the client alone
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"

	"github.com/bsrpc/bsrpc"
)

// Greeter is the contract shared by both ends. The ids are for clients with the Python
// package basic-socket-rpc; otherwise it needs no tags.
type Greeter struct {
	Hello      func(ctx context.Context, name string) (string, error) `bsrpc:"id=0"`
	Goodbye    func(ctx context.Context, name string) (string, error) `bsrpc:"id=1"`
	Add2Words  func(ctx context.Context, a, b uint32) (uint32, error) `bsrpc:"id=2"`
	FuncNoArgs func(ctx context.Context) error                        `bsrpc:"id=3"`
}

// service implements the contract with ordinary methods.
type service struct{}

func (service) Hello(name string) string     { return "hello " + name }
func (service) Goodbye(name string) string   { return "goodbye " + name }
func (service) Add2Words(a, b uint32) uint32 { return a + b }
func (service) FuncNoArgs()                  {}

// greet calls each method of the server at addr.
func greet(ctx context.Context, out io.Writer, addr string) error {
	client, err := bsrpc.Dial(ctx, "tcp", addr, nil)
	if err != nil {
		return err
	}
	defer client.Close()
	greeter, err := bsrpc.Bind[Greeter](ctx, client, "Greeter")
	if err != nil {
		return err
	}

	hello, err := greeter.Hello(ctx, "Bob")
	if err != nil {
		return err
	}
	goodbye, err := greeter.Goodbye(ctx, "Bob")
	if err != nil {
		return err
	}
	sum, err := greeter.Add2Words(ctx, 1000, 2050)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s\n%s\n1000 + 2050 = %d\n", hello, goodbye, sum)
	return greeter.FuncNoArgs(ctx)
}

// run runs the server, the client, or both.
func run(ctx context.Context, out io.Writer, command, addr string) error {
	srv := bsrpc.NewServer(nil)
	if err := bsrpc.RegisterAs[Greeter](srv, "Greeter", service{}); err != nil {
		return err
	}
	switch command {
	case "server":
		fmt.Fprintln(out, "serving on", addr)
		return srv.ListenAndServe("tcp", addr)
	case "client":
		return greet(ctx, out, addr)
	case "":
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer srv.Close()
		go srv.Serve(l)
		return greet(ctx, out, l.Addr().String())
	}
	return fmt.Errorf("unknown command %q; want server, client or nothing", command)
}

func main() {
	log.SetFlags(0)
	addr := flag.String("addr", "127.0.0.1:7341", "the server's `address`, for the two commands")
	flag.Parse()
	if err := run(context.Background(), os.Stdout, flag.Arg(0), *addr); err != nil {
		log.Fatal("greet: ", err)
	}
}
