// Files copies whole folders to a server and back, as one stream of bytes each.
//
//	go run ./examples/files                     a demonstration: server and client in one process
//	go run ./examples/files server DIR          serves the folders in DIR, until it is interrupted
//	go run ./examples/files put FOLDER NAME     copies FOLDER to the server, as NAME
//	go run ./examples/files get NAME FOLDER     copies NAME of the server to a new FOLDER
//
// The flag -addr has the server's address, for the last three.
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
	"path/filepath"

	"github.com/bsrpc/bsrpc"
)

// A program is the parsed command line.
type program struct {
	out  io.Writer
	addr string // of the server
	max  int64  // bytes of a received folder
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("files: ")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	p := program{out: os.Stdout}
	flag.StringVar(&p.addr, "addr", "127.0.0.1:7343", "loopback `address` of the server; there is no login")
	flag.Int64Var(&p.max, "max", 10<<30, "refuse to receive folders above `n` bytes")
	flag.Parse()
	if err := p.run(ctx, flag.Args()); err != nil {
		log.Fatal(err)
	}
}

func (p program) run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 0:
		return p.demonstrate(ctx)
	case len(args) == 2 && args[0] == "server":
		return p.serve(args[1], func(addr string) error {
			fmt.Fprintln(p.out, "serving on", addr)
			<-ctx.Done()
			return nil
		})
	case len(args) == 3 && args[0] == "put":
		return p.dial(ctx, func(server *Files) error { return p.put(ctx, server, args[1], args[2]) })
	case len(args) == 3 && args[0] == "get":
		return p.dial(ctx, func(server *Files) error { return p.get(ctx, server, args[1], args[2]) })
	}
	return errors.New("want server DIR, put FOLDER NAME, get NAME FOLDER, or nothing; see -h")
}

// serve serves the folders in dir while f runs. It passes the server's address to f.
func (p program) serve(dir string, f func(addr string) error) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	srv := bsrpc.NewServer(nil)
	if err := bsrpc.RegisterAs[Files](srv, "Files", folders{root, p.max}); err != nil {
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
		return nil, fmt.Errorf("%s: not a loopback address; anyone could read and write the files, there is no login", addr)
	}
	return net.ListenTCP("tcp", a)
}

// dial passes the proxy of the server to f.
func (p program) dial(ctx context.Context, f func(*Files) error) error {
	client, err := bsrpc.Dial(ctx, "tcp", p.addr, nil)
	if err != nil {
		return err
	}
	defer client.Close()
	server, err := bsrpc.Bind[Files](ctx, client, "Files")
	if err != nil {
		return err
	}
	return f(server)
}

// put copies a folder of this machine to the server.
func (p program) put(ctx context.Context, server *Files, folder, name string) error {
	here, base, err := p.beside(folder)
	if err != nil {
		return err
	}
	defer here.root.Close()
	size, archive, err := here.Get(base)
	if err != nil {
		return err
	}
	return server.Put(ctx, name, watch(p.out, "put "+name, size, archive))
}

// get copies a folder of the server to this machine. The call returns before the bytes have
// come: a folder that does not exist is an error here, as with os.Open.
func (p program) get(ctx context.Context, server *Files, name, folder string) error {
	size, archive, err := server.Get(ctx, name)
	if err != nil {
		return err
	}
	defer archive.Close() // stops the server, if something here fails
	here, base, err := p.beside(folder)
	if err != nil {
		return err
	}
	defer here.root.Close()
	return here.Put(base, watch(p.out, "get "+name, size, archive))
}

// beside returns the folders around one of this machine, and its name among them.
func (p program) beside(folder string) (here folders, base string, err error) {
	root, err := os.OpenRoot(filepath.Dir(folder))
	return folders{root, p.max}, filepath.Base(folder), err
}
