// New is the second release of the program in ../old, with another contract.
package main

import (
	"context"
	"errors"
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
	s.out.Printf("new server: report %+v", r)
	return 2
}

func (service) Find(place string, most int32) []Reading {
	all := []Reading{{20.5, place, "cloudy"}, {21, place, ""}}
	if most == 0 { // also from clients that cannot say
		return all
	}
	return all[:min(len(all), int(most))]
}

func (s service) Watch(place string) iter.Seq2[Reading, error] {
	return func(yield func(Reading, error) bool) {
		for _, r := range s.Find(place, 0) {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (service) Calibrate(ctx context.Context, ask Ask) (string, error) {
	a, err := ask(ctx, Step{Text: "ice", Wait: 60})
	return fmt.Sprintf("new server: off by %v, and %v more a day", a.Degrees, a.Drift), err
}

func (service) Count(since int64) int32 { return int32(2000 - since) }

// use calls each method of a server of either release.
func use(ctx context.Context, out *log.Logger, client *bsrpc.Client) error {
	station, err := bsrpc.Bind[Station](ctx, client, "Station")
	var mismatch *bsrpc.MismatchError
	if errors.As(err, &mismatch) { // Count, at an old server; the others can be called
		out.Println("new client:", err)
	} else if err != nil {
		return err
	}
	for _, note := range []string{"sunny", ""} {
		id, err := station.Report(ctx, Reading{Place: "roof", Degrees: 19, Note: note})
		out.Println("new client: report:", id, err)
	}
	for _, most := range []int32{1, 0} {
		found, err := station.Find(ctx, "roof", most)
		out.Printf("new client: found: %+v %v", found, err)
	}
	for r, err := range station.Watch(ctx, "roof") {
		out.Printf("new client: watch: %+v %v", r, err)
	}
	result, err := station.Calibrate(ctx, func(_ context.Context, s Step) (Answer, error) {
		out.Printf("new client: asked: %+v", s)
		return Answer{Degrees: 0.5, Drift: 0.1}, nil
	})
	out.Println("new client: calibrate:", result, err)
	count, err := station.Count(ctx, 1990)
	out.Println("new client: count:", count, err)
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
		log.Fatal("new: ", err)
	}
}
