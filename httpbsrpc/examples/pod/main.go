// Pod is a server for Kubernetes: it is ready once it has its prices, and not any more from SIGTERM on,
// when it serves its last calls. docs/guide/kubernetes.md has its manifests.
//
//	go run ./examples/pod
//	curl http://127.0.0.1:8080/health
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/httpbsrpc"
)

// drainTime is the time for the last calls, below terminationGracePeriodSeconds.
const drainTime = 30 * time.Second

// Shop is the contract.
type Shop struct {
	Price func(ctx context.Context, item string) (int, error) `bsrpc:"idempotent"`
}

// A shop implements Shop.
type shop struct {
	prices atomic.Pointer[map[string]int]
}

func (s *shop) Price(item string) (int, error) {
	cents, ok := (*s.prices.Load())[item]
	if !ok {
		return 0, fmt.Errorf("no price of %q", item)
	}
	return cents, nil
}

// load gets the prices, which takes a while.
func (s *shop) load(ctx context.Context) error {
	select {
	case <-time.After(2 * time.Second):
		s.prices.Store(&map[string]int{"bolt": 20, "nut": 10})
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	calls, err := net.Listen("tcp", ":7341")
	if err != nil {
		log.Fatal(err)
	}
	health, err := net.Listen("tcp", ":8080")
	if err != nil {
		log.Fatal(err)
	}
	srv, s := bsrpc.NewServer(nil), new(shop)
	if err := bsrpc.RegisterAs[Shop](srv, "Shop", s); err != nil {
		log.Fatal(err)
	}
	if err := run(ctx, srv, calls, health, s.load); err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx ends, and then the last calls. It is ready for calls after load.
func run(ctx context.Context, srv *bsrpc.Server, calls, health net.Listener, load func(context.Context) error) error {
	srv.SetHealth("", false)
	mux := http.NewServeMux()
	mux.Handle("GET /health", httpbsrpc.Handler(srv, nil)) // for the kubelet; calls over HTTP are not found
	web := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	defer web.Close()
	defer srv.Close()
	failed := make(chan error, 2)
	go func() { failed <- web.Serve(health) }()
	if err := load(ctx); err != nil {
		return err
	}
	go func() { failed <- srv.Serve(calls) }()
	srv.SetHealth("", true)

	select {
	case err := <-failed:
		return err
	case <-ctx.Done(): // SIGTERM
	}
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	return errors.Join(srv.Shutdown(ctx), web.Shutdown(ctx))
}
