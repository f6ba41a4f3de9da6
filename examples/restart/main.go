// Restart is a client that stays connected while its server ends, starts again, and is replaced
// by the next version.
//
//	go run ./examples/restart
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc"
)

// Shop is the contract. A price may be asked twice, so such a call is sent again also if it is
// unknown whether it has run.
type Shop struct {
	Price func(ctx context.Context, item string) (Quote, error) `bsrpc:"idempotent"`
}

// A Quote is a price, and the version of the server that gave it.
type Quote struct {
	Cents   int
	Version int
}

// A shop is one version of the server's code.
type shop struct{ version int }

func (s shop) Price(item string) Quote { return Quote{100 * len(item), s.version} }

func main() {
	log.SetFlags(0)
	log.SetPrefix("restart: ")
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// run restarts a server twice, and shows what its client sees.
func run(ctx context.Context, out io.Writer) error {
	var mu sync.Mutex // OnState runs on another goroutine
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(out, format+"\n", args...)
	}
	first, address, err := start(1, "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer first.Close()
	client, err := bsrpc.Dial(ctx, "tcp", address, &bsrpc.ClientOptions{
		WaitForReady: true, // calls wait for the server, within their time
		OnState:      func(s bsrpc.State) { say("    the client is %v", s) },
	})
	if err != nil {
		return err
	}
	defer client.Close()
	p, err := bsrpc.Bind[Shop](ctx, client, "Shop") // once
	if err != nil {
		return err
	}
	ask := func() error {
		q, err := p.Price(ctx, "spanner")
		if err == nil {
			say("%d cents, says version %d", q.Cents, q.Version)
		}
		return err
	}
	if err := ask(); err != nil {
		return err
	}

	say("the server ends")
	first.Close()
	answer := make(chan error, 1)
	go func() { answer <- ask() }() // waits
	time.Sleep(300 * time.Millisecond)
	say("it starts again")
	second, _, err := start(2, address)
	if err != nil {
		return err
	}
	if err := <-answer; err != nil {
		return err
	}

	say("the next version replaces it, once its calls have ended")
	if err := second.Shutdown(ctx); err != nil {
		return err
	}
	third, _, err := start(3, address)
	if err != nil {
		return err
	}
	defer third.Close()
	return ask()
}

// start serves a version of the shop at an address. It returns the address, with its port.
func start(version int, address string) (*bsrpc.Server, string, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, "", err
	}
	srv := bsrpc.NewServer(nil)
	if err := bsrpc.RegisterAs[Shop](srv, "Shop", shop{version}); err != nil {
		l.Close()
		return nil, "", err
	}
	go srv.Serve(l)
	return srv, l.Addr().String(), nil
}
