// Secure is a server for an open port: TLS with client certificates, tokens, roles, limits, and
// a unix socket for programs of the same machine.
//
//	go run ./examples/secure                   everything in one process, with five clients
//	go run ./examples/secure certs DIR         makes certificates in a folder, for one day
//	go run ./examples/secure server DIR        serves on 127.0.0.1:7355 and DIR/supply.sock
//	go run ./examples/secure client DIR NAME   calls as ann, bob, mallory, eve or local
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/bsrpc/bsrpc"
)

const address = "127.0.0.1:7355"

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		log.Fatalf("%q", err) // it may contain what the other end has chosen
	}
}

// run runs the command in args.
func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 0:
		dir, err := os.MkdirTemp("", "secure")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if err := makeCertificates(dir); err != nil {
			return err
		}
		return demo(ctx, os.Stdout, dir)
	case len(args) == 2 && args[0] == "certs":
		return makeCertificates(args[1])
	case len(args) == 2 && args[0] == "server":
		return serve(ctx, args[1], address)
	case len(args) == 3 && args[0] == "client":
		return callAs(ctx, os.Stdout, args[2], args[1], address)
	}
	return errors.New("usage: secure, secure certs DIR, secure server DIR, or secure client DIR NAME")
}

// demo serves, and calls as each client.
func demo(ctx context.Context, out io.Writer, dir string) error {
	srv, err := newServer(dir)
	if err != nil {
		return err
	}
	defer srv.Close()
	l, err := listen(srv, dir, "127.0.0.1:0")
	if err != nil {
		return err
	}
	for _, name := range []string{"ann", "bob", "local", "mallory", "eve"} {
		if err := callAs(ctx, out, name, dir, l.Addr().String()); err != nil {
			return err
		}
	}
	return nil
}

// serve serves until ctx ends, and then gives the calls under way five seconds.
func serve(ctx context.Context, dir, address string) error {
	srv, err := newServer(dir)
	if err != nil {
		return err
	}
	defer srv.Close()
	ended := make(chan error, 2)
	go func() { ended <- srv.ListenAndServe("unix", filepath.Join(dir, socket)) }()
	go func() { ended <- srv.ListenAndServe("tcp", address) }()
	log.Printf("serving on %s and %s", address, filepath.Join(dir, socket))
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return srv.Shutdown(ctx)
}

// callAs calls every method as one client, and prints what it gets.
func callAs(ctx context.Context, out io.Writer, name, dir, address string) error {
	fmt.Fprintf(out, "%s:\n", name)
	client, err := dial(ctx, name, dir, address)
	if err != nil {
		fmt.Fprintf(out, "    refused, %v: %q\n", bsrpc.CodeOf(err), plain(err))
		return nil
	}
	defer client.Close()
	supply, err := bsrpc.Bind[Supply](ctx, client, "Supply")
	if err != nil {
		return err
	}
	volts, err := supply.Voltage(ctx)
	fmt.Fprintf(out, "    Voltage: %.1f%s\n", volts, failed(err))
	fmt.Fprintf(out, "    SetVoltage%s\n", failed(supply.SetVoltage(ctx, 5)))
	fmt.Fprintf(out, "    Reset%s\n", failed(supply.Reset(ctx)))
	return nil
}

// failed describes the error of a call, or its success.
func failed(err error) string {
	if err != nil {
		return ": " + bsrpc.CodeOf(err).String()
	}
	return ": done"
}
