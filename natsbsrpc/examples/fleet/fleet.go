package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/natsbsrpc"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

var names = []string{"lab-1", "lab-2", "lab-3"}

// usual is the duration of a run for which the times of the upgrade are made.
const usual = 15 * time.Second

// A fleet is one run: servers in processes of their own, and their clients in this one.
type fleet struct {
	url    string // of the broker
	length time.Duration
	screen *screen
	client *bsrpc.Client
	tally  *tally

	served  int      // calls at the servers that have ended
	history []string // upgrades

	mu      sync.Mutex // guards the rest, which the picture shows
	servers []*process // in the order of names
	doing   []string   // what happens to each
}

// startBroker starts a broker in this process.
func startBroker() (url string, stop func(), err error) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
	if err != nil {
		return "", nil, err
	}
	go s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		return "", nil, errors.New("the broker does not start")
	}
	return s.ClientURL(), s.Shutdown, nil
}

// run starts everything, upgrades the servers while clients make calls, and prints a summary. It
// ends after f.length, 0 for never, and with ctx.
func (f *fleet) run(ctx context.Context) (err error) {
	if f.url == "" {
		url, stop, err := startBroker()
		if err != nil {
			return err
		}
		defer stop()
		f.url = url
	}
	nc, err := nats.Connect(f.url, nats.Name("clients"))
	if err != nil {
		return fmt.Errorf("%s: %w", f.url, err)
	}
	defer nc.Close()
	f.tally = newTally()
	f.client, err = natsbsrpc.Dial(nc, &natsbsrpc.DialOptions{Client: &bsrpc.ClientOptions{Interceptors: []bsrpc.Interceptor{f.tally.repeat}}})
	if err != nil {
		return err
	}
	defer f.client.Close()
	f.screen.say("the broker is at %s; look with: nats --server %s micro list", f.url, f.url)
	defer func() { err = errors.Join(err, f.stop()) }()
	for _, name := range names {
		if err := f.start(name); err != nil {
			return err
		}
	}
	f.callAll(ctx)
	return f.call(ctx)
}

// start starts a server of release 1.
func (f *fleet) start(name string) error {
	p, err := start(f.url, name, 1, f.screen)
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.servers, f.doing = append(f.servers, p), append(f.doing, "serves")
	f.mu.Unlock()
	f.screen.say("%s serves release 1: process %d, instance %s", name, p.cmd.Process.Pid, p.id)
	return nil
}

// stop ends the servers that are left.
func (f *fleet) stop() (err error) {
	for _, p := range f.servers {
		_, ended := f.drain(p)
		err = errors.Join(err, ended)
	}
	f.servers = nil
	return err
}

// callAll asks each server for its release. It asks once more if a busy machine has made one late.
func (f *fleet) callAll(ctx context.Context) {
	var all []string
	for try := 0; len(all) < len(names) && try < 5 && ctx.Err() == nil; try++ {
		all = nil
		for from, err := range natsbsrpc.Each[string](ctx, f.client, service+".Release") {
			if err != nil {
				from.Result = err.Error()
			}
			all = append(all, from.Result)
		}
	}
	slices.Sort(all)
	f.screen.say("all servers say: %s", strings.Join(all, "; "))
}

// call makes calls until the end, with the upgrade meanwhile, and prints the summary.
func (f *fleet) call(ctx context.Context) error {
	calls, cancel := context.WithCancel(context.WithoutCancel(ctx)) // calls under way are completed
	defer cancel()
	all, err := newClients(calls, f.client, f.tally)
	if err != nil {
		return err
	}
	proxy, err := bsrpc.Bind[Instruments[newReading]](ctx, f.client, service)
	if err != nil {
		return err
	}
	page, closePage, err := console(proxy)
	if err != nil {
		return err
	}
	defer closePage()
	f.screen.say("the console is at %s", page)
	f.screen.say("%d clients call, 20 of release 1 and 10 of release 2", len(all))
	stop, over := make(chan struct{}), make(chan struct{})
	var running sync.WaitGroup
	for _, run := range all {
		running.Go(func() { run(calls, stop) })
	}
	var shown sync.WaitGroup
	shown.Go(func() { f.show(over) })
	err = f.upgrade(ctx)
	close(stop)
	running.Wait()
	close(over)
	shown.Wait()
	if err := errors.Join(err, f.stop()); err != nil {
		return err
	}
	return f.sum()
}

// upgrade replaces one server after the other, and returns at the end of the run.
func (f *fleet) upgrade(ctx context.Context) error {
	length := f.length
	if length == 0 {
		length = usual
	}
	began := time.Now()
	until := func(fifths int) bool {
		select {
		case <-time.After(time.Until(began.Add(length * time.Duration(fifths) / 5))):
		case <-ctx.Done():
		}
		return ctx.Err() == nil
	}
	for i := range names {
		if !until(i + 1) {
			return nil
		}
		if err := f.replace(i); err != nil {
			return err
		}
	}
	if f.callAll(ctx); f.length == 0 {
		f.screen.say("the upgrade is over; interrupt to end")
		<-ctx.Done()
	}
	until(5)
	return nil
}

// replace starts release 2 beside a server, and then drains that.
func (f *fleet) replace(i int) error {
	old := f.servers[i]
	f.set(i, old, "serves, release 2 starts")
	next, err := start(f.url, old.name, 2, f.screen)
	if err != nil {
		return err
	}
	f.set(i, next, "serves, release 1 drains")
	f.screen.say("%s serves release 2: process %d, instance %s", next.name, next.cmd.Process.Pid, next.id)
	upgraded, err := f.drain(old)
	f.set(i, next, "serves")
	f.history = append(f.history, upgraded)
	return err
}

// drain ends a server after its last call. It returns what the summary says of its upgrade.
func (f *fleet) drain(p *process) (upgraded string, err error) {
	served, took, err := p.stop()
	if err != nil {
		return "", err
	}
	f.served += served
	f.screen.say("%s, release %d, has ended: %s calls served", p.name, p.release, number(served))
	return fmt.Sprintf("%s to release 2; release 1 served %s calls, drained in %s", p.name, number(served), millis(took)), nil
}

// set notes the server in a place, and what happens to it.
func (f *fleet) set(i int, p *process, doing string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.servers[i], f.doing[i] = p, doing
}
