// Instrument shares a rack of simulated instruments over the network: an oscilloscope, a
// power supply and an electronic load. One client at a time has each of them, others watch
// it or wait in line, and what a client has taken is switched off when it leaves. Clients are Go
// programs, and Python scripts with the unmodified package basic-socket-rpc.
//
//	go run ./examples/instrument          the server and two clients, Ann and Bob, in one process
//	go run ./examples/instrument server   the server alone, until it is interrupted
//	go run ./examples/instrument client   one client: a measurement
//
// With the server running, the same measurement from Python:
//
//	pip install basic-socket-rpc==0.6.0
//	python3 examples/instrument/python/measure.py 127.0.0.1 7342
//
// Start two clients at once to see the second one wait for the scope.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/bsrpc/bsrpc"
)

// A program is the parsed command line.
type program struct {
	out         io.Writer
	addr        string        // of the server, for the two commands
	acquisition time.Duration // duration; 0 means 45 s, or 1 s with both in one process
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("instrument: ")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	p := program{out: os.Stdout}
	flag.StringVar(&p.addr, "addr", "127.0.0.1:7342", "the server's `address`, for the two commands; there is no login")
	flag.DurationVar(&p.acquisition, "acquisition", 0, "`duration` of an acquisition (default 45s, 1s without a command)")
	flag.Parse()
	if err := p.run(ctx, flag.Args()); err != nil {
		log.Fatal(err)
	}
}

func (p program) run(ctx context.Context, args []string) error {
	says := newTranscript(p.out)
	switch command := strings.Join(args, " "); command {
	case "server":
		return p.serve(p.addr, 45*time.Second, says, func(addr string) error {
			fmt.Fprintln(p.out, "serving on", addr)
			<-ctx.Done()
			return nil
		})
	case "client":
		return runClient(ctx, dialer(p.addr), says.as("client"))
	case "":
		return p.serve("127.0.0.1:0", time.Second, says, func(addr string) error {
			return demonstrate(ctx, dialer(addr), says)
		})
	default:
		return fmt.Errorf("unknown command %q; want server, client or nothing", command)
	}
}

// serve serves a rack at addr while f runs. It passes the actual address to f.
func (p program) serve(addr string, acquisition time.Duration, says *transcript, f func(addr string) error) error {
	srv, err := newServer(cmp.Or(p.acquisition, acquisition), says)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	err = f(l.Addr().String())
	srv.Close() // Shutdown would wait for a running acquisition
	if serveErr := <-served; !errors.Is(serveErr, bsrpc.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

// A dialFunc opens a connection to the server.
type dialFunc func(ctx context.Context, opts *bsrpc.ClientOptions) (*bsrpc.Client, error)

func dialer(addr string) dialFunc {
	return func(ctx context.Context, opts *bsrpc.ClientOptions) (*bsrpc.Client, error) {
		return bsrpc.Dial(ctx, "tcp", addr, opts)
	}
}
