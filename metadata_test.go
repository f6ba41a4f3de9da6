package bsrpc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// An echo sends back the metadata it gets.
type echo struct {
	calls atomic.Int64
	next  *echoContract // of another server
	last  atomic.Pointer[context.Context]
}

// reply makes the metadata of ctx that of the reply.
func (e *echo) reply(ctx context.Context) error {
	e.calls.Add(1)
	e.last.Store(&ctx)
	for k, v := range bsrpc.MetadataFrom(ctx) {
		if err := bsrpc.SetReplyMetadata(ctx, k, v); err != nil {
			return err
		}
	}
	return nil
}

func (e *echo) Echo(ctx context.Context, b []byte) ([]byte, error) { return b, e.reply(ctx) }
func (e *echo) Fail(ctx context.Context) error {
	return errors.Join(e.reply(ctx), errors.New("on purpose"))
}
func (e *echo) Panic(ctx context.Context) { e.reply(ctx); panic("on purpose") }

// Forward calls the next server twice: as it is, and with one entry added.
func (e *echo) Forward(ctx context.Context) (plain, added string, err error) {
	out, reply := bsrpc.WithReplyMetadata(ctx)
	if _, err := e.next.Echo(out, nil); err != nil {
		return "", "", err
	}
	plain = describe(reply.Get())
	_, err = e.next.Echo(bsrpc.WithMetadata(out, bsrpc.Metadata{"added": "here"}), nil)
	return plain, describe(reply.Get()), err
}

// Plain has no context.
func (*echo) Plain(n int) int { return n }

// Set sets what it is given.
func (*echo) Set(ctx context.Context, key, value string) error {
	return bsrpc.SetReplyMetadata(ctx, key, value)
}

type echoContract struct {
	Echo    func(ctx context.Context, b []byte) ([]byte, error)
	Fail    func(ctx context.Context) error
	Panic   func(ctx context.Context) error
	Forward func(ctx context.Context) (plain, added string, err error)
	Plain   func(ctx context.Context, n int) (int, error)
	Set     func(ctx context.Context, key, value string) error
}

// describe returns a text of md with its values.
func describe(md bsrpc.Metadata) string { return fmt.Sprint(map[string]string(md)) }

func newEcho(t testing.TB) (*echo, *bsrpc.Server) {
	t.Helper()
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	e := new(echo)
	if err := bsrpc.RegisterAs[echoContract](srv, "Echo", e); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	return e, srv
}

// manyEntries returns n entries whose values have the same length.
func manyEntries(n, length int) bsrpc.Metadata {
	md := make(bsrpc.Metadata)
	for i := range n {
		md[fmt.Sprintf("key-%02d", i)] = strings.Repeat("x", length)
	}
	return md
}

// full is as many bytes as a call carries: 56 entries of 128 bytes with their lengths.
var full = manyEntries(56, 128-len("key-00")-3)

// Metadata of any bytes arrives unchanged at the handler, and back at the caller: with
// results in one frame, in chunks, and with errors.
func TestMetadataEchoed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, srv := newEcho(t)
		proxy := bsrpctest.Bind[echoContract](t, srv, "Echo")
		for name, md := range map[string]bsrpc.Metadata{
			"none":   {},
			"text":   {"tenant": "Zürich\n", "x-request.id_1": "a\tb"},
			"binary": {"trace-bin": "\x00\x01\xfe\xff\x80", "empty": ""},
			"keys":   {strings.Repeat("k", 64): "v", "0": "v", "-": "v", "a": "1", "a-": "2", "a.": "3"},
			"full":   full,
			"long":   {"k": strings.Repeat("\xff", 7<<10-4)},
		} {
			ctx, reply := bsrpc.WithReplyMetadata(bsrpc.WithMetadata(t.Context(), md))
			for _, size := range []int{0, 1000, 64 << 10, 300 << 10} {
				body := bytes.Repeat([]byte("b"), size)
				if got, err := proxy.Echo(ctx, body); err != nil || !bytes.Equal(got, body) {
					t.Errorf("%s, %d bytes: got %d bytes, %v", name, size, len(got), err)
				}
				if got := reply.Get(); !maps.Equal(got, md) {
					t.Errorf("%s, %d bytes: got %s, want %s", name, size, describe(got), describe(md))
				}
			}
			wantError(t, proxy.Fail(ctx), bsrpc.CodeUnknown, bsrpc.OutcomeAnswered, "on purpose")
			if got := reply.Get(); !maps.Equal(got, md) {
				t.Errorf("%s, with an error: got %s, want %s", name, describe(got), describe(md))
			}
			wantError(t, proxy.Panic(ctx), bsrpc.CodeInternal, bsrpc.OutcomeAnswered, "panic in the handler")
			if got := reply.Get(); !maps.Equal(got, md) {
				t.Errorf("%s, with a panic: got %s, want %s", name, describe(got), describe(md))
			}
			if n, err := proxy.Plain(ctx, 7); n != 7 || err != nil || len(reply.Get()) != 0 {
				t.Errorf("%s, without a context: got %d, %v, %v", name, n, err, reply)
			}
		}
	})
}

// Many calls at a time keep their metadata apart, over a socket too.
func TestMetadataOfConcurrentCalls(t *testing.T) {
	_, srv := newEcho(t)
	proxy, _ := overTCP[echoContract](t, srv, "Echo")
	done := make(chan error)
	for i := range 16 {
		go func() {
			for j := range 50 {
				md := bsrpc.Metadata{"id": fmt.Sprint(i, j)}
				ctx, reply := bsrpc.WithReplyMetadata(bsrpc.WithMetadata(t.Context(), md))
				_, err := proxy.Echo(ctx, nil)
				if got := reply.Get(); err == nil && !maps.Equal(got, md) {
					err = fmt.Errorf("got %s, want %s", describe(got), describe(md))
				}
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range 16 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// What a call cannot carry fails this call only, before it is sent. A later WithMetadata
// may correct it.
func TestMetadataInvalid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, srv := newEcho(t)
		proxy := bsrpctest.Bind[echoContract](t, srv, "Echo")
		huge := bsrpc.Rounds(1<<20, 64<<20)
		for _, tt := range []struct {
			name string
			md   bsrpc.Metadata
			code bsrpc.Code
			text string
		}{
			{"57 entries", manyEntries(57, 1), bsrpc.CodeResourceExhausted, "bsrpc: Echo.Echo: metadata of 57 entries, want at most 56"},
			{"long value", bsrpc.Metadata{"a": "v", "b": strings.Repeat("x", 7<<10)}, bsrpc.CodeResourceExhausted,
				`metadata of 7177 bytes, want at most 7168; the longest value is that of "b", 7168 bytes`},
			{"long in total", manyEntries(56, 120), bsrpc.CodeResourceExhausted, "metadata of 7224 bytes"},
			{"very long", bsrpc.Metadata{"a": strings.Repeat("x", huge)}, bsrpc.CodeResourceExhausted, fmt.Sprintf("metadata of %d bytes", huge+4)},
			{"long key", bsrpc.Metadata{strings.Repeat("k", 65): ""}, bsrpc.CodeResourceExhausted, `metadata key "kkkk`},
			{"no key", bsrpc.Metadata{"": "v"}, bsrpc.CodeInvalidArgument, "metadata key of 0 bytes, want 1 to 64"},
			{"upper case", bsrpc.Metadata{"Tenant": "secret"}, bsrpc.CodeInvalidArgument, `metadata key "Tenant" contains "T"; use lower-case letters`},
			{"space", bsrpc.Metadata{"a b": "secret"}, bsrpc.CodeInvalidArgument, `metadata key "a b" contains " "`},
			{"not ASCII", bsrpc.Metadata{"é": "secret"}, bsrpc.CodeInvalidArgument, `contains "\xc3"`},
			{"the library's", bsrpc.Metadata{"bsrpc-trace": "secret"}, bsrpc.CodeInvalidArgument, `metadata key "bsrpc-trace" begins with "bsrpc-"`},
		} {
			before := e.calls.Load()
			ctx, reply := bsrpc.WithReplyMetadata(bsrpc.WithMetadata(t.Context(), tt.md))
			_, err := proxy.Echo(ctx, nil)
			if got := wantError(t, err, tt.code, bsrpc.OutcomeNotRun, tt.text); strings.Contains(got.Error(), "secret") {
				t.Errorf("%s: %v contains a value", tt.name, err)
			}
			if e.calls.Load() != before || len(reply.Get()) != 0 {
				t.Errorf("%s: the handler ran", tt.name)
			}
			if _, err := proxy.Echo(t.Context(), nil); err != nil {
				t.Errorf("%s: the next call: %v", tt.name, err)
			}
		}
		long := bsrpc.WithMetadata(t.Context(), bsrpc.Metadata{"a": strings.Repeat("x", 7<<10)})
		if _, err := proxy.Echo(bsrpc.WithMetadata(long, bsrpc.Metadata{"a": "short"}), nil); err != nil {
			t.Error(err)
		}
	})
}

// WithMetadata adds to the entries of its context, replaces equal keys, and copies.
func TestWithMetadataAdds(t *testing.T) {
	_, srv := newEcho(t)
	proxy := bsrpctest.Bind[echoContract](t, srv, "Echo")
	md := bsrpc.Metadata{"a": "1", "b": "2"}
	outer := bsrpc.WithMetadata(t.Context(), md)
	md["a"] = "changed"
	inner := bsrpc.WithMetadata(outer, bsrpc.Metadata{"b": "3", "c": "4"})
	for _, tt := range []struct {
		ctx  context.Context
		want string
	}{
		{outer, "map[a:1 b:2]"}, {inner, "map[a:1 b:3 c:4]"}, {bsrpc.WithMetadata(outer, nil), "map[a:1 b:2]"}, {t.Context(), "map[]"},
	} {
		ctx, reply := bsrpc.WithReplyMetadata(tt.ctx)
		if _, err := proxy.Echo(ctx, nil); err != nil || describe(reply.Get()) != tt.want {
			t.Errorf("got %s, %v; want %s", describe(reply.Get()), err, tt.want)
		}
	}
}

// A call without a contract carries metadata as well.
func TestMetadataByName(t *testing.T) {
	_, srv := newEcho(t)
	client, err := bsrpctest.Dial(t, srv, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, reply := bsrpc.WithReplyMetadata(bsrpc.WithMetadata(t.Context(), bsrpc.Metadata{"a": "b"}))
	var got []byte
	if err := client.Call(ctx, "Echo.Echo", []any{[]byte("x")}, &got); err != nil || describe(reply.Get()) != "map[a:b]" {
		t.Errorf("got %s, %v", describe(reply.Get()), err)
	}
}

// A handler's context passes nothing on by itself.
func TestMetadataIsNotPassedOn(t *testing.T) {
	_, further := newEcho(t)
	e, srv := newEcho(t)
	e.next = bsrpctest.Bind[echoContract](t, further, "Echo")
	proxy := bsrpctest.Bind[echoContract](t, srv, "Echo")
	ctx, reply := bsrpc.WithReplyMetadata(bsrpc.WithMetadata(t.Context(), bsrpc.Metadata{"token": "secret"}))
	plain, added, err := proxy.Forward(ctx)
	if plain != "map[]" || added != "map[added:here]" || err != nil {
		t.Errorf("got %s, %s, %v", plain, added, err)
	}
	if got := describe(reply.Get()); got != "map[]" {
		t.Errorf("the reply of the further call came back: %s", got)
	}
}

// The groups held by a caller travel beside full metadata.
func TestMetadataBesideGroups(t *testing.T) {
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	t.Cleanup(func() { srv.Close() })
	g := new(grouped)
	if err := bsrpc.RegisterAs[groupedContract](srv, "G", g); err != nil {
		t.Fatal(err)
	}
	g.proxy = bsrpctest.Bind[groupedContract](t, srv, "G")
	wantError(t, g.proxy.Outer(t.Context()), bsrpc.CodeFailedPrecondition, bsrpc.OutcomeAnswered, "called while already holding exclusive=g: deadlock")
	if n := len(g.seen); n != 56 {
		t.Errorf("%d entries arrived, want 56", n)
	}
}

type grouped struct {
	proxy *groupedContract
	seen  bsrpc.Metadata
}

func (g *grouped) Outer(ctx context.Context) error {
	ctx = bsrpc.WithMetadata(ctx, full)
	if err := g.proxy.See(ctx); err != nil {
		return err
	}
	return g.proxy.Inner(ctx)
}
func (g *grouped) Inner() {}
func (g *grouped) See(ctx context.Context) {
	g.seen = bsrpc.MetadataFrom(ctx)
}

type groupedContract struct {
	Outer func(ctx context.Context) error `bsrpc:"exclusive=g"`
	Inner func(ctx context.Context) error `bsrpc:"exclusive=g"`
	See   func(ctx context.Context) error
}

// A longError has fields as long as its text.
type longError struct{ Text string }

func (e *longError) Error() string { return "long" }

// Beside full entries an error keeps its identities, as far as there is room.
func TestReplyMetadataBesideIdentities(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errs := map[string]error{"long": (*longError)(nil)}
		for i := range 7 {
			errs[strings.Repeat("k", 63)+fmt.Sprint(i)] = fmt.Errorf("error %d", i)
		}
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, Errors: errs})
		defer srv.Close()
		err := srv.RegisterFunc("S.Fail", func(ctx context.Context, size int) error {
			all := []error{&longError{strings.Repeat("x", size)}}
			for k, v := range full {
				if err := bsrpc.SetReplyMetadata(ctx, k, v); err != nil {
					return err
				}
			}
			for k, err := range errs {
				if k != "long" {
					all = append(all, err)
				}
			}
			return errors.Join(all...)
		})
		if err != nil {
			t.Fatal(err)
		}
		client, err := bsrpctest.Dial(t, srv, &bsrpc.ClientOptions{Logger: quiet, Errors: errs})
		if err != nil {
			t.Fatal(err)
		}
		proxy, err := bsrpc.Bind[struct {
			Fail func(ctx context.Context, size int) error
		}](t.Context(), client, "S")
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range []int{0, 400, 2000} {
			ctx, reply := bsrpc.WithReplyMetadata(t.Context())
			err := proxy.Fail(ctx, size)
			var long *longError
			if got := errors.As(err, &long); got != (size < 2000) {
				t.Errorf("size %d: errors.As is %v: %v", size, got, err)
			}
			if got := reply.Get(); !maps.Equal(got, full) {
				t.Errorf("size %d: got %s", size, describe(got))
			}
			for k, listed := range errs {
				if k != "long" && !errors.Is(err, listed) {
					t.Errorf("size %d: errors.Is does not find %v", size, listed)
				}
			}
		}
	})
}

// The map from MetadataFrom belongs to the handler, also in derived contexts. It is never
// nil.
func TestMetadataFrom(t *testing.T) {
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	defer srv.Close()
	got := make(chan string, 1)
	err := srv.RegisterFunc("S.Get", func(ctx context.Context) {
		md := bsrpc.MetadataFrom(ctx)
		md["a"] = "changed"
		derived, cancel := context.WithCancel(bsrpc.WithMetadata(ctx, bsrpc.Metadata{"out": "going"}))
		defer cancel()
		got <- describe(bsrpc.MetadataFrom(derived))
	})
	if err != nil {
		t.Fatal(err)
	}
	proxy := bsrpctest.Bind[struct{ Get func(context.Context) error }](t, srv, "S")
	for _, md := range []bsrpc.Metadata{{"a": "1"}, nil} {
		if err := proxy.Get(bsrpc.WithMetadata(t.Context(), md)); err != nil {
			t.Fatal(err)
		}
		if got := <-got; got != describe(md) {
			t.Errorf("got %s, want %s", got, describe(md))
		}
	}
	if md := bsrpc.MetadataFrom(bsrpc.WithMetadata(t.Context(), bsrpc.Metadata{"a": "1"})); md == nil || len(md) > 0 {
		t.Errorf("outside of a handler: got %s", describe(md))
	}
}

// A ReplyMetadata has what the last call brought: nothing before it, and nothing of a call
// without an answer. An outer one gets the same.
func TestReplyMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, srv := newEcho(t)
		proxy := bsrpctest.Bind[echoContract](t, srv, "Echo")
		ctx, outer := bsrpc.WithReplyMetadata(t.Context())
		ctx, inner := bsrpc.WithReplyMetadata(bsrpc.WithMetadata(ctx, bsrpc.Metadata{"a": "1"}))
		want := func(when, text string) {
			t.Helper()
			if a, b := describe(outer.Get()), describe(inner.Get()); a != text || b != text {
				t.Errorf("%s: got %s and %s, want %s", when, a, b, text)
			}
		}
		want("before the first call", "map[]")
		proxy.Echo(ctx, nil)
		want("after a call", "map[a:1]")
		inner.Get()["a"] = "changed"
		want("after a change of a copy", "map[a:1]")
		canceled, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := proxy.Echo(canceled, nil); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		want("after a call not sent", "map[]")
		proxy.Echo(ctx, nil)
		proxy.Plain(ctx, 1)
		want("after a call that brought none", "map[]")
		proxy.Echo(ctx, nil)
		srv.Close()
		proxy.Echo(ctx, nil)
		want("after the end of the connection", "map[]")
	})
}

// A callback has metadata of its own, in both directions, and none of its call.
func TestMetadataOfCallbacks(t *testing.T) {
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	defer srv.Close()
	err := srv.RegisterFunc("S.Run", func(ctx context.Context, f func(context.Context) (string, error)) (string, error) {
		own, reply := bsrpc.WithReplyMetadata(bsrpc.WithMetadata(ctx, bsrpc.Metadata{"a": "\x00"}))
		with, err := f(own)
		if err != nil {
			return "", err
		}
		without, err := f(ctx)
		return with + describe(reply.Get()) + without, err
	})
	if err != nil {
		t.Fatal(err)
	}
	proxy := bsrpctest.Bind[struct {
		Run func(context.Context, func(context.Context) (string, error)) (string, error)
	}](t, srv, "S")
	ctx, reply := bsrpc.WithReplyMetadata(bsrpc.WithMetadata(t.Context(), bsrpc.Metadata{"call": "1"}))
	got, err := proxy.Run(ctx, func(ctx context.Context) (string, error) {
		return describe(bsrpc.MetadataFrom(ctx)), bsrpc.SetReplyMetadata(ctx, "b", "2")
	})
	if got != "map[a:\x00]map[b:2]map[]" || err != nil || len(reply.Get()) > 0 {
		t.Errorf("got %q, %v; the reply of the call has %s", got, err, describe(reply.Get()))
	}
}

type metaStreams struct {
	late error // of SetReplyMetadata in an iterator
}

func (m *metaStreams) Count(ctx context.Context, n int) iter.Seq2[int, error] {
	setErr := bsrpc.SetReplyMetadata(ctx, "got", bsrpc.MetadataFrom(ctx)["sent"])
	return func(yield func(int, error) bool) {
		m.late = bsrpc.SetReplyMetadata(ctx, "late", "x")
		for i := range n {
			if setErr != nil || !yield(i, setErr) {
				return
			}
		}
	}
}
func (m *metaStreams) Items(ctx context.Context, n int) (iter.Seq2[int, error], error) {
	if n < 0 {
		return nil, errors.Join(bsrpc.SetReplyMetadata(ctx, "got", "an error"), errors.New("on purpose"))
	}
	return m.Count(ctx, n), nil
}
func (m *metaStreams) Sum(ctx context.Context, in iter.Seq2[int, error]) (sum int, err error) {
	for i, err := range in {
		if err != nil {
			return 0, err
		}
		sum += i
	}
	return sum, bsrpc.SetReplyMetadata(ctx, "got", bsrpc.MetadataFrom(ctx)["sent"])
}

type metaStreamsContract struct {
	Count func(ctx context.Context, n int) (iter.Seq2[int, error], error)
	Items func(ctx context.Context, n int) (iter.Seq2[int, error], error)
	Sum   func(ctx context.Context, in iter.Seq[int]) (int, error)
}

// Calls with streams carry metadata in both directions, until the stream begins.
func TestMetadataOfStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
		defer srv.Close()
		m := new(metaStreams)
		if err := srv.RegisterName("S", m); err != nil {
			t.Fatal(err)
		}
		eager := bsrpctest.Bind[struct {
			Count func(ctx context.Context, n int) iter.Seq2[int, error]
		}](t, srv, "S")
		proxy := bsrpctest.Bind[metaStreamsContract](t, srv, "S")
		sent := bsrpc.WithMetadata(t.Context(), bsrpc.Metadata{"sent": "1"})
		want := func(what, text string, reply *bsrpc.ReplyMetadata) {
			t.Helper()
			if got := describe(reply.Get()); got != text {
				t.Errorf("%s: got %s, want %s", what, got, text)
			}
		}
		ctx, reply := bsrpc.WithReplyMetadata(sent)
		for i, err := range eager.Count(ctx, 3) {
			if err != nil {
				t.Fatal(err)
			}
			want(fmt.Sprint("eager, item ", i), "map[got:1]", reply)
		}
		synctest.Wait()
		if m.late == nil || m.late.Error() != "bsrpc: SetReplyMetadata: the reply has been sent" {
			t.Errorf("in the iterator: %v", m.late)
		}
		for name, call := range map[string]func(ctx context.Context, n int) (iter.Seq2[int, error], error){"Count": proxy.Count, "Items": proxy.Items} {
			ctx, reply = bsrpc.WithReplyMetadata(sent)
			items, err := call(ctx, 3)
			if err != nil {
				t.Fatal(name, err)
			}
			want(name, "map[got:1]", reply)
			for range items {
			}
		}
		ctx, reply = bsrpc.WithReplyMetadata(sent)
		if _, err := proxy.Items(ctx, -1); err == nil {
			t.Error("no error")
		}
		want("an error", "map[got:an error]", reply)
		ctx, reply = bsrpc.WithReplyMetadata(sent)
		if sum, err := proxy.Sum(ctx, slices.Values([]int{1, 2})); sum != 3 || err != nil {
			t.Error(sum, err)
		}
		want("a client stream", "map[got:1]", reply)
	})
}

// SetReplyMetadata reports what it cannot add.
func TestSetReplyMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, srv := newEcho(t)
		proxy := bsrpctest.Bind[echoContract](t, srv, "Echo")
		for _, tt := range []struct{ key, value, want string }{
			{"", "secret", "metadata key of 0 bytes"},
			{"A", "secret", `metadata key "A" contains "A"`},
			{"bsrpc-a", "secret", `begins with "bsrpc-"`},
			{"a", strings.Repeat("secret", 2000), "metadata of 12004 bytes, want at most 7168"},
		} {
			ctx, reply := bsrpc.WithReplyMetadata(t.Context())
			err := proxy.Set(ctx, tt.key, tt.value)
			got := wantError(t, err, bsrpc.CodeUnknown, bsrpc.OutcomeAnswered, "bsrpc: SetReplyMetadata: metadata ")
			if !strings.Contains(got.Message, tt.want) || strings.Contains(got.Message, "secret") || len(reply.Get()) != 0 {
				t.Errorf("%q: got %v, %s", tt.key, err, describe(reply.Get()))
			}
		}
		if err := bsrpc.SetReplyMetadata(t.Context(), "a", "b"); err == nil || err.Error() != "bsrpc: SetReplyMetadata: the context is not a handler's" {
			t.Error(err)
		}
		for _, md := range []bsrpc.Metadata{nil, {"a": "b"}} {
			if _, err := proxy.Echo(bsrpc.WithMetadata(t.Context(), md), nil); err != nil {
				t.Fatal(err)
			}
			if err := bsrpc.SetReplyMetadata(*e.last.Load(), "late", "x"); err == nil || err.Error() != "bsrpc: SetReplyMetadata: the reply has been sent" {
				t.Error(err)
			}
		}
		if len(bsrpc.MetadataFrom(*e.last.Load())) != 1 {
			t.Error("the metadata of a call that is over has gone")
		}
	})
}

// A handler may add metadata after its call was canceled, and from several goroutines.
func TestSetReplyMetadataConcurrently(t *testing.T) {
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	defer srv.Close()
	err := srv.RegisterFunc("S.Set", func(ctx context.Context) error {
		errs := make(chan error)
		for i := range 56 {
			go func() { errs <- bsrpc.SetReplyMetadata(ctx, fmt.Sprintf("k%d", i), "v") }()
		}
		var all []error
		for range 56 {
			all = append(all, <-errs)
		}
		if err := bsrpc.SetReplyMetadata(ctx, "one-more", "v"); err == nil || !strings.Contains(err.Error(), "57 entries") {
			all = append(all, fmt.Errorf("the 57th: %v", err))
		}
		return errors.Join(all...)
	})
	if err != nil {
		t.Fatal(err)
	}
	proxy := bsrpctest.Bind[struct{ Set func(context.Context) error }](t, srv, "S")
	ctx, reply := bsrpc.WithReplyMetadata(t.Context())
	if err := proxy.Set(ctx); err != nil || len(reply.Get()) != 56 {
		t.Errorf("%d entries, %v", len(reply.Get()), err)
	}
}

// Nothing printed or logged contains a value.
func TestMetadataRedacted(t *testing.T) {
	e, srv := newEcho(t)
	proxy := bsrpctest.Bind[echoContract](t, srv, "Echo")
	md := bsrpc.Metadata{"token": "s3cret", "id": "s3cret", "S3CRET s3cret": ""}
	if got := fmt.Sprint(md); got != "metadata[? id token]" {
		t.Errorf("got %s", got)
	}
	delete(md, "S3CRET s3cret")
	ctx, reply := bsrpc.WithReplyMetadata(bsrpc.WithMetadata(t.Context(), md))
	if _, err := proxy.Echo(ctx, nil); err != nil || reply.Get()["token"] != "s3cret" {
		t.Fatal(describe(reply.Get()), err)
	}
	var out bytes.Buffer
	derived := context.WithValue(*e.last.Load(), "key", "value") //lint:ignore SA1029 a key that prints
	for _, v := range []any{md, &md, reply, *e.last.Load(), ctx, derived, struct{ MD bsrpc.Metadata }{md}, []any{md, reply}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("text", "v", v)
	}
	for _, v := range []any{md, reply, slog.GroupValue(slog.Any("md", md))} {
		slog.New(slog.NewJSONHandler(&out, nil)).Info("json", "v", v)
	}
	for _, text := range []string{"s3cret", fmt.Sprintf("%x", "s3cret")} {
		if strings.Contains(out.String(), text) {
			t.Errorf("%s is in\n%s", text, out.String())
		}
	}
	if !strings.Contains(out.String(), "metadata[id token]") {
		t.Errorf("the keys are missing:\n%s", out.String())
	}
	if b, err := json.Marshal(md); string(b) != `{"id":"s3cret","token":"s3cret"}` || err != nil {
		t.Errorf("json: got %s, %v", b, err)
	}
}

// A call within its interceptors, a Request and a Reply print without values of metadata.
func TestCallsRedactMetadata(t *testing.T) {
	var out bytes.Buffer
	prints := func(v any) {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("text", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("json", "v", v)
	}
	see := []bsrpc.Interceptor{func(next bsrpc.CallFunc) bsrpc.CallFunc {
		return func(ctx context.Context, call *bsrpc.Call) error {
			prints(call)
			defer prints(call)
			return next(ctx, call)
		}
	}}
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, Interceptors: see})
	t.Cleanup(func() { srv.Close() })
	if err := bsrpc.RegisterAs[echoContract](srv, "Echo", new(echo)); err != nil {
		t.Fatal(err)
	}
	md := bsrpc.Metadata{"token": "s3cret"}
	proxy := bsrpctest.Bind[echoContract](t, srv, "Echo")
	if _, err := proxy.Echo(bsrpc.WithMetadata(t.Context(), md), nil); err != nil {
		t.Fatal(err)
	}
	request, reply := bsrpc.Request{Method: "Echo.Echo", Metadata: md}, bsrpc.Reply{Metadata: md}
	for _, v := range []any{request, &request, reply, &reply} {
		prints(v)
	}
	for _, text := range []string{"s3cret", fmt.Sprintf("%x", "s3cret")} {
		if strings.Contains(out.String(), text) {
			t.Errorf("%s is in\n%s", text, out.String())
		}
	}
	if !strings.Contains(out.String(), "call of Echo.Echo") || !strings.Contains(out.String(), "metadata[token]") {
		t.Errorf("method or keys are missing:\n%s", out.String())
	}
}
