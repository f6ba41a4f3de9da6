package bsrpc_test

// The texts in the tables of the guide are real. The tests in this file make the mistakes
// explained in the guide, and collect the texts.

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// mistakes collects texts for users: errors, and log lines as a slog.Handler.
type mistakes struct {
	mu    sync.Mutex
	texts []string
}

func (l *mistakes) add(errs ...error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, err := range errs {
		if err != nil {
			l.texts = append(l.texts, err.Error())
		}
	}
}

func (l *mistakes) Enabled(context.Context, slog.Level) bool { return true }
func (l *mistakes) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *mistakes) WithGroup(string) slog.Handler            { return l }

func (l *mistakes) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.texts = append(l.texts, r.Message)
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "err" || a.Key == "why" {
			l.texts = append(l.texts, a.Value.String())
		}
		return true
	})
	return nil
}

// store is the service of the mistakes.
type store struct{ again func(context.Context) error }

type storeContract struct {
	Fill  func(n int) ([]byte, error)
	Put   func(b []byte) error
	Count func(n int64) error  `bsrpc:"(le4)"`
	Name  func(s string) error `bsrpc:"(max=8 utf8)"`
	Names func(s []string) error
	Chain func(c *nesting) error
	Panic func() error
	Nap   func() error
	Wait  func(ctx context.Context) error
	Turn  func(ctx context.Context) error `bsrpc:"exclusive=till"`
	Again func(ctx context.Context) error `bsrpc:"exclusive=till"`

	Weigh func(ctx context.Context, b []byte) error `bsrpc:"exclusive=till"`
}

type nesting struct{ Next *nesting }

func (s *store) Fill(n int) []byte                         { return make([]byte, n) }
func (s *store) Put([]byte)                                {}
func (s *store) Count(int64)                               {}
func (s *store) Name(string)                               {}
func (s *store) Names([]string)                            {}
func (s *store) Chain(*nesting)                            {}
func (s *store) Nap()                                      { time.Sleep(time.Minute) }
func (s *store) Panic()                                    { panic("out of stock") }
func (s *store) Wait(ctx context.Context) error            { <-ctx.Done(); return ctx.Err() }
func (s *store) Turn(ctx context.Context) error            { <-ctx.Done(); return ctx.Err() }
func (s *store) Weigh(ctx context.Context, _ []byte) error { return s.Turn(ctx) }

func (s *store) Again(ctx context.Context) error { return s.again(ctx) }

// server returns a server that logs to l.
func (l *mistakes) server(t *testing.T, opts bsrpc.ServerOptions) (*bsrpc.Server, *store) {
	t.Helper()
	opts.Logger = slog.New(l)
	srv, s := bsrpc.NewServer(&opts), new(store)
	if err := bsrpc.RegisterAs[storeContract](srv, "Shop", s); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	return srv, s
}

// dial connects a client to a server by nc, or in memory if it is nil.
func (l *mistakes) dial(t *testing.T, srv *bsrpc.Server, opts bsrpc.ClientOptions) (*storeContract, *bsrpc.Client) {
	t.Helper()
	opts.Logger = slog.New(l)
	client, err := bsrpctest.Dial(t, srv, &opts)
	if err != nil {
		l.add(err)
		return nil, nil
	}
	return bindStore(t, client), client
}

func bindStore(t *testing.T, client *bsrpc.Client) *storeContract {
	t.Helper()
	proxy, err := bsrpc.Bind[storeContract](t.Context(), client, "Shop")
	if err != nil {
		t.Fatal(err)
	}
	return proxy
}

// A storekeeper has methods that cannot be registered.
type storekeeper struct{}

func (storekeeper) Pay(chan int, any, func()) {}
func (storekeeper) Fail(error, *time.Timer)   {}
func (storekeeper) Sort(map[*int]string)      {}
func (storekeeper) Nothing([]struct{})        {}
func (storekeeper) Secret(struct{ key int })  {}

func (l *mistakes) register(t *testing.T) {
	type hidden struct {
		Fill  func(n string) ([]byte, error)
		Pay   func() error
		Panic func()
		Wait  func() error           `bsrpc:"timeout=5"`
		Put   func(b []byte) error   `bsrpc:"(mx=5)"`
		Count func(n int64) error    `bsrpc:"(le9)"`
		Names func(s []string) error `bsrpc:"roles=admin|*"`
		Turn  func() error           `bsrpc:"exclusiv=till"`
		Total int
		again func() error
	}
	type ids struct {
		Panic func() error         `bsrpc:"id=1"`
		Put   func(b []byte) error `bsrpc:"id=1"`
	}
	srv := func() *bsrpc.Server { return bsrpc.NewServer(nil) }
	l.add(
		srv().RegisterName("Shop", store{}),
		srv().RegisterName("Shop", struct{}{}),
		srv().RegisterName("Shop", nil),
		srv().RegisterName("Shop", struct{ *bytes.Buffer }{}),
		srv().RegisterName("Shop", storekeeper{}),
		srv().RegisterName("Shop", &storeContract{}),
		srv().RegisterName("my-shop", new(store)),
		srv().Register(new(store)),
		srv().RegisterFunc("Put", func() {}),
		srv().RegisterFunc("Shop.Put", 1),
		bsrpc.RegisterAs[hidden](srv(), "Shop", new(store)),
		bsrpc.RegisterAs[storeContract](srv(), "Shop", new(storeContract)),
		bsrpc.RegisterAs[storeContract](srv(), "Shop", storeContract{}),
		bsrpc.RegisterAs[*storeContract](srv(), "Shop", new(store)),
		bsrpc.RegisterAs[ids](bsrpc.NewServer(&bsrpc.ServerOptions{Basic: true}), "Shop", new(store)),
	)
	twice, _ := l.server(t, bsrpc.ServerOptions{})
	l.add(twice.RegisterName("Shop", new(store)))
	l.dial(t, twice, bsrpc.ClientOptions{})
	l.add(twice.RegisterName("Late", new(store)))
	_ = hidden{}.again
}

func (l *mistakes) options(t *testing.T) {
	_, err := bsrpc.DecodeServerOptions(map[string]any{"max-mesage": 1})
	_, srv := bsrpc.DecodeServerOptions(map[string]any{"limits": map[string]any{"MaxConns": "many"}})
	l.add(err, srv)
	for _, opts := range []bsrpc.ServerOptions{{MaxMessage: -5}, {HandshakeTimeout: 5}} {
		near, far := net.Pipe()
		l.add(bsrpc.NewServer(&opts).ServeConn(far))
		near.Close()
	}
}

// sockets makes mistakes reported by the operating system.
func (l *mistakes) sockets(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	srv, _ := l.server(t, bsrpc.ServerOptions{})
	l.add(srv.ListenAndServe("tcp", addr))
	listener.Close()
	_, err = bsrpc.Dial(t.Context(), "tcp", addr, nil)
	l.add(err)
	_, err = bsrpc.Dial(t.Context(), "tcp", "localhost", nil)
	l.add(err)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = bsrpc.Dial(canceled, "tcp", addr, nil)
	l.add(err)
	var none context.Context
	_, err = bsrpc.Dial(none, "tcp", addr, nil)
	l.add(err, new(bsrpc.Client).Err())

	if listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	accepted := make(chan net.Conn, 1)
	go func() {
		nc, _ := listener.Accept()
		accepted <- nc
		srv.ServeConn(nc)
	}()
	client, err := bsrpc.Dial(t.Context(), "tcp", listener.Addr().String(), &bsrpc.ClientOptions{NoReconnect: true})
	if err != nil {
		t.Fatal(err)
	}
	nc := (<-accepted).(*net.TCPConn)
	nc.SetLinger(0)
	nc.Close() // as the system does for a process that has crashed
	<-client.Done()
	l.add(client.Err())
	listener.Close()
}

// strangers connects servers and clients of other protocols.
func (l *mistakes) strangers(t *testing.T) {
	for _, answer := range []string{
		"HTTP/1.1 400 Bad Request\r\n\r\n", "\x15\x03\x01\x00\x02\x02\x28", "SSH-2.0-OpenSSH\r\n",
		"\x06\x00\x00\x00\x00\x01", "\x0b\x00\x00\x00\x00\x01bsrp\x02", "",
	} {
		near, far := net.Pipe()
		go func() {
			far.Read(make([]byte, 1<<10))
			far.Write([]byte(answer))
			far.Close()
		}()
		_, err := bsrpc.NewClient(t.Context(), near, nil)
		l.add(err)
	}
	near, _ := net.Pipe()
	_, err := bsrpc.NewClient(t.Context(), near, nil) // silence
	l.add(err)
	for _, hello := range []string{"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x00\xf1\x01\x00\x00", "SSH-2.0-OpenSSH\r\n", "\x08\x00\x00\x00\x00\x00\x00\x01", ""} {
		srv, _ := l.server(t, bsrpc.ServerOptions{})
		near, far := net.Pipe()
		go func() {
			near.Write([]byte(hello))
			answer, _ := io.ReadAll(near)
			l.add(errors.New(string(answer)))
		}()
		l.add(srv.ServeConn(far))
	}
}

// admission makes a server refuse clients.
func (l *mistakes) admission(t *testing.T) {
	crowded, _ := l.server(t, bsrpc.ServerOptions{Limits: bsrpc.Limits{MaxHandshakes: 1}})
	for range 2 {
		_, far := net.Pipe()
		go crowded.ServeConn(far)
		time.Sleep(time.Second)
	}
	slow, _ := l.server(t, bsrpc.ServerOptions{Limits: bsrpc.Limits{MaxHandshakes: 1}, Authenticate: func(ctx context.Context, _ *bsrpc.Peer, _ bsrpc.Credentials) error {
		<-ctx.Done()
		return ctx.Err()
	}})
	go l.dial(t, slow, bsrpc.ClientOptions{})
	synctest.Wait()
	l.dial(t, slow, bsrpc.ClientOptions{})
	for _, opts := range []bsrpc.ServerOptions{
		{OnConnect: func(context.Context, *bsrpc.Session) error { return errors.New("closed on Sundays") }},
		{OnConnect: func(context.Context, *bsrpc.Session) error { panic("no key") }},
		{Limits: bsrpc.Limits{MaxConns: 1}},
		{MaxSessions: 1, RefuseWhenFull: true},
		{Limits: bsrpc.Limits{PeerConns: 1}},
	} {
		srv, _ := l.server(t, opts)
		l.dial(t, srv, bsrpc.ClientOptions{})
		l.dial(t, srv, bsrpc.ClientOptions{})
	}
	queued, _ := l.server(t, bsrpc.ServerOptions{MaxSessions: 1, Limits: bsrpc.Limits{PeerWaiting: 1}})
	l.dial(t, queued, bsrpc.ClientOptions{})
	patient, cancelPatient := context.WithCancel(t.Context())
	waits, seat := net.Pipe()
	go queued.ServeConn(seat)
	go bsrpc.NewClient(patient, waits, nil)
	synctest.Wait()
	l.dial(t, queued, bsrpc.ClientOptions{})
	cancelPatient()
	srv, _ := l.server(t, bsrpc.ServerOptions{MaxSessions: 1, MaxWaiting: 1, SessionMaxHold: time.Minute})
	first, _ := l.dial(t, srv, bsrpc.ClientOptions{})
	l.dial(t, srv, bsrpc.ClientOptions{OnWait: func(int) { panic("no seat") }})
	synctest.Wait() // until it has left the line
	near, far := net.Pipe()
	go srv.ServeConn(far)
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := bsrpc.NewClient(short, near, nil)
	l.add(err)
	go l.dial(t, srv, bsrpc.ClientOptions{})
	synctest.Wait()
	l.dial(t, srv, bsrpc.ClientOptions{})
	time.Sleep(time.Hour)
	l.add(first.Panic())
}

func (l *mistakes) bind(t *testing.T) {
	type oldOrder struct {
		Price uint64
		ID    uint64
		Total int
		Note  string
	}
	type Order struct {
		ID    uint64
		Price int32
		Sum   int
	}
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: slog.New(l)})
	l.add(srv.RegisterFunc("Shop.Place", func(oldOrder) {}), srv.RegisterFunc("Shop.Pay", func() {}))
	client, err := bsrpctest.Dial(t, srv, nil)
	if err != nil {
		t.Fatal(err)
	}
	proxy, mismatch := bsrpc.Bind[struct {
		Place func(Order) error
		Pai   func() error
	}](t.Context(), client, "Shop")
	_, name := bsrpc.Bind[struct{ Pay func() error }](t.Context(), client, "Shops")
	_, noStruct := bsrpc.Bind[interface{ Pay() error }](t.Context(), client, "Shop")
	_, pointer := bsrpc.Bind[*storeContract](t.Context(), client, "Shop")
	nilProxy, methods := bsrpc.Bind[store](t.Context(), client, "Shop")
	l.add(mismatch, name, proxy.Place(Order{}), noStruct, pointer, methods)
	defer func() { l.add(recover().(error)) }()
	nilProxy.again(t.Context())
}

// values sends values exceeding their tags or limits.
func (l *mistakes) values(t *testing.T) {
	dec := bsrpc.NewDecoder(strings.NewReader("\x05\x00\x00\x00hello"))
	dec.MaxRecord = 8
	l.add(dec.Decode(new(string)))
	srv, _ := l.server(t, bsrpc.ServerOptions{MaxMessage: 1 << 20, Limits: bsrpc.Limits{DecodeBudget: 1 << 20}})
	proxy, client := l.dial(t, srv, bsrpc.ClientOptions{MaxMessage: 1 << 19, Limits: bsrpc.Limits{DecodeBudget: bsrpc.NoLimit}})
	deep := new(nesting)
	for range 100 {
		deep = &nesting{deep}
	}
	_, err := proxy.Fill(1 << 20)
	l.add(err, proxy.Put(make([]byte, 2<<20)), proxy.Count(1<<40), proxy.Name("a long name"), proxy.Name("\xff"),
		proxy.Chain(deep), proxy.Names(make([]string, 200_000)), proxy.Panic())
	ctx := t.Context()
	l.add(client.Call(ctx, "Put", nil), client.Call(ctx, "Shop.Pay", nil), client.Call(ctx, "Shop.Put", nil),
		client.Call(ctx, "Shop.Put", []any{1}), client.Call(ctx, "Shop.Count", []any{int64(1) << 40}), client.Call(ctx, "Shop.Count", []any{[]any{}}),
		client.Call(ctx, "Shop.Fill", []any{1}, []byte(nil)), client.Call(ctx, "Shop.Fill", []any{1}))
	l.add(proxy.Wait(bsrpc.WithMetadata(ctx, bsrpc.Metadata{"Tenant": "acme"})),
		proxy.Wait(bsrpc.WithMetadata(ctx, bsrpc.Metadata{"tenant": strings.Repeat("acme", 2000)})))
	small, _ := l.dial(t, srv, bsrpc.ClientOptions{Limits: bsrpc.Limits{DecodeBudget: 1 << 10}})
	_, err = small.Fill(1 << 15)
	l.add(err)
}

// times makes calls end at their time limits.
func (l *mistakes) times(t *testing.T) {
	srv, s := l.server(t, bsrpc.ServerOptions{})
	proxy, client := l.dial(t, srv, bsrpc.ClientOptions{})
	s.again = proxy.Again
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	l.add(proxy.Wait(t.Context()), proxy.Wait(short), proxy.Again(t.Context()))
	tagged, err := bsrpc.Bind[struct {
		Wait func() error `bsrpc:"timeout=5s"`
	}](t.Context(), client, "Shop")
	if err != nil {
		t.Fatal(err)
	}
	l.add(tagged.Wait())
	canceled, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Second, cancel)
	l.add(proxy.Wait(canceled))
	long, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go proxy.Turn(long)
	synctest.Wait()
	l.add(proxy.Turn(t.Context())) // waits for the group
}

// A halted connection is that of a crashed machine.
type halted struct {
	net.Conn
	reads, writes bool // which are halted
	now           atomic.Bool
}

func (c *halted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.reads && c.now.Load() {
		time.Sleep(time.Minute)
	}
	return n, err
}

func (c *halted) Write(b []byte) (int, error) {
	if c.writes && c.now.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// ends makes connections end.
func (l *mistakes) ends(t *testing.T) {
	wait := func(client *bsrpc.Client, proxy *storeContract, end func()) {
		called := make(chan error)
		go func() { called <- proxy.Wait(t.Context()) }()
		time.Sleep(time.Second)
		end()
		l.add(<-called, proxy.Panic(), client.Err())
		time.Sleep(time.Second)
	}
	srv, _ := l.server(t, bsrpc.ServerOptions{})
	proxy, client := l.dial(t, srv, bsrpc.ClientOptions{})
	wait(client, proxy, func() { client.Close() })
	proxy, client = l.dial(t, srv, bsrpc.ClientOptions{})
	wait(client, proxy, func() { srv.Sessions()[0].Close("closing time") })
	proxy, client = l.dial(t, srv, bsrpc.ClientOptions{})
	called := make(chan error)
	go func() { called <- proxy.Wait(t.Context()) }()
	synctest.Wait()
	go srv.Shutdown(t.Context())
	synctest.Wait()
	l.add(proxy.Panic(), <-called)
	srv, _ = l.server(t, bsrpc.ServerOptions{})
	proxy, client = l.dial(t, srv, bsrpc.ClientOptions{})
	go proxy.Nap()
	wait(client, proxy, func() { srv.Close() })
	time.Sleep(time.Minute)

	for _, server := range []*halted{{writes: true}, {reads: true}} {
		srv, _ = l.server(t, bsrpc.ServerOptions{Limits: bsrpc.Limits{PingAfter: bsrpc.NoLimit}})
		near, far := net.Pipe()
		server.Conn = far
		go srv.ServeConn(server)
		client, err := bsrpc.NewClient(t.Context(), near, &bsrpc.ClientOptions{Logger: slog.New(l)})
		if err != nil {
			t.Fatal(err)
		}
		proxy = bindStore(t, client)
		server.now.Store(true)
		l.add(proxy.Put(make([]byte, 1<<20)))
		time.Sleep(time.Hour)
		l.add(proxy.Panic(), client.Err())
	}

	srv, _ = l.server(t, bsrpc.ServerOptions{MaxSessions: 1})
	near, far := net.Pipe()
	go func() { l.add(srv.ServeConn(far)) }()
	frozen := &halted{Conn: near, writes: true}
	client, err := bsrpc.NewClient(t.Context(), frozen, nil)
	if err != nil {
		t.Fatal(err)
	}
	frozen.now.Store(true)
	time.Sleep(time.Minute)
	client.Close()

	srv, _ = l.server(t, bsrpc.ServerOptions{})
	near, far = net.Pipe()
	go srv.ServeConn(far)
	client, err = bsrpc.NewClient(t.Context(), near, nil)
	if err != nil {
		t.Fatal(err)
	}
	near.Write([]byte("a second user of the connection"))
	<-client.Done()
	l.add(client.Err())
}

// busy reaches the limits of a server.
func (l *mistakes) busy(t *testing.T) {
	slow, _ := l.server(t, bsrpc.ServerOptions{Limits: bsrpc.Limits{PeerCallRate: 1}})
	often, _ := l.dial(t, slow, bsrpc.ClientOptions{})
	for range 2 {
		l.add(often.Put(nil))
	}
	srv, _ := l.server(t, bsrpc.ServerOptions{MaxMessage: 1 << 20, Limits: bsrpc.Limits{MaxHandlers: 1, ConnBytes: 2 << 20, ServerBytes: 1 << 20}})
	proxy, _ := l.dial(t, srv, bsrpc.ClientOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range 3 {
		go func() { l.add(proxy.Wait(ctx)) }()
		time.Sleep(time.Second)
	}
	var wg sync.WaitGroup
	for range 3 {
		proxy, _ := l.dial(t, srv, bsrpc.ClientOptions{})
		for range 3 {
			wg.Go(func() { l.add(proxy.Put(make([]byte, 1<<20-4))) })
		}
	}
	srv, _ = l.server(t, bsrpc.ServerOptions{MaxMessage: 1 << 20, Limits: bsrpc.Limits{ConnBytes: 2 << 20, ServerBytes: 1 << 20}})
	stalled := func(sent int) (*bsrpc.Client, *storeContract) {
		near, far := net.Pipe()
		go srv.ServeConn(far)
		client, err := bsrpc.NewClient(t.Context(), &stalledConn{near, sent, make(chan struct{})}, &bsrpc.ClientOptions{Logger: slog.New(l)})
		if err != nil {
			t.Fatal(err)
		}
		return client, bindStore(t, client)
	}
	first, one := stalled(900_000)
	go one.Put(make([]byte, 1<<20-4))
	synctest.Wait()
	second, two := stalled(500_000)
	l.add(two.Put(make([]byte, 1<<20-4))) // too early to take the place of the other; a complete message would be served
	second.Close()
	first.Close()
	proxy, _ = l.dial(t, srv, bsrpc.ClientOptions{})
	for range 4 {
		wg.Go(func() { l.add(proxy.Weigh(ctx, make([]byte, 600_000))) })
		time.Sleep(time.Second)
	}
	wg.Wait()
	time.Sleep(time.Minute)
}

// groups makes mistakes with exclusive groups.
func (l *mistakes) groups(t *testing.T) {
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{GroupMaxHold: time.Minute, Logger: slog.New(l)})
	if err := bsrpc.RegisterAs[rackContract](srv, "Rack", new(rackService)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	var clients [2]*rackContract
	for i := range clients {
		client, err := bsrpctest.Dial(t, srv, nil)
		if err != nil {
			t.Fatal(err)
		}
		if clients[i], err = bsrpc.Bind[rackContract](t.Context(), client, "Rack"); err != nil {
			t.Fatal(err)
		}
	}
	a, b := clients[0], clients[1]
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	l.add(a.Take(ctx, []string{"psu"}), b.Take(ctx, []string{"load"}), b.TakeLate(ctx, []string{"psu"}), b.Try(ctx, "b", 1))
	go a.Load(ctx, "a", 1)
	synctest.Wait()
	l.add(b.Supply(ctx, "b", 1), b.Free(ctx, []string{"load"}), b.Supply(ctx, "b", 1), a.Supply(ctx, "a", 1))
}

// A stalledConn writes some bytes, and then nothing until it is closed.
type stalledConn struct {
	net.Conn
	left   int
	closed chan struct{}
}

func (c *stalledConn) Write(b []byte) (int, error) {
	if c.left -= len(b); c.left < 0 {
		<-c.closed
	}
	return c.Conn.Write(b)
}

func (c *stalledConn) Close() error {
	close(c.closed)
	return c.Conn.Close()
}

// streams makes mistakes with streams and callbacks.
func (l *mistakes) streams(t *testing.T) {
	type asking struct {
		Ask func(ctx context.Context, f func() error) error
	}
	asks := bsrpc.NewServer(nil)
	if err := bsrpc.RegisterAs[asking](asks, "A", &asking{func(_ context.Context, f func() error) error { return f() }}); err != nil {
		t.Fatal(err)
	}
	l.add(bsrpctest.Bind[asking](t, asks, "A").Ask(t.Context(), func() error { panic("on purpose") }))

	worker, _, handlers, _ := newCrew(t)
	l.add(handlers.Shutdown(t.Context()), worker.Work(t.Context()))

	srv := bsrpc.NewServer(&bsrpc.ServerOptions{MaxStreams: 1})
	s := &kindService{make(chan error, 1), make(chan error, 1), make(chan struct{})}
	if err := bsrpc.RegisterAs[kindContract](srv, "S", s); err != nil {
		t.Fatal(err)
	}
	p := bsrpctest.Bind[kindContract](t, srv, "S")
	open, err := p.Opened(t.Context(), 1)
	_, tooMany := p.Opened(t.Context(), 1)
	_, first := collect(open)
	_, second := collect(open)
	l.add(err, tooMany, first, second)
	err = p.Keep(t.Context(), func(yield func(int, error) bool) {
		for yield(1, nil) {
		}
	})
	close(s.block)
	l.add(err, <-s.late)

	srv = bsrpc.NewServer(&bsrpc.ServerOptions{MaxConcurrentCalls: 1})
	type contract struct {
		Count func(ctx context.Context) (iter.Seq2[int, error], error)
		Nap   func(ctx context.Context) error `bsrpc:"timeout=none"`
	}
	if err := bsrpc.RegisterAs[contract](srv, "S", &contract{
		Count: func(context.Context) (iter.Seq2[int, error], error) {
			return func(yield func(int, error) bool) {
				for yield(1, nil) {
				}
			}, nil
		},
		Nap: func(context.Context) error { return nil },
	}); err != nil {
		t.Fatal(err)
	}
	q := bsrpctest.Bind[contract](t, srv, "S")
	unread, err := q.Count(t.Context())
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	l.add(err, q.Nap(short), q.Nap(t.Context()))
	_, last := collect(unread)
	l.add(last)

	type filling struct {
		Fill func(ctx context.Context, a, b, c io.Reader) error
	}
	slow := bsrpc.NewServer(&bsrpc.ServerOptions{MaxMessage: 32 << 10, Limits: bsrpc.Limits{ServerBytes: 32 << 10}})
	if err := bsrpc.RegisterAs[filling](slow, "F", &filling{func(_ context.Context, a, b, c io.Reader) error {
		time.Sleep(time.Second)
		_, err := io.Copy(io.Discard, io.MultiReader(a, b, c))
		return err
	}}); err != nil {
		t.Fatal(err)
	}
	long := func() io.Reader { return bytes.NewReader(make([]byte, 64<<10)) }
	l.add(bsrpctest.Bind[filling](t, slow, "F").Fill(t.Context(), long(), long(), long()))
}

// all makes every mistake, and returns the texts.
func (l *mistakes) all(t *testing.T) []string {
	t.Helper()
	l.sockets(t)
	for _, make := range []func(*testing.T){l.register, l.options, l.strangers, l.admission, l.bind, l.values, l.times, l.ends, l.busy, l.streams, l.groups} {
		synctest.Test(t, make)
	}
	return l.texts
}

var (
	tableText   = regexp.MustCompile("^\\| `([^`]+)` \\|") // in the first column
	placeholder = regexp.MustCompile(`\b[A-Z]{4,}\b|\bN\b`)
)

// patternOf returns the pattern for a text of the guide: words in capital letters,
// such as METHOD, match anything, and N matches a number.
func patternOf(text string) *regexp.Regexp {
	return regexp.MustCompile(placeholder.ReplaceAllStringFunc(regexp.QuoteMeta(text), func(word string) string {
		switch word {
		case "N":
			return "[0-9]+"
		case "ADDRESS", "DURATION", "LAYOUT", "METHOD", "NAME", "SERVICE", "TEXT", "TYPE", "WORD":
			return ".+?"
		}
		return word
	}))
}

// Each text in the tables of these pages is the text of a real error or log line. The
// tables of the first page are sorted.
func TestGuideTexts(t *testing.T) {
	t.Parallel()
	texts := new(mistakes).all(t)
	for _, page := range []string{"docs/guide/troubleshooting.md", "docs/guide/limits.md", "docs/guide/upgrading.md"} {
		last := ""
		for n, line := range strings.Split(readFile(t, page), "\n") {
			m := tableText.FindStringSubmatch(line)
			if m == nil {
				last = ""
				continue
			}
			pattern := patternOf(m[1])
			if !slices.ContainsFunc(texts, pattern.MatchString) {
				t.Errorf("%s:%d: no mistake leads to %q", page, n+1, m[1])
			}
			if text := strings.ToLower(m[1]); page == "docs/guide/troubleshooting.md" && text < last {
				t.Errorf("%s:%d: %q stands before %q", page, n+1, last, text)
			} else {
				last = text
			}
		}
	}
	if t.Failed() {
		t.Logf("the texts of all mistakes:\n%s", strings.Join(texts, "\n"))
	}
}
