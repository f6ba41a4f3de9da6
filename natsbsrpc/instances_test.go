package natsbsrpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/natsbsrpc"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

func TestEach(t *testing.T) {
	b := newBroker(t)
	client := dial(t, b.connect(), nil)
	var e *bsrpc.Error
	for _, err := range natsbsrpc.Each[string](t.Context(), client, "lab.Stock.Who") {
		if !errors.As(err, &e) || e.Outcome != bsrpc.OutcomeNotRun {
			t.Errorf("got %v", err)
		}
	}
	ids := make(map[string]string)
	for _, name := range []string{"a", "b", "c"} {
		ids[serve(t, b.connect(), newServer(t, newDepot(name), nil)).ID()] = name
	}
	got := make(map[string]string)
	for from, err := range natsbsrpc.Each[string](t.Context(), client, "lab.Stock.Who") {
		if err != nil {
			t.Error(err)
		}
		got[from.Instance] = from.Result
	}
	if fmt.Sprint(got) != fmt.Sprint(ids) {
		t.Errorf("got %v, want %v", got, ids)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	n := 0
	for _, err := range natsbsrpc.Each[int](ctx, client, "lab.Stock.Put", "wait", 1) {
		if n++; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	if n != 3 {
		t.Errorf("got %d answers", n)
	}
	for range natsbsrpc.Each[string](t.Context(), client, "lab.Stock.Who") {
		break
	}
	other := bsrpc.NewClientOver(nowhere{}, nil)
	for _, err := range natsbsrpc.Each[string](t.Context(), other, "lab.Stock.Who") {
		if err == nil || !strings.Contains(err.Error(), "natsbsrpc.Dial") {
			t.Errorf("got %v", err)
		}
	}
}

type nowhere struct{}

func (nowhere) RoundTrip(context.Context, *bsrpc.Request) (*bsrpc.Reply, error) {
	return nil, errors.New("nowhere")
}

// TestMonitoring asks as the command nats micro does.
func TestMonitoring(t *testing.T) {
	b := newBroker(t)
	i := serve(t, b.connect(), newServer(t, newDepot("a"), nil))
	nc := b.connect()
	p := bind(t, dial(t, nc, nil))
	for _, item := range []string{"bolt", "nut", "none"} {
		p.Put(t.Context(), item, 1)
	}
	ask := func(verb micro.Verb, into any) {
		t.Helper()
		subject, _ := micro.ControlSubject(verb, "lab-Stock", i.ID())
		m, err := nc.Request(subject, nil, 5*time.Second)
		if err == nil {
			err = json.Unmarshal(m.Data, into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var ping micro.Ping
	if ask(micro.PingVerb, &ping); ping.ID != i.ID() || ping.Version != "1.2.3" || ping.Type != micro.PingResponseType {
		t.Errorf("got %+v", ping)
	}
	var info micro.Info
	ask(micro.InfoVerb, &info)
	if at := slices.IndexFunc(info.Endpoints, func(e micro.EndpointInfo) bool { return e.Name == "Put" }); at < 0 || info.Endpoints[at].Subject != "bsrpc.lab.Stock.Put" || info.Endpoints[at].QueueGroup != "q" || len(info.Endpoints) != 5 {
		t.Errorf("got %+v", info)
	}
	var stats micro.Stats
	for { // a call is counted behind its answer
		ask(micro.StatsVerb, &stats)
		at := slices.IndexFunc(stats.Endpoints, func(e *micro.EndpointStats) bool { return e.Name == "Put" })
		e := stats.Endpoints[at]
		if e.NumRequests < 3 {
			continue
		}
		if e.NumRequests != 3 || e.NumErrors != 1 || e.LastError != "unknown" || e.ProcessingTime <= 0 || e.AverageProcessingTime != e.ProcessingTime/3 {
			t.Errorf("got %+v", e)
		}
		break
	}
}

// TestShutdownLosesNothing stops one of two instances under load.
func TestShutdownLosesNothing(t *testing.T) {
	b := newBroker(t)
	first := serve(t, b.connect(), newServer(t, newDepot("a"), nil))
	serve(t, b.connect(), newServer(t, newDepot("b"), nil))
	p := bind(t, dial(t, b.connect(), nil))
	var calls atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if got, err := p.Put(t.Context(), "bolt", n); got != 2*n || err != nil {
					t.Errorf("got %d, %v", got, err)
				}
				calls.Add(1)
			}
		})
	}
	until := func(n int64) {
		for calls.Load() < n {
			time.Sleep(time.Millisecond)
		}
	}
	until(200)
	if err := first.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	until(calls.Load() + 200)
	close(stop)
	wg.Wait()
}

// TestShutdownWithoutBroker: while the broker is away, Shutdown ends with its context, and so do the
// calls.
func TestShutdownWithoutBroker(t *testing.T) {
	b, d := newBroker(t), newDepot("a")
	i := serve(t, b.connect(), newServer(t, d, nil))
	p := bind(t, dial(t, b.connect(), nil))
	go p.Put(t.Context(), "wait", 1)
	for d.ran.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	b.stop()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := i.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	<-d.canceled
}

// TestKill cuts one of three instances from the broker under load. Each call is answered and has run,
// or has not run, or is unknown, as the instances have noted it. None runs twice.
func TestKill(t *testing.T) {
	b := newBroker(t)
	var depots []*depot
	first, cut := b.connectOnce()
	for i, nc := range []*nats.Conn{first, b.connect(), b.connect()} {
		depots = append(depots, newDepot(fmt.Sprint(i)))
		serve(t, nc, newServer(t, depots[i], nil))
	}
	p := bind(t, dial(t, b.connect(), &bsrpc.ClientOptions{DefaultCallTimeout: 300 * time.Millisecond}))
	var answered, done atomic.Int64
	var wg sync.WaitGroup
	for caller := range 8 {
		wg.Go(func() {
			for n := range 200 {
				item := fmt.Sprint(caller, ".", n)
				_, err := p.Put(t.Context(), item, n)
				ran := 0
				for _, d := range depots {
					if _, ok := d.items.Load(item); ok {
						ran++
					}
				}
				var e *bsrpc.Error
				switch {
				case err == nil && ran == 1:
					answered.Add(1)
				case errors.As(err, &e) && e.Outcome == bsrpc.OutcomeNotRun && ran == 0:
				case errors.As(err, &e) && e.Outcome == bsrpc.OutcomeUnknown && ran <= 1:
				default:
					t.Errorf("%s has run %d times: %v", item, ran, err)
				}
				if done.Add(1) == 400 {
					cut()
				}
			}
		})
	}
	wg.Wait()
	if answered.Load() < 1500 {
		t.Errorf("%d answered", answered.Load())
	}
}

func TestBrokerRestart(t *testing.T) {
	b, d := newBroker(t), newDepot("a")
	serve(t, b.connect(), newServer(t, d, nil))
	p := bind(t, dial(t, b.connect(), nil))
	failed := make(chan error)
	go func() {
		_, err := p.Put(t.Context(), "wait", 1)
		failed <- err
	}()
	for d.ran.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	b.opts.Port = b.Addr().(*net.TCPAddr).Port
	b.stop()
	var e *bsrpc.Error
	if err := <-failed; !errors.As(err, &e) || e.Outcome != bsrpc.OutcomeUnknown || e.Code != bsrpc.CodeUnavailable {
		t.Errorf("got %v", err)
	}
	b.start()
	for { // an instance that is not back yet is not there
		n, err := p.Put(t.Context(), "bolt", 4)
		if errors.As(err, &e) && e.Outcome == bsrpc.OutcomeNotRun {
			continue
		}
		if n != 8 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
		break
	}
}

// TestGone: a stream ends when its instance is gone, and a handler when its caller is.
func TestGone(t *testing.T) {
	b := newBroker(t)
	for _, dies := range []string{"instance", "client"} {
		d, theirs, ours := newDepot("a"), b.connect(), b.connect()
		serve(t, theirs, newServer(t, d, nil))
		p := bind(t, dial(t, ours, nil))
		n := 0
		var last error
		for _, err := range p.Count(t.Context(), 8) {
			if n++; n == 8 && dies == "instance" {
				theirs.Close()
			} else if n == 8 {
				ours.Close()
			}
			last = err
		}
		var e *bsrpc.Error
		if n != 9 || !errors.As(last, &e) || e.Code != bsrpc.CodeUnavailable || e.Outcome != bsrpc.OutcomeUnknown {
			t.Errorf("%s: got %d steps, %v", dies, n, last)
		}
		<-d.canceled
	}
}

// listen returns a func that waits for a message with a header.
func listen(t *testing.T, b *broker, subject, header string) (wait func()) {
	t.Helper()
	found := make(chan struct{}, 1)
	nc := b.connect()
	if _, err := nc.Subscribe(subject, func(m *nats.Msg) {
		if m.Header.Get(header) != "" {
			select {
			case found <- struct{}{}:
			default:
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	nc.Flush()
	return func() { <-found }
}

// TestLost: a call whose end has died is over soon, also if it has no time limit and no stream.
func TestLost(t *testing.T) {
	wantUnknown := func(what string, err error) {
		t.Helper()
		var e *bsrpc.Error
		if !errors.As(err, &e) || e.Code != bsrpc.CodeUnavailable || e.Outcome != bsrpc.OutcomeUnknown || !strings.Contains(err.Error(), what) {
			t.Errorf("want %q, got %v", what, err)
		}
	}
	start := func(t *testing.T) (b *broker, d *depot, theirs, ours *nats.Conn, p *contract) {
		b, d = newBroker(t), newDepot("a")
		theirs, ours = b.connect(), b.connect()
		serve(t, theirs, newServer(t, d, nil))
		return b, d, theirs, ours, bind(t, dial(t, ours, &bsrpc.ClientOptions{DefaultCallTimeout: time.Hour}))
	}
	t.Run("instance", func(t *testing.T) {
		t.Parallel()
		b, _, theirs, _, p := start(t)
		here := listen(t, b, "_INBOX.>", "Bsrpc-Here")
		go func() {
			here()
			theirs.Close()
		}()
		_, err := p.Put(t.Context(), "wait", 1)
		wantUnknown("the other end is gone", err)
	})
	t.Run("instance at once", func(t *testing.T) {
		t.Parallel()
		_, d, theirs, _, p := start(t)
		go func() {
			for d.ran.Load() == 0 {
				time.Sleep(time.Millisecond)
			}
			theirs.Close()
		}()
		_, err := p.Put(t.Context(), "wait", 1)
		wantUnknown("gone", err)
	})
	t.Run("request", func(t *testing.T) {
		t.Parallel()
		b, _, theirs, _, p := start(t)
		nc := b.connect() // takes requests, and does nothing
		if _, err := nc.QueueSubscribe("bsrpc.lab.Stock.Put", "q", func(*nats.Msg) {}); err != nil {
			t.Fatal(err)
		}
		nc.Flush()
		theirs.Close()
		_, err := p.Put(t.Context(), "bolt", 1)
		wantUnknown("slow consumer", err)
	})
	t.Run("caller", func(t *testing.T) {
		t.Parallel()
		_, d, _, ours, p := start(t)
		go p.Put(t.Context(), "wait", 1)
		for d.ran.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
		ours.Close()
		<-d.canceled
	})
	t.Run("nothing", func(t *testing.T) {
		t.Parallel()
		b, _, _, _, p := start(t)
		ctx, cancel := context.WithCancel(t.Context())
		here, ping := listen(t, b, "_INBOX.>", "Bsrpc-Here"), listen(t, b, "bsrpc.>", "Bsrpc-Ping")
		go func() {
			for range 6 { // gaps: more than either end would wait
				here()
				ping()
			}
			cancel()
		}()
		if _, err := p.Put(ctx, "wait", 1); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// lines is a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestSlowInstance: a request that an instance has dropped is an error with its cause, at the
// caller, in the log, and in the statistics.
func TestSlowInstance(t *testing.T) {
	b := newBroker(t)
	var log lines
	nc := b.connect()
	defer natsbsrpc.LimitArrivals(1)()
	i, err := natsbsrpc.Serve(nc, newServer(t, newDepot("a"), nil), &natsbsrpc.ServeOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	p := bind(t, dial(t, b.connect(), &bsrpc.ClientOptions{DefaultCallTimeout: time.Hour}))
	release := natsbsrpc.Stall(i)
	answers := make(chan error)
	const calls = 16
	for range calls {
		go func() {
			_, err := p.Who(t.Context())
			answers <- err
		}()
	}
	for n := 0; n == 0; { // until the instance has dropped one
		time.Sleep(time.Millisecond)
		n = natsbsrpc.Dropped(i)
	}
	release()
	failed := 0
	for range calls {
		if err := <-answers; err != nil {
			var e *bsrpc.Error
			if failed++; !errors.As(err, &e) || e.Outcome != bsrpc.OutcomeUnknown || !strings.Contains(err.Error(), "slow consumer") {
				t.Errorf("got %v", err)
			}
		}
	}
	if !strings.Contains(log.String(), "slow consumer") {
		t.Errorf("logged %s", &log)
	}
	var stats micro.Stats
	subject, _ := micro.ControlSubject(micro.StatsVerb, "lab-Stock", i.ID())
	m, err := nc.Request(subject, nil, 100*time.Millisecond)
	for errors.Is(err, nats.ErrTimeout) { // among the cancels of the failed calls it may be dropped, too
		m, err = nc.Request(subject, nil, 100*time.Millisecond)
	}
	if err == nil {
		err = json.Unmarshal(m.Data, &stats)
	}
	at := slices.IndexFunc(stats.Endpoints, func(e *micro.EndpointStats) bool { return e.Name == "Who" })
	if err != nil || at < 0 || stats.Endpoints[at].NumErrors != failed || stats.Endpoints[at].LastError != nats.ErrSlowConsumer.Error() {
		t.Errorf("got %+v, %v", stats.Endpoints, err)
	}
}
