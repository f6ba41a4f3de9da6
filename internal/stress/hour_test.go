//go:build unix

package stress

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
)

// BSRPC_HOUR=1h go test -run Hour runs clients for an hour, while their servers are killed and
// restarted, frozen, shut down and upgraded, and moved. BSRPC_PACE=25ms slows them down. Each call has a token, so the
// test knows what has run; and each error must have its cause in what was done to the servers at
// the time, by the table in truth_test.go. The test without the variable does not run.

// An hour is the world of TestHour: three servers, each in a process of its own.
type hour struct {
	t      *testing.T
	ctx    context.Context // ends with the time of the test
	ledger *ledger
	rand   *rand.Rand // of the faults
	calm   func(*rand.Rand) time.Duration
	epoch  sync.RWMutex // read-locked by each call; write-locked when no call is open

	pingAfter time.Duration // of clients; after twice that a frozen server is lost

	clients []*hourClient
	servers [3]*serverProcess // of the goroutine of the faults

	mu        sync.Mutex // guards the rest
	processes []*serverProcess
	listed    []listing      // what the resolver said, in order
	failing   bool           // the resolver
	calls     []hourCall     // that have failed, and are to be judged
	stalls    []span         // this process did not run
	causes    map[string]int // the failed calls by their causes
	lies      []string
}

// A listing is the addresses of the resolver from a time on.
type listing struct {
	from      time.Time
	addresses []string
}

// An hourClient is a client and its proxy.
type hourClient struct {
	name    string
	client  *bsrpc.Client
	fixed   string // its only address, "" with Endpoints
	patient bool   // it waits for a connection
	login   bool   // its sessions have its name
	*Common
	order  func(ctx context.Context, token, note string) error
	change func(ctx context.Context, token string) error
}

func TestHour(t *testing.T) {
	length := timeOf(t, "BSRPC_HOUR")
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	h := &hour{t: t, ctx: ctx, ledger: newLedger(), rand: rand.New(rand.NewPCG(17, 1)), causes: make(map[string]int)}
	h.calm, h.pingAfter = upTo(time.Second, 6*time.Second), 2*time.Second
	if length < 10*time.Minute {
		h.calm, h.pingAfter = upTo(50*time.Millisecond, 300*time.Millisecond), 300*time.Millisecond
	}
	for i := range h.servers {
		h.start(i, freeAddress(t), oldVersion)
	}
	base := runtime.NumGoroutine()
	h.list()
	h.connect("old", true, oldVersion, bsrpc.ClientOptions{})
	h.connect("new", true, newVersion, bsrpc.ClientOptions{})
	h.connect("patient", true, newVersion, bsrpc.ClientOptions{WaitForReady: true})
	h.connect("fixed", false, oldVersion, bsrpc.ClientOptions{})
	h.connect("login", false, newVersion, bsrpc.ClientOptions{OnReconnect: h.login("login")})
	var running sync.WaitGroup
	for i, c := range h.clients {
		for k := range 4 {
			running.Go(func() { c.run(h, rand.New(rand.NewPCG(uint64(i), uint64(k))), fmt.Sprintf("%d.%d", i, k)) })
		}
	}
	sizes := footprints(ctx, &h.epoch, length)
	running.Go(func() { h.watch(5 * time.Second) })
	running.Go(func() { findStalls(ctx, h.stalled) })
	done := h.faults()
	running.Wait()
	first, last := sizes()
	for _, c := range h.clients {
		c.client.Close()
	}
	for _, p := range h.servers {
		p.kill()
	}
	h.judge(time.Now())
	t.Logf("%v: %v; %s; %v after a quarter, %v at the end", length, h.ledger, done, first, last)
	t.Logf("errors by cause:\n%s", h.report())
	h.ledger.finish(t)
	for _, text := range h.lies {
		t.Error(text)
	}
	first.compare(t, last)
	awaitGoroutines(t, base)
}

// start starts server i.
func (h *hour) start(i int, address string, version int) {
	p := startProcess(h.t, address, version, h.ledger)
	h.servers[i] = p
	h.mu.Lock()
	defer h.mu.Unlock()
	h.processes = append(h.processes, p)
}

// stalled notes that this process has not run for d.
func (h *hour) stalled(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stalls = append(h.stalls, span{time.Now().Add(-d), time.Now()})
	h.stalls = h.stalls[max(0, len(h.stalls)-1000):]
}

// list makes the resolver return the addresses of the servers, without those at the indexes.
func (h *hour) list(without ...int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := listing{from: time.Now()}
	for i, p := range h.servers {
		if len(without) == 0 || without[0] != i {
			now.addresses = append(now.addresses, p.address)
		}
	}
	h.listed = append(h.listed, now)
}

// endpoints is ClientOptions.Endpoints.
func (h *hour) endpoints(context.Context) (list []bsrpc.Endpoint, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failing {
		return nil, errors.New("the resolver fails")
	}
	for _, a := range h.listed[len(h.listed)-1].addresses {
		list = append(list, bsrpc.Endpoint{Network: "tcp", Address: a})
	}
	return list, nil
}

// login is ClientOptions.OnReconnect of a client with a name.
func (h *hour) login(name string) func(context.Context, *bsrpc.Client) error {
	return func(ctx context.Context, c *bsrpc.Client) error {
		remote, err := bsrpc.Bind[struct {
			Login func(ctx context.Context, name string) error
		}](ctx, c, "Hour")
		if err != nil {
			return err
		}
		return remote.Login(ctx, name)
	}
}

// connect adds a client, of all servers or of the first alone.
func (h *hour) connect(name string, several bool, version int, o bsrpc.ClientOptions) {
	c := &hourClient{name: name, patient: o.WaitForReady, login: o.OnReconnect != nil}
	network := ""
	if several {
		o.Endpoints = h.endpoints
	} else {
		network, c.fixed = "tcp", h.servers[0].address
	}
	o.Logger, o.Errors = slog.New(slog.DiscardHandler), processErrors
	o.Limits.PingAfter, o.Limits.PingTimeout, o.DialTimeout = h.pingAfter, h.pingAfter, 2*h.pingAfter
	var err error
	if c.client, err = bsrpc.Dial(h.ctx, network, c.fixed, &o); err != nil {
		h.t.Fatal(err)
	}
	if c.login {
		if err := o.OnReconnect(h.ctx, c.client); err != nil {
			h.t.Fatal(err)
		}
	}
	if version == oldVersion {
		var p *oldContract
		p, err = bsrpc.Bind[oldContract](h.ctx, c.client, "Hour")
		c.Common = &p.Common
		c.order = func(ctx context.Context, token, _ string) error {
			return returned(p.Order(ctx, token, oldItem{token, 2}))(oldItem{token, 2})
		}
		c.change = func(ctx context.Context, token string) error { return returned(p.Change(ctx, token, 3))(3) }
	} else {
		var p *newContract
		p, err = bsrpc.Bind[newContract](h.ctx, c.client, "Hour")
		c.Common = &p.Common
		c.order = func(ctx context.Context, token, note string) error {
			got, err := p.Order(ctx, token, newItem{note, token, 2})
			if err == nil && note == "" { // an old server does not return it
				got.Note = ""
			}
			return returned(got, err)(newItem{note, token, 2})
		}
		c.change = func(ctx context.Context, token string) error { return returned(p.Change(ctx, token, 3))(3) }
	}
	if err != nil {
		h.t.Fatal(err)
	}
	h.clients = append(h.clients, c)
}

// returned compares a result.
func returned[T comparable](got T, err error) func(want T) error {
	return func(want T) error {
		if err != nil {
			return err
		}
		return check(got == want)
	}
}

// An hourCall is a call that has failed.
type hourCall struct {
	client   *hourClient
	method   string
	token    string
	at       span
	time     time.Duration // its limit
	canceled bool          // by its caller, before it returned
	err      error
}

// hourTime is the time of calls without a reason to be short.
const hourTime = 10 * time.Second

// hourMix is the kinds of calls with their weights.
var hourMix = []struct {
	weight int
	method string
	call   func(ctx context.Context, c *hourClient, r *rand.Rand, token string) error
}{
	{30, "Spend", func(ctx context.Context, c *hourClient, r *rand.Rand, token string) error {
		return returned(c.Spend(ctx, token, 0))(token)
	}},
	{10, "Spend", func(ctx context.Context, c *hourClient, r *rand.Rand, token string) error {
		return returned(c.Spend(ctx, token, r.Int32N(300)))(token)
	}},
	{20, "Look", func(ctx context.Context, c *hourClient, r *rand.Rand, token string) error {
		return returned(c.Look(ctx, token))(token)
	}},
	{8, "Order", func(ctx context.Context, c *hourClient, r *rand.Rand, token string) error {
		return c.order(ctx, token, "")
	}},
	{4, "Order.Note", func(ctx context.Context, c *hourClient, r *rand.Rand, token string) error {
		return c.order(ctx, token, "fragile")
	}},
	{8, "Change", func(ctx context.Context, c *hourClient, r *rand.Rand, token string) error {
		return c.change(ctx, token)
	}},
	{5, "Later", func(ctx context.Context, c *hourClient, r *rand.Rand, token string) error {
		return returned(c.Later(ctx, token).Wait(ctx))(token)
	}},
	{3, "Note", func(ctx context.Context, c *hourClient, r *rand.Rand, token string) error {
		if err := c.Note(ctx, token); err != nil {
			return err
		}
		return errNotKnown
	}},
	{5, "Refuse", func(ctx context.Context, c *hourClient, r *rand.Rand, token string) error {
		err := c.Refuse(ctx, token)
		if errors.Is(err, errSold) && outcomeOf(err) == bsrpc.OutcomeAnswered && err.Error() == token+": sold out" {
			return nil
		}
		return err
	}},
	{5, "Count", func(ctx context.Context, c *hourClient, r *rand.Rand, token string) error {
		want, next := r.Int32N(300), int32(0)
		for n, err := range c.Count(ctx, token, want) {
			if err != nil {
				return err
			}
			if n != next {
				return errWrongResult
			}
			next++
		}
		return check(next == want)
	}},
	{4, "Sum", func(ctx context.Context, c *hourClient, r *rand.Rand, token string) error {
		n := r.Int32N(300)
		return returned(c.Sum(ctx, token, func(yield func(int32) bool) {
			for i := range n {
				if !yield(i) {
					return
				}
			}
		}))(int64(n) * int64(n-1) / 2)
	}},
	{4, "Ask", func(ctx context.Context, c *hourClient, r *rand.Rand, token string) error {
		return returned(c.Ask(ctx, token, func(q string) (string, error) { return q + "!", nil }))(token + "!")
	}},
	{4, "Who", func(ctx context.Context, c *hourClient, r *rand.Rand, token string) error {
		want := ""
		if c.login {
			want = c.name
		}
		return returned(c.Who(ctx, token))(want)
	}},
}

// errNotKnown is the end of a oneway call.
var errNotKnown = errors.New("the caller does not know")

// run makes calls until the end of the test.
func (c *hourClient) run(h *hour, r *rand.Rand, id string) {
	gap, total := timeOf(h.t, pace), 0
	for _, m := range hourMix {
		total += m.weight
	}
	for n := 0; h.ctx.Err() == nil; n++ {
		pick, kind := r.IntN(total), 0
		for pick >= hourMix[kind].weight {
			pick -= hourMix[kind].weight
			kind++
		}
		m := hourMix[kind]
		call := hourCall{client: c, method: m.method, token: fmt.Sprintf("%s.%d", id, n), time: hourTime}
		cancelAfter := time.Duration(-1)
		switch r.IntN(30) {
		case 0:
			call.time = time.Duration(1+r.IntN(50)) * time.Millisecond
		case 1:
			cancelAfter = time.Duration(r.IntN(5)) * time.Millisecond
		}
		h.epoch.RLock()
		call.at.from = time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), call.time)
		if cancelAfter >= 0 {
			time.AfterFunc(cancelAfter, cancel)
		}
		call.err = m.call(ctx, c, r, call.token)
		call.at.to = time.Now()
		call.canceled = errors.Is(ctx.Err(), context.Canceled)
		cancel()
		h.ledger.end(call.token, outcomeOf(call.err), m.method == "Look")
		h.epoch.RUnlock()
		if call.err != nil && call.err != errNotKnown {
			h.mu.Lock()
			h.calls = append(h.calls, call)
			h.mu.Unlock()
		}
		pause(h.ctx, gap)
		if call.err != nil {
			pause(h.ctx, 5*time.Millisecond)
		}
	}
}

// watch settles tokens, and judges errors, when all is known about the time of their calls.
func (h *hour) watch(every time.Duration) {
	for h.ctx.Err() == nil {
		pause(h.ctx, every)
		h.ledger.settle(time.Now().Add(-30 * time.Second))
		h.judge(time.Now().Add(-30 * time.Second))
	}
}

// report returns the failed calls by cause, one a line.
func (h *hour) report() string {
	var lines []string
	for cause, n := range h.causes {
		lines = append(lines, fmt.Sprintf("%9d %s", n, cause))
	}
	slices.Sort(lines)
	slices.Reverse(lines)
	return strings.Join(lines, "\n")
}
