// Jobs runs long work on a server. The progress of a job is a stream, and leaving the
// stream cancels the job. Before long work, the server asks the client, by a callback.
//
//	go run ./examples/jobs          server and client in one process
//	go run ./examples/jobs server   the server alone, until it is interrupted
//	go run ./examples/jobs client   the client alone
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/bsrpc/bsrpc"
)

func main() {
	out := log.New(os.Stdout, "", 0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	addr := flag.String("addr", "127.0.0.1:7344", "the server's `address`, for the two commands")
	flag.Parse()
	if err := run(ctx, out, strings.Join(flag.Args(), " "), *addr); err != nil {
		log.Fatal("jobs: ", err)
	}
}

// run runs the server, the client, or both.
func run(ctx context.Context, out *log.Logger, command, addr string) error {
	switch command {
	case "server":
		return serve(out, addr, func(addr string) error {
			out.Println("serving on", addr)
			<-ctx.Done()
			return nil
		})
	case "client":
		return connect(ctx, out, addr)
	case "":
		return serve(out, "127.0.0.1:0", func(addr string) error { return connect(ctx, out, addr) })
	}
	return fmt.Errorf("unknown command %q; want server, client or nothing", command)
}

// serve serves jobs while f runs. It passes the actual address to f.
func serve(out *log.Logger, addr string, f func(addr string) error) error {
	srv := bsrpc.NewServer(nil)
	if err := bsrpc.RegisterAs[Jobs](srv, "Jobs", &service{log: out}); err != nil {
		return err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	go srv.Serve(l)
	if err := f(l.Addr().String()); err != nil {
		srv.Close()
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second) // for running jobs
	defer cancel()
	return srv.Shutdown(ctx)
}

// connect makes the calls of demonstrate to the server at addr.
func connect(ctx context.Context, out *log.Logger, addr string) error {
	client, err := bsrpc.Dial(ctx, "tcp", addr, nil)
	if err != nil {
		return err
	}
	defer client.Close()
	jobs, err := bsrpc.Bind[Jobs](ctx, client, "Jobs")
	if err != nil {
		return err
	}
	return demonstrate(ctx, out, jobs)
}

// demonstrate follows a job to its end, leaves one, has too little time for a third, and
// submits two that do not begin: one is refused by the client itself, the other by the server.
func demonstrate(ctx context.Context, out *log.Logger, jobs *Jobs) error {
	agree := func(_ context.Context, question string) (bool, error) {
		out.Printf("client: asked %q: yes", question)
		return true, nil
	}
	_, err := follow(ctx, jobs, Job{Below: 500_000, Every: 100_000}, agree, func(id int64, p Progress) bool {
		out.Printf("client: job %d: %d primes below %d", id, p.Primes, p.Below)
		return true
	})
	if err != nil {
		return err
	}

	endless := Job{Below: 1 << 30, Every: 10_000}
	last, err := follow(ctx, jobs, endless, agree, func(_ int64, p Progress) bool { return p.Primes < 5000 })
	if err != nil {
		return err
	}
	out.Printf("client: %d primes are enough, left the job", last.Primes)

	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	_, err = follow(short, jobs, endless, nil, func(int64, Progress) bool { return true })
	if !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("a job without time ended with %v", err)
	}
	out.Printf("client: 100 ms are over: %v", err)

	_, err = follow(ctx, jobs, endless, func(context.Context, string) (bool, error) { return false, nil }, nil)
	out.Printf("client: said no: %v", err)

	_, err = follow(ctx, jobs, Job{Below: -1}, agree, nil)
	out.Printf("client: refused: %v", err)
	return nil
}

// follow submits a job and passes its progress to report, until report returns false or the
// job ends. It returns the last progress.
func follow(ctx context.Context, jobs *Jobs, job Job, confirm Confirm, report func(id int64, p Progress) bool) (last Progress, err error) {
	id, progress, err := jobs.Submit(ctx, job, confirm)
	if err != nil {
		return last, err // the job has not begun
	}
	for p, err := range progress {
		if err != nil {
			return last, err
		}
		last = p
		if !report(id, p) {
			break // cancels the job
		}
	}
	return last, nil
}
