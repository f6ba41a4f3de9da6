package bsrpc

import (
	"context"
	"io"
	"iter"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// For any frames of a server about callbacks, every call of the client ends with its
// connection at the latest, and one callback without an answer runs at a time.
func FuzzClientCallbacks(f *testing.F) {
	const run = 2 << 16 // as assigned to the call
	note, ask := callbackOf(1, run, fairNote, text("one")), callbackOf(2, run, fairAsk, text("two"))
	response := string(frameBytes(wire.Frame{Type: wire.Response, ID: run}, nil))
	cancel := string(frameBytes(wire.Frame{Type: wire.Cancel, ID: 2}, nil))
	head := wire.Frame{Type: wire.Request, Flags: wire.Callback | wire.Chunked, Arg: fairAsk, ID: 3, Call: run, Total: 65_537}
	for _, seed := range []string{
		note + ask + response + callbackOf(3, run, fairNote, text("late")),
		note + ask + cancel + string(frameBytes(head, []byte("xy"))) + string(frameBytes(wire.Frame{Type: wire.Cancel, ID: 3}, nil)) + response,
		callbackOf(1, run, fairNone, ""), callbackOf(1, run, 9, ""), callbackOf(1, run+1, fairNote, ""),
		callbackOf(1, run, fairNote, "bad") + callbackOf(2, run, fairAsk, u32(1<<30)) + response,
		string(frameBytes(wire.Frame{Type: wire.Request, Flags: wire.Callback | wire.Metadata, Arg: fairNote, ID: 1, Call: run, Meta: []byte("x")}, nil)) + ask,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		withFair(t, nil, func(t *testing.T, c *fairCall) {
			if c.id != run {
				t.Fatalf("id: %x", c.id)
			}
			var now atomic.Int32
			c.note = func(string) {
				if now.Add(1) != 1 {
					t.Error("two callbacks without an answer run at a time")
				}
				time.Sleep(time.Millisecond)
				now.Add(-1)
			}
			go drain(c.p)
			go c.p.nc.Write(input)
			synctest.Wait()
		})
	})
}

// A fair has handlers that call the funcs among their arguments.
type fair struct{ handlers atomic.Int32 }

func (s *fair) Run(ctx context.Context, note func(string), ask func(context.Context, string) (string, error)) error {
	s.handlers.Add(1)
	defer s.handlers.Add(-1)
	for range 3 {
		if note != nil {
			note("x")
		}
		if ask == nil {
			continue
		}
		if _, err := ask(ctx, "y"); err != nil {
			return err
		}
	}
	return nil
}

func (s *fair) Each(ctx context.Context, each func([]byte)) iter.Seq2[uint32, error] {
	return func(yield func(uint32, error) bool) {
		for yield(1, nil) {
			if each != nil {
				each(make([]byte, 70_000))
			}
		}
	}
}

// For any frames of a client, the handlers that call its funcs end with the connection at the
// latest.
func FuzzServerCallbacks(f *testing.F) {
	call := func(id uint64, method uint16, args string) string {
		return string(frameBytes(wire.Frame{Type: wire.Request, Arg: method, ID: id}, []byte(args)))
	}
	answer := func(id uint64, body string) string {
		return string(frameBytes(wire.Frame{Type: wire.Response, ID: id}, []byte(body)))
	}
	const first, second = 1 << 16, 2<<16 | 1
	for _, seed := range []string{
		call(2, 0, "\x01\x01") + answer(first, "") + answer(second, text("yes")),
		call(2, 0, "\x01\x00") + answer(first, "x"), call(2, 0, "\x00\x01") + answer(first, "bad"), call(2, 0, "\x02\x01"),
		call(2, 1, "\x01") + streamFrame(wire.Credit, byCaller, 2, 0, u32(1<<20)) + answer(first, ""),
		call(2, 0, "\x01\x01") + string(frameBytes(wire.Frame{Type: wire.Cancel, ID: 2}, nil)) + answer(first, ""),
		callbackOf(2, first, 1, ""), answer(first, ""), strings.Repeat(call(2, 0, "\x01\x01"), 2),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		synctest.Test(t, func(t *testing.T) {
			s := new(fair)
			o := ServerOptions{Logger: quiet, MaxStreams: 8}
			o.Limits.PingAfter = NoLimit
			srv := NewServer(&o)
			if err := srv.RegisterName("Fair", s); err != nil {
				t.Fatal(err)
			}
			p := rawDial(t, srv)
			p.write(wire.AppendClientInit(nil, &wire.Hello{Version: 1, Streams: wire.StreamLimits{Window: wire.MinStreamWindow}}))
			p.readBasic()
			p.send(wire.Frame{Type: wire.Bind, Flags: wire.Describe, ID: 1}, (&wire.BindRequest{Service: "Fair", Names: []string{"Run", "Each"}}).Append(nil))
			p.wantAnswer(1)
			go io.CopyN(io.Discard, p.nc, 1<<20) // a CREDIT may be for gigabytes
			go p.nc.Write(input)
			synctest.Wait()
			p.nc.Close()
			<-p.served
			synctest.Wait()
			srv.Close()
			checkBooked(t, srv)
			if n := s.handlers.Load(); n != 0 {
				t.Errorf("left: %d handlers", n)
			}
		})
	})
}
