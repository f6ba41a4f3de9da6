package natsbsrpc_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/natsbsrpc"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

type Greeter struct {
	Hello func(ctx context.Context, name string) (string, error)
}

func Example() {
	broker, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
	if err != nil {
		log.Fatal(err)
	}
	go broker.Start()
	defer broker.Shutdown()
	if !broker.ReadyForConnections(10 * time.Second) {
		log.Fatal("the broker does not start")
	}
	ctx, url := context.Background(), broker.ClientURL()

	srv := bsrpc.NewServer(nil)
	if err := srv.RegisterFunc("Greeter.Hello", func(name string) string { return "hello " + name }); err != nil {
		log.Fatal(err)
	}
	nc, err := nats.Connect(url)
	if err != nil {
		log.Fatal(err)
	}
	instance, err := natsbsrpc.Serve(nc, srv, &natsbsrpc.ServeOptions{Version: "1.2.0"})
	if err != nil {
		log.Fatal(err)
	}
	defer instance.Shutdown(ctx)

	client, err := natsbsrpc.Dial(nc, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	greeter, err := bsrpc.Bind[Greeter](ctx, client, "Greeter")
	if err != nil {
		log.Fatal(err)
	}
	text, err := greeter.Hello(ctx, "Bob")
	fmt.Println(text, err)

	for from, err := range natsbsrpc.Each[string](ctx, client, "Greeter.Hello", "all") {
		fmt.Println(from.Instance == instance.ID(), from.Result, err)
	}
	// Output:
	// hello Bob <nil>
	// true hello all <nil>
}

// Servers announce their addresses over NATS, and clients call them over connections.
func ExampleEndpoints() {
	broker, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
	if err != nil {
		log.Fatal(err)
	}
	go broker.Start()
	defer broker.Shutdown()
	if !broker.ReadyForConnections(10 * time.Second) {
		log.Fatal("the broker does not start")
	}
	ctx := context.Background()
	nc, err := nats.Connect(broker.ClientURL())
	if err != nil {
		log.Fatal(err)
	}
	srv := bsrpc.NewServer(nil)
	if err := srv.RegisterFunc("Greeter.Hello", func(name string) string { return "hello " + name }); err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go srv.Serve(l)
	defer srv.Close()
	address := l.Addr().String()

	instance, err := natsbsrpc.Serve(nc, srv, &natsbsrpc.ServeOptions{Address: address}) // also srv.Serve
	if err != nil {
		log.Fatal(err)
	}
	defer instance.Shutdown(ctx)

	client, err := bsrpc.Dial(ctx, "", "", &bsrpc.ClientOptions{Endpoints: natsbsrpc.Endpoints(nc, "Greeter")})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	greeter, err := bsrpc.Bind[Greeter](ctx, client, "Greeter")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(greeter.Hello(ctx, "Bob"))
	// Output: hello Bob <nil>
}
