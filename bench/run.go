package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"time"
)

// A job is what one process measures: one peer in one round.
type job struct {
	Peer      string
	Workloads []string
	Round     int
	Time      time.Duration // of each workload
	Network   string
	Child     bool   // the server in a process of its own
	Procs     int    // GOMAXPROCS of this process and its child, 0 for the default
	Profile   string // directory for CPU profiles of this process, "" for none
	Reduced   bool   // beside and idle are small, for tests
}

// run measures all workloads, one after another, each on a new connection.
func (j job) run(report func(result) error) error {
	p, err := findPeer(j.Peer)
	if err != nil {
		return err
	}
	ws, err := parseWorkloads(j.Workloads)
	if err != nil {
		return err
	}
	for _, w := range ws {
		r, err := j.measure(p, w)
		if err != nil {
			r.Error = err.Error()
		}
		r.Peer, r.Workload, r.Round = p.name(), w.String(), j.Round
		if err := report(r); err != nil {
			return err
		}
	}
	return nil
}

func (j job) measure(p peer, w workload) (result, error) {
	if why := p.cannot(w); why != "" {
		return result{}, fmt.Errorf("cannot: %s", why)
	}
	if j.Reduced {
		w = w.reduced()
	}
	if b, ok := p.(bsrpcPeer); ok {
		p = b.of(w)
	}
	start := startServer
	if j.Child || w.ofMemory() {
		start = startChild
	}
	s, err := start(p, j.Network)
	if err != nil {
		return result{}, err
	}
	defer s.stop()
	switch w.kind {
	case "idle":
		return measureIdle(p, s, w.size)
	case "inflight":
		return measureInflight(p, s, w.callers)
	case "idlestreams":
		return measureIdleStreams(p, s, w.size)
	}
	cs, err := s.connectAll(p, w)
	defer closeAll(cs)
	if err != nil {
		return result{}, err
	}
	runtime.GC() // what the workload before has left
	runtime.GC() // and what it has left in pools
	if w.kind == "beside" {
		return measureBeside(cs[0], s, w.size, j.Time)
	}
	stop, err := j.profile(p, w)
	if err != nil {
		return result{}, err
	}
	defer stop()
	return measureCalls(cs, s, w, j.Time)
}

// profile begins a CPU profile of a workload, if one is wanted.
func (j job) profile(p peer, w workload) (stop func(), err error) {
	if j.Profile == "" {
		return func() {}, nil
	}
	name := strings.ReplaceAll(fmt.Sprintf("%s-%s-%d.pprof", p.name(), w, j.Round), "/", "-")
	f, err := os.Create(filepath.Join(j.Profile, name))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() { pprof.StopCPUProfile(); f.Close() }, nil
}

// connect makes a connection and one call, because some peers dial only then,
// and more than once if many callers come at the same time.
func (s *server) connect(p peer, callers int) (client, error) {
	c, err := p.dial(dialer{network: s.network, address: s.address, callers: callers})
	if err != nil {
		return nil, err
	}
	if err := c.small(small)(0); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// connectAll makes the connections of a workload: those that it returns are
// to be closed also after an error.
func (s *server) connectAll(p peer, w workload) ([]client, error) {
	var cs []client
	for range w.conns() {
		c, err := s.connect(p, w.callers/w.conns())
		if err != nil {
			return cs, err
		}
		cs = append(cs, c)
	}
	return cs, nil
}

func closeAll(cs []client) {
	for _, c := range cs {
		c.close()
	}
}

// measureCalls measures a workload of calls that are all alike.
func measureCalls(cs []client, s *server, w workload, d time.Duration) (result, error) {
	l := newLoad(cs, w)
	if _, err := l.run(d/4, s.bothEnds); err != nil {
		return result{}, err
	}
	t, err := l.run(d, s.bothEnds)
	if err != nil {
		return result{}, err
	}
	r := t.result()
	if w.kind == "bulk" || w.kind == "read" {
		r.MB = r.Rate * float64(w.size) / 1e6
	}
	if n := float64(w.parts()); n > 1 { // of an item
		r.Rate, r.CPU, r.Allocs = r.Rate*n, r.CPU/n, r.Allocs/n
	}
	return r, nil
}

// bothEnds returns what this process and the server have used.
func (s *server) bothEnds() (usage, error) {
	u, err := s.ask(order{})
	return measureUsage().plus(u), err
}

func (t *tally) result() result {
	n := t.total()
	return result{
		Calls:   n,
		Seconds: t.elapsed.Seconds(),
		Rate:    float64(n) / t.elapsed.Seconds(),
		P50:     t.times.quantile(0.50),
		P99:     t.times.quantile(0.99),
		CPU:     t.used.CPU.Seconds() / float64(n) * 1e6,
		Allocs:  float64(t.used.Mallocs) / float64(n),
		Spread:  float64(slices.Min(t.calls)) / float64(slices.Max(t.calls)),
	}
}
