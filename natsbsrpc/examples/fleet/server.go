package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math"
	"os"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/natsbsrpc"
	"github.com/nats-io/nats.go"
)

const (
	service     = "Instruments"
	instruments = 30
	recordEvery = 20 * time.Millisecond
)

// nameOf returns the name of an instrument.
func nameOf(i int) string { return fmt.Sprintf("meter-%02d", i+1) }

// measure simulates an instrument, which every server can reach.
func measure(name string) (volts, celsius float64, err error) {
	var i int
	if _, err := fmt.Sscanf(name, "meter-%d", &i); err != nil || i < 1 || i > instruments {
		return 0, 0, fmt.Errorf("there is no instrument %q", name)
	}
	at := float64(time.Now().UnixMilli())/1000 + float64(i)
	return 3 + 2*math.Sin(at*(0.7+float64(i%7)/10)), 21 + float64(i)/10 + math.Sin(at/9), nil
}

// A rack implements Instruments in one server.
type rack[R any] struct {
	release string
	read    func(name string) (R, error)
}

func (r rack[R]) Names() (names []string) {
	for i := range instruments {
		names = append(names, nameOf(i))
	}
	return names
}

func (r rack[R]) Measure(name string) (R, error) { return r.read(name) }

func (r rack[R]) Record(ctx context.Context, name string, n int) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		tick := time.NewTicker(recordEvery)
		defer tick.Stop()
		for range n {
			reading, err := r.read(name)
			if !yield(reading, err) || err != nil {
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}
}

func (r rack[R]) Release() string { return r.release }

// newServer returns a server of a release.
func newServer(name string, release int) (*bsrpc.Server, error) {
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	says := fmt.Sprintf("%s, release %d", name, release)
	switch release {
	case 1:
		return srv, bsrpc.RegisterAs[Instruments[oldReading]](srv, service, rack[oldReading]{says, func(instrument string) (oldReading, error) {
			volts, _, err := measure(instrument)
			return oldReading{name, volts}, err
		}})
	case 2:
		return srv, bsrpc.RegisterAs[Instruments[newReading]](srv, service, rack[newReading]{says, func(instrument string) (newReading, error) {
			volts, celsius, err := measure(instrument)
			return newReading{name, volts, &celsius}, err
		}})
	}
	return nil, fmt.Errorf("there is no release %d; want 1 or 2", release)
}

// serve serves a release over the broker at a URL until ctx ends, and then its last calls. Its
// two lines on out are for the process that has started this one.
func serve(ctx context.Context, out io.Writer, url, name string, release int) error {
	srv, err := newServer(name, release)
	if err != nil {
		return err
	}
	nc, err := nats.Connect(url, nats.Name(name))
	if err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	defer nc.Close()
	instance, err := natsbsrpc.Serve(nc, srv, &natsbsrpc.ServeOptions{
		Version: fmt.Sprintf("%d.0.0", release), Description: "thirty simulated instruments", Metadata: map[string]string{"server": name},
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "serving as", instance.ID())
	<-ctx.Done()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err = errors.Join(instance.Shutdown(ctx), srv.Shutdown(ctx))
	var calls uint64
	for _, m := range srv.Stats().Methods {
		for _, c := range m.Calls {
			if m.Name != service+".Release" {
				calls += c.Calls
			}
		}
	}
	fmt.Fprintln(out, "served", calls)
	return err
}
