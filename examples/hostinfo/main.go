// Hostinfo serves the processes, the mounts and the files in a folder of this machine to
// clients on the same machine.
//
//	go run ./examples/hostinfo DIR           server and client in one process
//	go run ./examples/hostinfo server DIR    the server alone; prints its address
//	go run ./examples/hostinfo client ADDR   the client alone
//
// With the flags -copy NAME -to FILE the client also copies a file, in parts of 4 MiB, and
// compares the SHA-256 of both ends.
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

	"github.com/bsrpc/bsrpc"
)

// A program is the parsed command line.
type program struct {
	out      io.Writer
	addr     string // of the server's listener
	copy, to string // the served file to copy, and the copy
	rows     int    // of each table
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("hostinfo: ")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	p := program{out: os.Stdout}
	flag.StringVar(&p.addr, "addr", "127.0.0.1:0", "loopback `address` that the server listens on")
	flag.StringVar(&p.copy, "copy", "", "served `file` that the client copies")
	flag.StringVar(&p.to, "to", os.DevNull, "the `copy`")
	flag.IntVar(&p.rows, "rows", 10, "print at most `n` rows of each table")
	flag.Parse()
	if err := p.run(ctx, flag.Args()); err != nil {
		log.Fatal(err)
	}
}

func (p program) run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 1:
		return p.serve(ctx, args[0], func(addr string) error { return p.client(ctx, addr) })
	case len(args) == 2 && args[0] == "server":
		return p.serve(ctx, args[1], func(addr string) error {
			fmt.Fprintln(p.out, "serving on", addr)
			<-ctx.Done()
			return nil
		})
	case len(args) == 2 && args[0] == "client":
		return p.client(ctx, args[1])
	}
	return errors.New("want DIR, server DIR or client ADDR; see -h")
}

// serve serves dir while f runs. It passes the server's address to f.
func (p program) serve(ctx context.Context, dir string, f func(addr string) error) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{
		MaxInflight: 16, // parts of 4 MiB for one client
		Limits:      bsrpc.Limits{MaxConns: 16},
	})
	if err := bsrpc.RegisterAs[Host](srv, "Host", service{os.DirFS("/proc"), root}); err != nil {
		return err
	}
	l, err := listen(p.addr)
	if err != nil {
		return err
	}
	go srv.Serve(l)
	defer srv.Close()
	return f(l.Addr().String())
}

// listen refuses addresses reachable from other machines, as there is no login.
func listen(addr string) (net.Listener, error) {
	a, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, err
	}
	if !a.IP.IsLoopback() {
		return nil, fmt.Errorf("%s: not a loopback address; anyone could read the files, there is no login", addr)
	}
	return net.ListenTCP("tcp", a)
}
