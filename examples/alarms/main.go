// Alarms is a server that calls its clients: it watches devices, tells all operators of
// alarms, and asks them to acknowledge each.
//
//	go run ./examples/alarms               server and three clients in one process
//	go run ./examples/alarms server        the server alone, until it is interrupted
//	go run ./examples/alarms client Ann    an operator, who answers by typing
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc"
)

func main() {
	c := command{out: log.New(os.Stdout, "", 0), in: os.Stdin}
	flag.StringVar(&c.addr, "addr", "127.0.0.1:7345", "the server's `address`, for the two commands")
	flag.DurationVar(&c.every, "every", 200*time.Millisecond, "time between two measurements of the server")
	flag.Uint64Var(&c.seed, "seed", 1, "of the simulated devices")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := c.run(ctx, flag.Args()); err != nil {
		log.Fatal("alarms: ", err)
	}
}

// A command is a run of the program.
type command struct {
	out   *log.Logger
	in    io.Reader // of an operator
	addr  string
	every time.Duration
	seed  uint64
}

func (c *command) run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 1 && args[0] == "server":
		return c.serve(ctx, c.addr, c.every, func(addr string, _ *monitor) {
			c.out.Println("serving on", addr)
			<-ctx.Done()
		})
	case len(args) == 2 && args[0] == "client":
		d := &desk{args[1], c.out, answerLines(c.in, c.out)}
		return watch(ctx, c.out, c.addr, d.name, d, nil)
	case len(args) == 0:
		return c.serve(ctx, "127.0.0.1:0", 10*time.Millisecond, func(addr string, m *monitor) { c.demonstrate(ctx, addr, m) })
	}
	return fmt.Errorf("unknown command %q; want server, client NAME or nothing", args)
}

// serve serves alarms while f runs, with a measurement at each interval.
func (c *command) serve(ctx context.Context, addr string, every time.Duration, f func(addr string, m *monitor)) error {
	m := newMonitor(c.out, c.seed)
	srv, err := m.server()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	go srv.Serve(l)
	ctx, cancel := context.WithCancel(ctx)
	var measuring sync.WaitGroup
	measuring.Go(func() {
		for tick := time.Tick(every); ; m.step() {
			select {
			case <-tick:
			case <-ctx.Done():
				return
			}
		}
	})
	f(l.Addr().String(), m)
	cancel()
	measuring.Wait()
	m.close()
	ctx, cancel = context.WithTimeout(context.Background(), time.Second) // for the last alarms
	defer cancel()
	return srv.Shutdown(ctx)
}

// demonstrate connects three operators: Ann answers, Bob does not, and Carl does not even
// look at his alarms. It ends when Ann has acknowledged three, and Carl has lost his session.
func (c *command) demonstrate(ctx context.Context, addr string, m *monitor) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	absent := func(ctx context.Context, _ Alarm) (string, error) {
		<-ctx.Done()
		return "", ctx.Err()
	}
	asleep := func(ctx context.Context, _ Alarm) error {
		<-ctx.Done()
		return ctx.Err()
	}
	var all sync.WaitGroup
	connect := func(name string, operator any, opts *bsrpc.ServerOptions) {
		all.Go(func() {
			err := watch(ctx, c.out, addr, name, operator, opts)
			var e *bsrpc.Error
			if errors.As(err, &e) && e.Code == bsrpc.CodeAborted {
				c.out.Printf("%s: the server has closed the session: %v", name, err)
			} else if err != nil {
				c.out.Printf("%s: %v", name, err)
			}
		})
	}
	connect("Ann", &desk{"Ann", c.out, answerAfter(20*time.Millisecond, "on my way")}, nil)
	connect("Bob", &desk{"Bob", c.out, absent}, nil)
	connect("Carl", &Operator{Raise: asleep, Clear: asleep, Acknowledge: absent}, &bsrpc.ServerOptions{MaxInflight: 4})
	slow := false
	for tick := time.Tick(10 * time.Millisecond); ; {
		select {
		case <-tick:
		case <-ctx.Done():
			return
		}
		members, acknowledged := m.state()
		slow = slow || members == 3
		if slow && members == 2 && acknowledged >= 3 {
			cancel()
			all.Wait()
			return
		}
	}
}
