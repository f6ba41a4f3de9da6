// Fleet is thirty simulated instruments behind three servers, each a process of its own, and a NATS
// broker. Thirty clients read them while one server after the other is upgraded to a contract with
// one more field. No call may fail.
//
//	go run ./examples/fleet                           everything, in fifteen seconds
//	go run ./examples/fleet -for 0                    the same, until it is interrupted
//	go run ./examples/fleet -nats nats://lab:4222     the same over a broker that is there
//
// One server more, until it is interrupted:
//
//	go run ./examples/fleet -nats URL -release 2 -name lab-4 server
//
// Its exit status is 1 if a call has failed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop) // a second interrupt ends at once
	if err := run(ctx, os.Stdin, os.Stdout, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "fleet:", err)
		os.Exit(1)
	}
}

// run runs the program with arguments.
func run(ctx context.Context, in io.Reader, out io.Writer, args []string) error {
	f := &fleet{screen: newScreen(out)}
	flags := flag.NewFlagSet("fleet", flag.ContinueOnError)
	flags.StringVar(&f.url, "nats", "", "`URL` of the broker (default: one in this process)")
	flags.DurationVar(&f.length, "for", usual, "`duration` of the calls; 0 until an interrupt")
	name := flags.String("name", "lab-4", "`name` of a server")
	release := flags.Int("release", 2, "`release` of a server, 1 or 2")
	stdin := flags.Bool("stdin", false, "a server ends with its standard input, not by an interrupt")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case f.length < 0:
		return errors.New("-for: want a duration, such as 15s")
	case flags.NArg() == 0:
		return f.run(ctx)
	case flags.NArg() > 1 || flags.Arg(0) != "server":
		return fmt.Errorf("unknown command %q; want server, or none", flags.Args())
	case f.url == "":
		return errors.New("server: want the broker, such as -nats nats://127.0.0.1:4222")
	}
	if *stdin {
		ctx = untilEnd(in)
	}
	return serve(ctx, out, f.url, *name, *release)
}

// untilEnd returns a context that ends with a reader. An interrupt at the terminal reaches all
// processes; the one that has started this one then ends it.
func untilEnd(in io.Reader) context.Context {
	signal.Ignore(os.Interrupt)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, in)
		cancel()
	}()
	return ctx
}
