package bsrpc

// Ends of clients that connect again, and servers that do not let them in at once.

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// Close returns soon whatever the client is doing, and ends its calls with ErrClosed.
func TestReconnectCloseBlocked(t *testing.T) {
	type blocked struct {
		raw   func(p *rawPeer) // serves the second connection
		opts  ClientOptions
		bytes int // of an argument
	}
	hello := &wire.Hello{Version: 1, Stateless: true}
	for name, tt := range map[string]blocked{
		"a read":           {raw: func(p *rawPeer) { p.answerBind(hello); p.read(); p.readAll() }},
		"a write":          {raw: func(p *rawPeer) { p.answerBind(hello); p.readFull(1) }, bytes: 1 << 20},
		"a TCP connect":    {raw: nil},
		"INIT, unread":     {raw: func(p *rawPeer) {}},
		"INIT, unanswered": {raw: func(p *rawPeer) { p.readBasic(); p.readAll() }},
		"BIND, unread":     {raw: func(p *rawPeer) { p.readBasic(); p.write(wire.AppendServerInit(nil, hello)) }},
		"BIND, unanswered": {raw: func(p *rawPeer) { p.readBasic(); p.write(wire.AppendServerInit(nil, hello)); p.readAll() }},
		"admission": {raw: func(p *rawPeer) {
			p.readBasic()
			p.write(wire.AppendServerInit(nil, &wire.Hello{Version: 1, Waiting: true}))
			p.readAll()
		}},
		"OnReconnect": {raw: func(p *rawPeer) { p.answerBind(hello); p.readAll() }, opts: ClientOptions{OnReconnect: func(ctx context.Context, c *Client) error {
			<-c.Done() // not ctx: a hook may ignore it
			time.Sleep(time.Hour)
			return nil
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := calmSite(t, nil)
				s.servers["a"].RegisterFunc("Long.Long", func([]byte) {})
				tt.opts.WaitForReady = true
				client := s.dial(t, "a", &tt.opts)
				p := bound[struct {
					Long func(ctx context.Context, b []byte) error
				}](t, client, "Long")
				s.kill("a")
				s.hang = tt.raw == nil
				s.raw = func(nc net.Conn) {
					tt.raw(&rawPeer{t: t, nc: nc})
					<-t.Context().Done()
				}
				result := make(chan error, 1)
				go func() { result <- p.Long(t.Context(), make([]byte, tt.bytes)) }()
				time.Sleep(2 * time.Second)
				select {
				case err := <-result:
					t.Fatal("the call has ended:", err)
				default:
				}
				start := time.Now()
				client.Close()
				client.Close()
				if d := time.Since(start); d > time.Second {
					t.Error("Close took", d)
				}
				if err := <-result; !errors.Is(err, ErrClosed) {
					t.Error(err)
				}
				if err := p.Long(t.Context(), nil); !errors.Is(err, ErrClosed) {
					t.Error(err)
				}
				<-client.Done()
				time.Sleep(2 * time.Hour) // until the hook returns
			})
		})
	}
}

// After Close calls of every kind wrap ErrClosed, with and without reconnecting, and so do Bind of a
// contract that was bound before, and Err.
func TestReconnectClosedCalls(t *testing.T) {
	for _, never := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := &officeScene{site: newSite(t, nil)}
			s.begin(t)
			client := s.dial(t, "a", &ClientOptions{NoReconnect: never})
			p, post, future := bound[Offices](t, client, "Office"), bound[Posts](t, client, "Post"), bound[Futures](t, client, "Office")
			canceled, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := Bind[Offices](canceled, client, "Office"); !errors.Is(err, context.Canceled) {
				t.Errorf("a canceled Bind: %v", err)
			}
			client.Close()
			for name, call := range map[string]func(ctx context.Context) error{
				"unary":  func(ctx context.Context) error { return p.Fail(ctx, "x") },
				"upload": func(ctx context.Context) error { _, err := p.Sum(ctx, func(func(int, error) bool) {}); return err },
				"reader": func(ctx context.Context) error { _, err := p.Read(ctx); return err },
				"callback": func(ctx context.Context) error {
					_, err := p.Ask(ctx, func(string) (string, error) { return "", nil })
					return err
				},
				"oneway": post.Nothing,
				"future": func(ctx context.Context) error { _, err := future.Wait(ctx).Wait(ctx); return err },
				"Call":   func(ctx context.Context) error { return client.Call(ctx, "Office.Fail", []any{"x"}) },
				"CallEncoded": func(ctx context.Context) error {
					_, err := client.CallEncoded(ctx, "Office.Fail", nil, nil)
					return err
				},
				"Bind": func(ctx context.Context) error { _, err := Bind[Offices](ctx, client, "Office"); return err },
				"Err":  func(context.Context) error { return client.Err() },
				"stream": func(ctx context.Context) (last error) {
					for _, last = range p.Count(ctx) {
					}
					return last
				},
			} {
				if err := call(t.Context()); !errors.Is(err, ErrClosed) {
					t.Errorf("%s, NoReconnect %v: %v", name, never, err)
				}
			}
			if s.now.ran.Load() != 0 {
				t.Error("a handler has run")
			}
		})
	}
}

// Bind with a context that has ended asks no server, so it does not depend on which is first, the answer
// or a look at the context.
func TestReconnectBindCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := calmSite(t, nil)
		client := s.dial(t, "a", nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		sent := client.Stats().Sent
		_, err := Bind[Tills](ctx, client, "Till")
		synctest.Wait()
		if more := client.Stats().Sent - sent; !errors.Is(err, context.Canceled) || err.(*Error).Outcome != OutcomeNotRun || more != 0 {
			t.Errorf("got %v, and %d bytes were sent", err, more)
		}
	})
}

// Close does not wait for a handler of the server.
func TestReconnectCloseHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := calmSite(t, nil)
		client := s.dial(t, "a", nil)
		p := tills(t, client)
		result := make(chan error, 1)
		go func() { _, err := p.Sleep(t.Context(), 60_000); result <- err }()
		synctest.Wait()
		start := time.Now()
		client.Close()
		if err := <-result; !errors.Is(err, ErrClosed) || time.Since(start) > time.Second {
			t.Error(err, time.Since(start))
		}
	})
}

// A server that is full stays so for a while only: the client comes back, and its calls have
// the reason meanwhile.
func TestReconnectFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := calmSite(t, &ServerOptions{Limits: Limits{MaxConns: 1}})
		client := s.dial(t, "a", nil)
		p := tills(t, client)
		s.kill("a")
		s.start("a")
		other := s.dial(t, "a", nil)
		_, err := p.Where(t.Context())
		if CodeOf(err) != CodeUnavailable || err.(*Error).Outcome != OutcomeNotRun {
			t.Fatal(err)
		}
		if want := "not connected: dial mem a: the server has Limits.MaxConns (1) connections"; !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want %q", err, want)
		}
		time.Sleep(time.Minute)
		if client.Err() != nil {
			t.Fatal(client.Err())
		}
		if n := len(s.dials); n < 8 || n > 20 {
			t.Error(n, "dials in a minute")
		}
		other.Close()
		got, err := p.Where(WithWaitForReady(t.Context()))
		wantAt(t, got, err, "a")
	})
}

// On the basic wire a client connects again with OnReconnect only: the server does not say that its
// sessions hold nothing.
func TestReconnectBasic(t *testing.T) {
	for _, prepared := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := calmSite(t, nil)
			conns, prepares := 0, 0
			var last net.Conn
			s.raw = func(nc net.Conn) {
				conns++
				last = nc
				p := &rawPeer{t: t, nc: nc}
				p.takeInit(basicAdmitted)
				for {
					h := make([]byte, 5)
					if _, err := nc.Read(h); err != nil {
						return
					}
					_, n := wire.ReadBasicHeader(h)
					p.readFull(int(n))
					p.write(response(u32(uint32(conns))))
				}
			}
			opts := basicOptions(nil)
			if prepared {
				opts.OnReconnect = func(ctx context.Context, c *Client) error {
					prepares++
					_, err := bindBasic(t, c).Add(ctx, 1, 1)
					return err
				}
			}
			client := s.dial(t, "a", opts)
			desk := bindBasic(t, client)
			for i := range uint32(3) {
				if n, err := desk.Add(t.Context(), 1, 2); err != nil || n != i+1 {
					t.Fatal(n, err)
				}
				last.Close()
				synctest.Wait()
				if !prepared {
					<-client.Done()
					if _, err := desk.Add(t.Context(), 1, 2); CodeOf(err) != CodeUnavailable {
						t.Error(err)
					}
					return
				}
			}
			if _, err := desk.Add(t.Context(), 1, 2); err != nil || conns != 4 || prepares != 3 {
				t.Error(err, conns, prepares)
			}
		})
	}
}

// A server that speaks only the basic wire since its restart is connected to again, after the
// attempt that met it with BIND.
func TestReconnectBasicSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := calmSite(t, nil)
		srv := NewServer(&s.opts)
		if err := RegisterAs[basicDesk](srv, "Desk", newBasicClerk()); err != nil {
			t.Fatal(err)
		}
		s.add("a", srv)
		client := s.dial(t, "a", basicOptions(nil))
		desk := bound[basicPart](t, client, "Desk")
		s.kill("a")
		conns := 0
		s.raw = func(nc net.Conn) {
			p := &rawPeer{t: t, nc: nc}
			p.takeInit(basicAdmitted)
			if conns++; conns == 1 {
				p.readBasic() // BIND, which it does not know
				nc.Close()
				return
			}
			if id, _ := p.takeCommand(); id != 2 {
				t.Error("command", id)
			}
			p.write(response(u32(3)))
			p.readAll()
		}
		if n, err := desk.Add(WithWaitForReady(t.Context()), 1, 2); err != nil || n != 3 || conns != 2 {
			t.Error(n, err, conns)
		}
		client.Close()
	})
}
