package bsrpc

// Simulated servers call funcs that a client did not pass, passed to a call that is over, or
// cannot run. docs/protocol.md has one answer to each.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// A fairContract has methods with funcs, and one without.
type fairContract struct {
	Run   func(ctx context.Context, note func(string), ask func(context.Context, string) (string, error), none func(int)) error
	Plain func(context.Context) error
}

// The funcs of Run.
const (
	fairNote = 1 + iota
	fairAsk
	fairNone
)

// A fairCall is an open call of Run by a client, to a simulated server.
type fairCall struct {
	client *Client
	proxy  *fairContract
	p      *rawPeer
	id     uint64 // of Run
	plain  uint64 // of Plain
	next   uint64 // id of the next callback
	err    chan error
	calls  sync.WaitGroup
	note   func(string)
	ask    func(context.Context, string) (string, error)
	cancel context.CancelFunc // of Run

	mu  sync.Mutex // guards got
	got []string   // by note
}

// withFair runs f in a bubble, with Run and Plain open. ask returns its argument.
func withFair(t *testing.T, opts *ClientOptions, f func(t *testing.T, c *fairCall)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := openFair(t, opts)
		f(t, c)
		c.p.nc.Close()
		<-c.client.Done()
		c.calls.Wait()
		time.Sleep(2 * time.Hour) // funcs that run on
	})
}

// openFair returns a client with Run and Plain open.
func openFair(t *testing.T, opts *ClientOptions) *fairCall {
	t.Helper()
	var o ClientOptions
	if opts != nil {
		o = *opts
	}
	o.Logger, o.Limits.PingAfter = quiet, NoLimit
	near, far := net.Pipe()
	p := &rawPeer{t: t, nc: far}
	go p.answerBind(&wire.Hello{Version: 1})
	client, err := NewClient(context.Background(), near, &o)
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := Bind[fairContract](context.Background(), client, "Fair")
	if err != nil {
		t.Fatal(err)
	}
	c := &fairCall{client: client, proxy: proxy, p: p, err: make(chan error, 2)}
	c.note = func(s string) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.got = append(c.got, s)
	}
	c.ask = func(_ context.Context, s string) (string, error) { return s, nil }
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	c.calls.Go(func() {
		c.err <- proxy.Run(ctx, func(s string) { c.note(s) }, func(ctx context.Context, s string) (string, error) { return c.ask(ctx, s) }, nil)
	})
	f, _ := p.skipTo(wire.Request)
	c.id = f.ID
	c.calls.Go(func() { c.err <- proxy.Plain(context.Background()) })
	f, _ = p.skipTo(wire.Request)
	c.plain = f.ID
	return c
}

// callbackOf returns a REQUEST that calls a func of a call.
func callbackOf(id, call uint64, number uint16, args string) string {
	return string(frameBytes(wire.Frame{Type: wire.Request, Flags: wire.Callback, Arg: number, ID: id, Call: call}, []byte(args)))
}

// text returns the encoding of a string.
func text(s string) string { return u32(uint32(len(s))) + s }

// callback sends a callback, and returns its id.
func (c *fairCall) callback(number uint16, arg string) uint64 {
	c.next++
	c.p.write([]byte(callbackOf(c.next, c.id, number, text(arg))))
	return c.next
}

// answer answers Run.
func (c *fairCall) answer() { c.p.send(wire.Frame{Type: wire.Response, ID: c.id}, nil) }

// notes returns the arguments of note.
func (c *fairCall) notes() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.got, " ")
}

func TestCallbackViolations(t *testing.T) {
	for _, tt := range []struct {
		name   string
		frames func(c *fairCall) string
		want   string
	}{
		{"a call never made", func(c *fairCall) string { return callbackOf(1, 99<<16, fairNote, "") }, "callback of call 6488064, which was never made"},
		{"a call of the server", func(c *fairCall) string { return callbackOf(1, 1, fairNote, "") }, "callback of call 1, which was never made"},
		{"call 0", func(c *fairCall) string { return callbackOf(1, 0, fairNote, "") }, "callback of call 0, which was never made"},
		{"a slot that no call has had", func(c *fairCall) string { return callbackOf(1, c.id|0x7fff, fairNote, "") }, "which was never made"},
		{"a call without funcs", func(c *fairCall) string { return callbackOf(1, c.plain, fairNote, "") }, "which has no funcs"},
		{"number 0", func(c *fairCall) string { return callbackOf(1, c.id, 0, "") }, "callback of func 0 of call 131072, which has none"},
		{"a nil func", func(c *fairCall) string { return callbackOf(1, c.id, fairNone, "") }, "callback of func 3 of call 131072, which has none"},
		{"a number too high", func(c *fairCall) string { return callbackOf(1, c.id, 4, "") }, "callback of func 4 of call 131072, which has none"},
		{"the highest number", func(c *fairCall) string { return callbackOf(1, c.id, 65535, "") }, "callback of func 65535"},
		{"an id as before", func(c *fairCall) string {
			return callbackOf(1, c.id, fairNote, text("x")) + callbackOf(1, c.id, fairNote, "")
		}, "REQUEST 1 after 1: ids must rise"},
		{"a header cut", func(c *fairCall) string { return rawHead(24, wire.Request, wire.Callback, 1, 1) + u64(0) }, "REQUEST frame of 24 bytes"},
		{"RESPONSE with CALLBACK", func(c *fairCall) string { return rawHead(24, wire.Response, wire.Callback, 0, c.id) + u64(c.id) }, "RESPONSE frame with reserved flags 0x40"},
		{"CANCEL with CALLBACK", func(c *fairCall) string { return rawHead(16, wire.Cancel, wire.Callback, 0, c.id) }, "CANCEL frame with reserved flags 0x40"},
		{"chunks of a nil func", func(c *fairCall) string {
			return string(frameBytes(wire.Frame{Type: wire.Request, Flags: wire.Callback | wire.Chunked, Arg: fairNone, ID: 1, Call: c.id, Total: 70_000}, nil))
		}, "callback of func 3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			withFair(t, nil, func(t *testing.T, c *fairCall) {
				go c.p.nc.Write([]byte(tt.frames(c)))
				_, body := c.p.skipTo(wire.Close)
				if failure, err := wire.ReadFailure(body); err != nil || !strings.Contains(failure.Message, tt.want) {
					t.Errorf("CLOSE: got %q, want %q", failure.Message, tt.want)
				}
				for range 2 {
					var e *Error
					if err := <-c.err; !errors.As(err, &e) || e.Code != CodeInternal || !strings.Contains(e.Message, tt.want) {
						t.Errorf("got %v, want %q", err, tt.want)
					}
				}
			})
		})
	}
}

// A callback that comes too late, or cannot run, is answered; the call and the connection go
// on.
func TestCallbacksRefused(t *testing.T) {
	t.Run("after the call", func(t *testing.T) {
		withFair(t, nil, func(t *testing.T, c *fairCall) {
			c.answer()
			if err := <-c.err; err != nil {
				t.Fatal(err)
			}
			for _, number := range []uint16{fairNote, fairAsk, fairNone, 0, 9} { // the numbers are forgotten
				c.p.wantError(c.callback(number, "late"), CodeCanceled, wire.NotRun, "the call is over")
			}
			c.p.send(wire.Frame{Type: wire.Response, ID: c.plain}, nil)
			if err := <-c.err; err != nil || c.notes() != "" {
				t.Error(err, c.notes())
			}
			checkNothing(t, c.client)
		})
	})
	t.Run("after CANCEL of the call", func(t *testing.T) {
		withFair(t, nil, func(t *testing.T, c *fairCall) {
			c.cancel()
			c.p.want(wire.Cancel, c.id, 0, 0)
			c.p.wantError(c.callback(fairAsk, "late"), CodeCanceled, wire.NotRun, "the call is over")
			if err := <-c.err; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			c.answer()
			c.p.wantError(c.callback(fairAsk, "later"), CodeCanceled, wire.NotRun, "the call is over")
		})
	})
	t.Run("after the call, in chunks", func(t *testing.T) {
		withFair(t, nil, func(t *testing.T, c *fairCall) {
			head := wire.Frame{Type: wire.Request, Flags: wire.Callback | wire.Chunked, Arg: fairAsk, ID: 1, Call: c.id, Total: 70_000}
			c.p.send(head, []byte(u32(70_000-4)+strings.Repeat("x", 10)))
			c.answer()
			if err := <-c.err; err != nil {
				t.Fatal(err)
			}
			c.p.send(wire.Frame{Type: wire.RequestChunk, ID: 1}, []byte(strings.Repeat("x", 70_000-14)))
			c.p.wantError(1, CodeCanceled, wire.NotRun, "the call is over")
			checkBudget(t, c)
		})
	})
	t.Run("arguments that cannot be decoded", func(t *testing.T) {
		withFair(t, nil, func(t *testing.T, c *fairCall) {
			for id, args := range []string{"", u32(5) + "x", text("x") + "y", u32(1 << 31)} {
				for number := range uint16(2) {
					id := uint64(2*id) + uint64(number) + 1
					c.p.write([]byte(callbackOf(id, c.id, 1+number, args)))
					c.p.wantError(id, CodeInvalidArgument, wire.NotRun, fmt.Sprintf("Fair.Run, parameter %d", 1+number))
				}
			}
			c.next = 8
			c.p.want(wire.Response, c.callback(fairNote, "good"), 0, 0)
			c.answer()
			if err := <-c.err; err != nil || c.notes() != "good" {
				t.Error(err, c.notes())
			}
		})
	})
	t.Run("arguments above MaxMessage", func(t *testing.T) {
		withFair(t, &ClientOptions{MaxMessage: 100_000}, func(t *testing.T, c *fairCall) {
			head := wire.Frame{Type: wire.Request, Flags: wire.Callback | wire.Chunked, Arg: fairAsk, ID: 1, Call: c.id, Total: 100_001}
			c.p.send(head, nil)
			c.p.wantError(1, CodeResourceExhausted, wire.NotRun, "MaxMessage is 100000")
			c.next = 1
			c.p.want(wire.Response, c.callback(fairAsk, "x"), 0, 0)
			checkBudget(t, c)
		})
	})
	t.Run("malformed metadata", func(t *testing.T) {
		withFair(t, nil, func(t *testing.T, c *fairCall) {
			c.p.send(wire.Frame{Type: wire.Request, Flags: wire.Callback | wire.Metadata, Arg: fairAsk, ID: 1, Call: c.id, Meta: []byte("x")}, []byte(text("x")))
			c.p.wantError(1, CodeUnimplemented, wire.NotRun, "metadata")
			c.next = 1
			c.p.want(wire.Response, c.callback(fairAsk, "x"), 0, 0)
		})
	})
	t.Run("an unknown answer", func(t *testing.T) {
		withFair(t, nil, func(t *testing.T, c *fairCall) {
			c.p.send(wire.Frame{Type: wire.Response, ID: 1 << 40}, nil)
			_, body := c.p.skipTo(wire.Close)
			if failure, _ := wire.ReadFailure(body); !strings.Contains(failure.Message, "which was never made") {
				t.Error(failure.Message)
			}
		})
	})
}

// checkBudget checks that a client has booked no memory.
func checkBudget(t *testing.T, c *fairCall) {
	t.Helper()
	synctest.Wait()
	if left := residue(c.client.native.Conn); strings.Contains(left, "book") {
		t.Error(left)
	}
}

// All flags of a REQUEST together, in two chunks.
func TestCallbackWithMetadataInChunks(t *testing.T) {
	withFair(t, nil, func(t *testing.T, c *fairCall) {
		seen := make(chan string, 1)
		c.ask = func(ctx context.Context, s string) (string, error) {
			seen <- MetadataFrom(ctx)["key"]
			return s, nil
		}
		meta := wire.AppendRequestMetadata(nil, &wire.RequestMetadata{Entries: wire.AppendEntries(nil, map[string]string{"key": "value"})})
		head := wire.Frame{Type: wire.Request, Flags: wire.Callback | wire.Chunked | wire.Metadata, Arg: fairAsk, ID: 1, Call: c.id, Total: 70_000, Meta: meta}
		body := text(strings.Repeat("x", 70_000-4))
		c.p.send(head, []byte(body[:30_000]))
		c.p.send(wire.Frame{Type: wire.RequestChunk, ID: 1}, []byte(body[30_000:]))
		f, first := c.p.read()
		_, rest := c.p.read()
		if f.Type != wire.Response || f.ID != 1 || string(first)+string(rest) != body {
			t.Errorf("%v of %d and %d bytes", f.Type, len(first), len(rest))
		}
		if got := <-seen; got != "value" {
			t.Errorf("metadata: %q", got)
		}
	})
}

// More callbacks than MaxInflight are refused; the caller holds no more than that.
func TestCallbacksAboveMaxInflight(t *testing.T) {
	const most = 8
	for _, number := range []uint16{fairNote, fairAsk} {
		withFair(t, &ClientOptions{Handlers: NewServer(&ServerOptions{MaxInflight: most, Logger: quiet})}, func(t *testing.T, c *fairCall) {
			release := make(chan struct{})
			ran := 0
			var mu sync.Mutex
			hold := func() { <-release; mu.Lock(); ran++; mu.Unlock() }
			c.note = func(string) { hold() }
			c.ask = func(context.Context, string) (string, error) { hold(); return "", nil }
			for range most {
				c.callback(number, "x")
			}
			for range 1000 {
				c.p.wantError(c.callback(number, "y"), CodeResourceExhausted, wire.NotRun, "MaxInflight is 8")
			}
			close(release)
			for range most {
				c.p.skipTo(wire.Response)
			}
			c.p.want(wire.Response, c.callback(number, "z"), 0, 0)
			if ran != most+1 {
				t.Errorf("%d ran, want %d", ran, most+1)
			}
			c.answer()
			if err := <-c.err; err != nil {
				t.Error(err)
			}
		})
	}
	withFair(t, &ClientOptions{Handlers: NewServer(&ServerOptions{MaxInflight: 1, Logger: quiet})}, func(t *testing.T, c *fairCall) {
		c.note = func(string) { time.Sleep(time.Hour) }
		c.callback(fairNote, "x")
		go drain(c.p)
		for range 1001 {
			c.callback(fairNote, "y")
		}
		<-c.client.Done()
		if err := c.client.Err(); !strings.Contains(err.Error(), "1001 calls above MaxInflight (1)") {
			t.Error(err)
		}
	})
}

// A server that reads no answers cannot make a client queue any number of them.
func TestUnreadRefusalsOfCallbacks(t *testing.T) {
	t.Parallel()
	withFair(t, &ClientOptions{Limits: Limits{OutQueue: 1 << 20}}, func(t *testing.T, c *fairCall) {
		c.answer()
		if err := <-c.err; err != nil {
			t.Fatal(err)
		}
		flood := make(chan int)
		go func() {
			n := 0
			for id := uint64(1); id < 1_000_000; id++ {
				if _, err := c.p.nc.Write([]byte(callbackOf(id, c.id, fairNote, text("x")))); err != nil {
					break
				}
				n++
			}
			flood <- n
		}()
		if n := <-flood; n > 50_000 {
			t.Errorf("%d refused callbacks are queued", n)
		}
		c.p.nc.Close()
		<-c.client.Done()
		if err := c.client.Err(); !strings.Contains(err.Error(), "OutQueue") {
			t.Error(err)
		}
	})
}

// CANCEL reaches a callback that waits for its turn, and one that runs.
func TestCancelOfCallbacks(t *testing.T) {
	withFair(t, nil, func(t *testing.T, c *fairCall) {
		release := make(chan struct{})
		c.note = func(s string) { <-release }
		asked := 0
		c.ask = func(ctx context.Context, s string) (string, error) {
			asked++
			<-ctx.Done()
			return "", ctx.Err()
		}
		c.callback(fairNote, "first")
		second := c.callback(fairNote, "second")
		queued := c.callback(fairAsk, "queued")
		c.p.send(wire.Frame{Type: wire.Cancel, ID: queued}, nil)
		c.p.send(wire.Frame{Type: wire.Cancel, ID: 1000}, nil) // unknown
		synctest.Wait()
		close(release)
		answers := map[uint64]wire.Frame{}
		for range 3 {
			f, _ := c.p.read()
			answers[f.ID] = f
		}
		if f := answers[queued]; f.Type != wire.Error || Code(f.Arg) != CodeCanceled || f.Flags != wire.NotRun || asked != 0 {
			t.Errorf("the queued one: %+v, ran %d times", f, asked)
		}
		if answers[second].Type != wire.Response {
			t.Errorf("the one before: %+v", answers[second])
		}
		running := c.callback(fairAsk, "running")
		synctest.Wait()
		c.p.send(wire.Frame{Type: wire.Cancel, ID: running}, nil)
		c.p.wantError(running, CodeCanceled, 0, "canceled")
	})
}

// A connection lost at any byte of a conversation with callbacks leaves nothing, and ends the
// call.
func TestCallbackTruncations(t *testing.T) {
	var c0 fairCall
	c0.id = 2 << 16
	all := callbackOf(1, c0.id, fairNote, text("one")) + callbackOf(2, c0.id, fairAsk, text("two")) +
		string(frameBytes(wire.Frame{Type: wire.Request, Flags: wire.Callback | wire.Chunked | wire.Metadata, Arg: fairAsk, ID: 3, Call: c0.id, Total: 70_000, Meta: []byte{}}, []byte("xy"))) +
		string(frameBytes(wire.Frame{Type: wire.Cancel, ID: 3}, nil)) + callbackOf(4, c0.id, fairNote, "bad") +
		string(frameBytes(wire.Frame{Type: wire.Response, ID: c0.id}, nil)) + callbackOf(5, c0.id, fairNote, text("late"))
	for n := 0; n <= len(all); n += Rounds(3, 1) {
		withFair(t, nil, func(t *testing.T, c *fairCall) {
			if c.id != c0.id {
				t.Fatal(c.id)
			}
			go drain(c.p)
			c.p.write([]byte(all[:n]))
			synctest.Wait()
			c.p.nc.Close()
			<-c.client.Done()
			<-c.err
			<-c.err
			if got := c.notes(); got != "" && got != "one" {
				t.Errorf("after %d bytes: notes %q", n, got)
			}
		})
	}
}

// A lost connection ends the contexts of callbacks, in every stage of theirs.
func TestConnectionLostInCallbacks(t *testing.T) {
	for name, end := range map[string]func(c *fairCall){
		"lost":   func(c *fairCall) { c.p.nc.Close() },
		"Close":  func(c *fairCall) { c.client.Close() },
		"CLOSE":  func(c *fairCall) { c.p.send(wire.Frame{Type: wire.Close, Arg: 14}, make([]byte, 8)) },
		"cancel": func(c *fairCall) { c.cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			withFair(t, nil, func(t *testing.T, c *fairCall) {
				ended := make(chan error, 1)
				c.ask = func(ctx context.Context, s string) (string, error) {
					<-ctx.Done()
					ended <- ctx.Err()
					return "late", nil
				}
				c.note = func(s string) { time.Sleep(time.Second); c.mu.Lock(); c.got = append(c.got, s); c.mu.Unlock() }
				c.callback(fairAsk, "runs")
				c.callback(fairNote, "one")
				c.callback(fairNote, "two")
				c.callback(fairAsk, "waits")
				synctest.Wait()
				go drain(c.p)
				end(c)
				if err := <-c.err; err == nil {
					t.Error("no error")
				}
				if err := <-ended; err != context.Canceled {
					t.Error(err)
				}
				time.Sleep(time.Hour)
				want := "one two"
				if name == "cancel" {
					want = "one"
				}
				if got := c.notes(); got != want {
					t.Errorf("notes %q, want %q", got, want)
				}
			})
		})
	}
}
