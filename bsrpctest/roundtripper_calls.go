package bsrpctest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/bsrpc/bsrpc"
)

// The checks of calls with one answer: what must arrive, and where.

// pattern returns n bytes in which a lost, a moved and a doubled part shows: they repeat after a
// prime number of bytes.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range min(n, 4093) {
		b[i] = byte(i) ^ byte(i>>8)
	}
	for have := 4093; have < n; have *= 2 {
		copy(b[have:], b[:have])
	}
	return b
}

// allBytes has each byte once.
var allBytes = func() string {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return string(b)
}()

// An echo returns its argument.
type echo struct {
	Echo func(ctx context.Context, b []byte) ([]byte, error)
}

func newEcho() *echo {
	return &echo{func(_ context.Context, b []byte) ([]byte, error) { return b, nil }}
}

// checkValues: arguments and results arrive as they are. It finds transports that take bytes for
// text: zero bytes, line ends and letters beyond ASCII change on their way, or a body without
// bytes is lost.
func checkValues(x *trial) {
	type contract struct {
		None func() error
		Mix  func(n int64, text string, list []float64, m map[string]uint32) (map[string]uint32, []float64, string, int64, error)
	}
	p := pair(x, &contract{
		func() error { return nil },
		func(n int64, text string, list []float64, m map[string]uint32) (map[string]uint32, []float64, string, int64, error) {
			return m, list, text, n, nil
		},
	})
	if err := p.None(); err != nil {
		x.wrong("a call without arguments and results: %v", err)
	}
	// The greatest and the smallest values, and texts with bytes that have a meaning in lines of text.
	list, m := []float64{0, -1.5, 1e300}, map[string]uint32{"": 0, "ü": 1 << 31}
	gotM, gotList, text, n, err := p.Mix(-1<<63, "a\x00\r\nü", list, m)
	if err != nil || n != -1<<63 || text != "a\x00\r\nü" || !slices.Equal(gotList, list) || !maps.Equal(gotM, m) {
		x.wrong("got %d, %q, %v, %v, %v; want the arguments in reverse", n, text, gotList, gotM, err)
	}
}

// checkSizes: bodies of any length arrive. Among them are lengths at which brokers and proxies
// have their limits, with and without room for headers, and the chunks of many protocols end. It
// finds transports that cut a long body, lose or exchange parts of it, or refuse it with the
// limit of something below them.
func checkSizes(x *trial) {
	p := pair(x, newEcho())
	for _, size := range []int{0, 1, 255, 4 << 10, 64<<10 - 5, 64 << 10, 1<<20 - 400, 1 << 20, 8 << 20} {
		want := pattern(size)
		if got, err := p.Echo(x.ctx, want); err != nil || !bytes.Equal(got, want) {
			x.wrong("%d bytes: got %d bytes, %v, want the same bytes", size, len(got), err)
		}
	}
}

// checkOnce: each request reaches the handler once. A second copy may come behind the answer, so
// the calls are counted after Shutdown. It finds transports that send again after a timeout of
// their own, and brokers that deliver to several servers.
func checkOnce(x *trial) {
	const calls = 50
	var ran [calls]atomic.Int32
	type contract struct {
		Run func(ctx context.Context, i int) error
	}
	srv, client := serve(x, &contract{func(_ context.Context, i int) error { ran[i%calls].Add(1); return nil }})
	p := bind[contract](x, client)
	for i := range calls {
		if err := p.Run(x.ctx, i); err != nil {
			x.wrong("call %d: %v", i, err)
			return
		}
	}
	if err := srv.Shutdown(x.ctx); err != nil {
		x.wrong("Shutdown after all calls: %v", err)
	}
	for i := range ran {
		if n := ran[i].Load(); n != 1 {
			x.wrong("call %d has run %d times, want once", i, n)
			return
		}
	}
}

// checkParallel: calls run at the same time, and each gets its own answer. No handler returns
// before all of them run. It finds transports that wait for an answer before they send the next
// request, at the client, or call Handle on the goroutine that reads. It also finds answers that
// reach another caller.
func checkParallel(x *trial) {
	const calls = 16
	arrived, all := make(chan struct{}, calls), make(chan struct{})
	p := pair(x, &echo{func(ctx context.Context, b []byte) ([]byte, error) {
		arrived <- struct{}{}
		select {
		case <-all:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		return b, nil
	}})
	var failed [calls]error
	var running sync.WaitGroup
	for i := range calls {
		running.Go(func() {
			want := bytes.Repeat([]byte{byte(i)}, i*1000)
			if got, err := p.Echo(x.ctx, want); err != nil || !bytes.Equal(got, want) {
				failed[i] = fmt.Errorf("call %d of %d at a time: got %d bytes, %v, want %d bytes of its own", i, calls, len(got), err, len(want))
			}
		})
	}
	// Each handler sends one value. A transport with a limit below calls leaves some of them waiting.
	for i := range calls {
		await(x, arrived, fmt.Sprintf("%d of %d calls at a time have reached their handlers", i, calls))
	}
	close(all)
	running.Wait()
	if err := errors.Join(failed[:]...); err != nil {
		x.wrong("%v", err)
	}
}

// checkMemory: what a handler keeps of its arguments, and a caller of its results, stays. Bytes
// are decoded without a copy of them, so both belong to the memory of a body. It finds
// transports with a pool of buffers.
func checkMemory(x *trial) {
	var mu sync.Mutex
	var kept [][]byte
	p := pair(x, &echo{func(_ context.Context, b []byte) ([]byte, error) {
		mu.Lock()
		defer mu.Unlock()
		kept = append(kept, b)
		return b, nil
	}})
	// The calls follow one another, and their bodies have the same length: so each fits into the
	// memory of the one before.
	var results [][]byte
	const calls = 20
	for i := range calls {
		got, err := p.Echo(x.ctx, bytes.Repeat([]byte{byte(i)}, 1000))
		x.must(err, "call %d", i)
		results = append(results, got)
	}
	mu.Lock()
	defer mu.Unlock()
	for i := range calls {
		want := bytes.Repeat([]byte{byte(i)}, 1000)
		if !bytes.Equal(kept[i], want) {
			x.wrong("the arguments kept by the handler of call %d of %d have changed since: the transport has used the memory again", i, calls)
			return
		}
		if !bytes.Equal(results[i], want) {
			x.wrong("the results of call %d of %d have changed since: the transport has used the memory again", i, calls)
			return
		}
	}
}

// someMetadata has values which headers of other protocols must escape, and many of them.
func someMetadata() bsrpc.Metadata {
	md := bsrpc.Metadata{"empty": "", "bytes": allBytes, "text": " a=b&c,d;e%2C+\r\nBsrpc-Status: x \"ü\" ", "long": strings.Repeat("x", 4000)}
	for i := range 30 {
		md[fmt.Sprint("key-", i)] = fmt.Sprint(i)
	}
	return md
}

// differences returns the keys in which metadata differs from someMetadata, "" for none.
func differences(got bsrpc.Metadata) string {
	want := someMetadata()
	var keys []string
	// Keys that are missing, and those with another value; then those left over.
	for key := range want {
		if v, ok := got[key]; !ok || v != want[key] {
			keys = append(keys, key)
		}
		delete(got, key)
	}
	if keys = slices.Sorted(slices.Values(append(keys, slices.Collect(maps.Keys(got))...))); len(keys) > 5 {
		keys = append(keys[:5], "...")
	}
	return strings.Join(keys, ", ")
}

// checkRequestMetadata: the handler has the metadata of the caller. The keys are those of the
// library, lower-case letters and a few others, so most protocols have them as they are. Values
// are any bytes, which headers of text must escape; together they have some kilobytes.
func checkRequestMetadata(x *trial) {
	type contract struct {
		Get func(ctx context.Context) (map[string]string, error)
	}
	p := pair(x, &contract{func(ctx context.Context) (map[string]string, error) { return bsrpc.MetadataFrom(ctx), nil }})
	// A call without metadata must not get that of the call before.
	got, err := p.Get(bsrpc.WithMetadata(x.ctx, someMetadata()))
	if keys := differences(got); keys != "" || err != nil {
		x.wrong("the metadata of the request differs at the handler (%s), %v", keys, err)
	}
	if got, err := p.Get(x.ctx); len(got) != 0 || err != nil {
		x.wrong("the handler of a call without metadata has %d entries, %v", len(got), err)
	}
}

// checkReplyMetadata: the caller has that of the handler, of failed calls too. It finds
// transports that send metadata only beside results.
func checkReplyMetadata(x *trial) {
	// The handler sets its metadata before it fails, and the caller gets both.
	type contract struct {
		Set func(ctx context.Context, fail bool) error
	}
	p := pair(x, &contract{func(ctx context.Context, fail bool) error {
		for key, value := range someMetadata() {
			bsrpc.SetReplyMetadata(ctx, key, value)
		}
		if fail {
			return errProbeEmpty
		}
		return nil
	}})
	for _, fail := range []bool{false, true} {
		ctx, reply := bsrpc.WithReplyMetadata(x.ctx)
		err := p.Set(ctx, fail)
		if keys := differences(reply.Get()); keys != "" || (err != nil) != fail {
			x.wrong("the metadata of the reply differs at the caller (%s), with the error %v", keys, err)
		}
	}
}

// checkCredentials: Authenticate has the credentials of each call. They may change between
// calls, and a transport that keeps them would let a later caller in. The token of the last call
// has no user, as in OAuth.
func checkCredentials(x *trial) {
	var sent atomic.Pointer[bsrpc.Credentials]
	x.client.InsecureCredentials = true
	x.client.Credentials = func(context.Context) (bsrpc.Credentials, error) { return *sent.Load(), nil }
	x.server.Authenticate = func(_ context.Context, p *bsrpc.Peer, c bsrpc.Credentials) error {
		if c.Token() == "" {
			return errors.New("no token")
		}
		p.Name = c.User() + "/" + c.Token()
		return nil
	}
	type contract struct {
		Who func(ctx context.Context) (string, error)
	}
	// Bind is a request as well, so it has credentials too.
	first := bsrpc.NewCredentials("ann", "first")
	sent.Store(&first)
	p := pair(x, &contract{func(ctx context.Context) (string, error) { return bsrpc.SessionFrom(ctx).Peer().Name, nil }})
	for _, c := range []bsrpc.Credentials{first, bsrpc.NewCredentials("ann", `pass word:"ü"`), bsrpc.NewCredentials("", "a.b-c_d~e+f/g==")} {
		sent.Store(&c)
		if got, err := p.Who(x.ctx); got != c.User()+"/"+c.Token() || err != nil {
			x.wrong("Authenticate has got other credentials than those of the call, or %v", err)
		}
	}
	// A client may also lose its credentials.
	none := bsrpc.NewCredentials("", "")
	sent.Store(&none)
	_, err := p.Who(x.ctx)
	x.failedAs("a call without credentials", err, bsrpc.CodeUnauthenticated, bsrpc.OutcomeNotRun)
}

// checkOneway: oneway calls arrive, those just before Close too, each once. The caller gets no
// answer, so only the server knows of the failed one. The context of the caller ends after its
// func has returned, and takes back nothing.
func checkOneway(x *trial) {
	type contract struct {
		Tell func(ctx context.Context, text string) error `bsrpc:"oneway"`
	}
	told := make(chan string, 100)
	srv, client := serve(x, &contract{func(_ context.Context, text string) error {
		told <- text
		if text == "bad" {
			return errProbeEmpty
		}
		return nil
	}})
	p := bind[contract](x, client)
	want := map[string]bool{"a": true, "bad": true, "c": true}
	// Close follows at once. It leaves the requests some time, but does not wait for the handlers.
	for text := range want {
		ctx, cancel := context.WithCancel(x.ctx)
		if err := p.Tell(ctx, text); err != nil {
			x.wrong("a oneway call: %v", err)
		}
		cancel() // the call is on its way
	}
	client.Close()
	for range 3 {
		delete(want, await(x, told, "not all oneway calls have arrived"))
	}
	if err := srv.Shutdown(x.ctx); err != nil {
		x.wrong("Shutdown after oneway calls: %v", err)
	}
	if len(want) != 0 || len(told) != 0 || srv.OnewayErrors() != 1 {
		x.wrong("of three oneway calls %d are missing, %d have run twice, and %d have failed, want one failed", len(want), len(told), srv.OnewayErrors())
	}
}
