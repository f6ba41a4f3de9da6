// Old is the first release of a program for weather stations. Its second release, beside it,
// has another contract, and both work together:
//
//	go run ./examples/versions/old server   then, elsewhere, go run ./examples/versions/new client
//	go run ./examples/versions/new server   then, elsewhere, go run ./examples/versions/old client
package main

import (
	"context"
	"flag"
	"fmt"
	"iter"
	"log"
	"net"
	"os"
	"os/signal"

	"github.com/bsrpc/bsrpc"
)

// service implements the contract.
type service struct{ out *log.Logger }

func (s service) Report(r Reading) int32 {
	s.out.Printf("old server: report %+v", r)
	return 1
}

func (service) Find(place string) []Reading { return []Reading{{place, 20.5}, {place, 21}} }

func (s service) Watch(place string) iter.Seq2[Reading, error] {
	return func(yield func(Reading, error) bool) {
		for _, r := range s.Find(place) {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (service) Calibrate(ctx context.Context, ask Ask) (string, error) {
	a, err := ask(ctx, Step{Text: "ice"})
	return fmt.Sprintf("old server: off by %v", a.Degrees), err
}

func (service) Count(since int32) int32 { return 2000 - since }

// use calls each method of a server of either release.
func use(ctx context.Context, out *log.Logger, client *bsrpc.Client) error {
	station, err := bsrpc.Bind[Station](ctx, client, "Station")
	if err != nil {
		return err
	}
	id, err := station.Report(ctx, Reading{Place: "roof", Degrees: 19})
	out.Println("old client: report:", id, err)
	found, err := station.Find(ctx, "roof")
	out.Printf("old client: found: %+v %v", found, err)
	for r, err := range station.Watch(ctx, "roof") {
		out.Printf("old client: watch: %+v %v", r, err)
	}
	result, err := station.Calibrate(ctx, func(_ context.Context, s Step) (Answer, error) {
		out.Printf("old client: asked: %+v", s)
		return Answer{Degrees: 0.5}, nil
	})
	out.Println("old client: calibrate:", result, err)
	count, err := station.Count(ctx, 1990)
	out.Println("old client: count:", count, err)
	return nil
}

// run runs the server until ctx ends, or the client.
func run(ctx context.Context, out *log.Logger, command, addr string) error {
	switch command {
	case "server":
		srv := bsrpc.NewServer(nil)
		if err := bsrpc.RegisterAs[Station](srv, "Station", service{out}); err != nil {
			return err
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return err
		}
		out.Println("serving on", l.Addr())
		go srv.Serve(l)
		<-ctx.Done()
		return srv.Close()
	case "client":
		client, err := bsrpc.Dial(ctx, "tcp", addr, nil)
		if err != nil {
			return err
		}
		defer client.Close()
		return use(ctx, out, client)
	}
	return fmt.Errorf("unknown command %q; want server or client", command)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	addr := flag.String("addr", "127.0.0.1:7345", "the server's `address`")
	flag.Parse()
	if err := run(ctx, log.New(os.Stdout, "", 0), flag.Arg(0), *addr); err != nil {
		log.Fatal("old: ", err)
	}
}
