package bsrpc

// What a client that connects again sends in the flight of the handshake, over connections
// in memory with a delay.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/rebind"
	"github.com/bsrpc/bsrpc/internal/wire"
)

const roundTrip = 100 * time.Millisecond

// delayed returns nc with a delay of half a round trip in each direction, at any rate.
func delayed(nc net.Conn) net.Conn {
	near, far := net.Pipe()
	go delay(nc, far)
	go delay(far, nc)
	return near
}

// delay copies the bytes of one direction.
func delay(to, from net.Conn) {
	type piece struct {
		at   time.Time
		data []byte
	}
	pieces := make(chan piece, 1000)
	go func() {
		defer close(pieces)
		for b := make([]byte, 64<<10); ; {
			n, err := from.Read(b)
			if err != nil {
				return
			}
			pieces <- piece{time.Now().Add(roundTrip / 2), bytes.Clone(b[:n])}
		}
	}()
	for p := range pieces {
		time.Sleep(time.Until(p.at))
		if _, err := to.Write(p.data); err != nil {
			break
		}
	}
	to.Close()
	from.Close()
	for range pieces {
	}
}

// farSite is a site at a distance.
func farSite(t *testing.T, opts *ServerOptions) *site {
	s := newSite(t, opts)
	s.quiet, s.wrap = true, delayed
	return s
}

// tripsOf returns the round trips of call from the newest attempt to connect on.
func (s *site) tripsOf(t *testing.T, call func() error) float64 {
	t.Helper()
	if err := call(); err != nil {
		t.Fatal(err)
	}
	return float64(time.Since(s.dials[len(s.dials)-1])) / float64(roundTrip)
}

// bound binds C to a service, and returns the proxy.
func bound[C any](t *testing.T, client *Client, service string) *C {
	t.Helper()
	p, err := Bind[C](t.Context(), client, service)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

type wareNew struct {
	Name string
	Note string `bsrpc:"optional"`
}

// The services of one server in three versions: the one of the contract, one that fits it, and
// one that does not.
type (
	storeOld   struct{}
	storeNew   struct{}
	storeOther struct{}
)

func (storeOld) Get(name string) struct{ Name string } { return struct{ Name string }{name} }
func (storeOld) Put(name string) string                { return name }
func (storeNew) Get(name string) wareNew               { return wareNew{name, "new"} }
func (storeNew) Put(name string) string                { return name }
func (storeOther) Get(name string) int                 { return 1 }
func (storeOther) Put(name string) string              { return name }

// Stores is the contract of storeOld.
type Stores struct {
	Get func(ctx context.Context, name string) (struct{ Name string }, error)
	Put func(ctx context.Context, name string) (string, error)
}

// The first call after a loss needs no round trip but the one of the handshake and its own,
// with several contracts, and with contracts that differ from the server's. What has changed
// at the server costs one more.
func TestRebindRoundTrips(t *testing.T) {
	for name, tt := range map[string]struct {
		first, second any
		trips         float64
	}{
		"equal":                {storeOld{}, storeOld{}, 2},
		"another version":      {storeNew{}, storeNew{}, 2},
		"changed to a version": {storeOld{}, storeNew{}, 3},
		"changed to the same":  {storeNew{}, storeOld{}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := farSite(t, nil)
				start := func(service any) {
					srv := NewServer(&s.opts)
					for name, v := range map[string]any{"Till": &till{at: "a"}, "Store": service, "Other": service} {
						if err := srv.RegisterName(name, v); err != nil {
							t.Fatal(err)
						}
					}
					s.add("a", srv)
				}
				start(tt.first)
				client := s.dial(t, "a", nil)
				store, other, till := bound[Stores](t, client, "Store"), bound[Stores](t, client, "Other"), bound[Tills](t, client, "Till")
				get := func() error {
					got, err := store.Get(t.Context(), "nut")
					if err == nil && got.Name != "nut" {
						err = fmt.Errorf("got %q", got.Name)
					}
					return err
				}
				for i := range 3 {
					s.kill("a")
					start(tt.second)
					want := tt.trips
					if i > 0 {
						want = 2 // the server is known by then
					}
					if n := s.tripsOf(t, get); n != want {
						t.Errorf("loss %d: %v round trips, want %v", i, n, want)
					}
					if n := s.tripsOf(t, func() error { return client.Call(t.Context(), "Store.Put", []any{"x"}, new(string)) }); i > 0 && n != want+1 {
						t.Errorf("loss %d: %v round trips with a call by name, want %v", i, n, want+1)
					}
					if _, err := other.Put(t.Context(), "x"); err != nil {
						t.Error(err)
					}
					if _, err := till.Where(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}

// A server changed meanwhile gives the methods concerned their mismatch, which the handshake
// has brought; nothing is tried again and again.
func TestRebindMismatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := farSite(t, nil)
		start := func(service any) {
			srv := NewServer(&s.opts)
			srv.RegisterName("Store", service)
			s.add("a", srv)
		}
		start(storeNew{})
		store := bound[Stores](t, s.dial(t, "a", nil), "Store")
		s.kill("a")
		start(storeOther{})
		for range 3 {
			_, err := store.Get(t.Context(), "nut")
			if e := new(MismatchError); !errors.As(err, &e) || len(e.Differences) != 1 {
				t.Fatal(err)
			}
		}
		if d := time.Since(s.dials[1]); d != roundTrip {
			t.Error("the mismatch came after", d)
		}
		if got, err := store.Put(t.Context(), "x"); err != nil || got != "x" {
			t.Fatal(got, err)
		}
		time.Sleep(time.Minute)
		if n := len(s.dials); n != 2 {
			t.Error(n, "dials")
		}
	})
}

// A client that must wait for admission binds afterwards, and OnReconnect has the bindings of
// the handshake as well.
func TestRebindAfterAdmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, tt := range map[string]struct {
			opts  ServerOptions
			trips float64
		}{
			"admitted at once": {ServerOptions{MaxSessions: 1}, 3},
			"after a hook":     {ServerOptions{MaxSessions: 1, OnConnect: func(context.Context, *Session) error { time.Sleep(roundTrip); return nil }}, 5},
		} {
			s := farSite(t, &tt.opts)
			s.start("a")
			client := s.dial(t, "a", &ClientOptions{OnReconnect: func(ctx context.Context, c *Client) error {
				p, err := Bind[Tills](ctx, c, "Till")
				if err == nil {
					_, err = p.Keep(ctx)
				}
				return err
			}})
			p := tills(t, client)
			for range 3 {
				s.kill("a")
				s.start("a")
				if n := s.tripsOf(t, func() error { _, err := p.Where(t.Context()); return err }); n != tt.trips {
					t.Errorf("%s: %v round trips, want %v", name, n, tt.trips)
				}
			}
			client.Close()
		}
	})
}

// What is too long for the flight is bound after it.
func TestRebindLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := farSite(t, nil)
		var names []string
		for i := range 560 {
			names = append(names, fmt.Sprint(strings.Repeat("long", 60), i))
		}
		start := func() {
			srv := NewServer(&s.opts)
			for _, name := range names {
				if err := srv.RegisterName(name, storeOld{}); err != nil {
					t.Fatal(err)
				}
			}
			s.add("a", srv)
		}
		start()
		client := s.dial(t, "a", nil)
		var list []*Stores
		for _, name := range names {
			list = append(list, bound[Stores](t, client, name))
		}
		if n := rebind.MostAhead / len(names[0]); n > len(names) {
			t.Fatal("the test needs more than", n)
		}
		s.kill("a")
		start()
		if n := s.tripsOf(t, func() error { _, err := list[0].Put(t.Context(), "x"); return err }); n != 3 {
			t.Error(n, "round trips")
		}
		for i, store := range list {
			if got, err := store.Put(t.Context(), "x"); err != nil || got != "x" {
				t.Error(i, got, err)
			}
		}
	})
}

// A server that closes connections because of what comes with the handshake, such as an old
// one that knows no BIND with TEXTS, is connected to by the next attempt.
func TestRebindUnwelcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := farSite(t, nil)
		srv := NewServer(&s.opts)
		srv.RegisterName("Store", storeNew{})
		s.add("a", srv)
		client := s.dial(t, "a", nil)
		store := bound[Stores](t, client, "Store")
		s.kill("a")
		binds := 0
		s.raw = func(nc net.Conn) {
			p := &rawPeer{t: t, nc: nc}
			hello := &wire.Hello{Version: 1, Stateless: true}
			if binds++; binds == 1 {
				p.readBasic()
				p.write(wire.AppendServerInit(nil, hello))
				p.read()
				if f, _ := p.read(); f.Flags != wire.Texts {
					t.Error("got", f)
				}
				p.send(wire.Frame{Type: wire.Close, Arg: uint16(CodeInternal)}, (&wire.Failure{Message: "protocol violation"}).Append(nil))
				nc.Close()
				return
			}
			p.answerBind(hello)
			f, body := p.read()
			p.send(wire.Frame{Type: wire.Response, ID: f.ID}, body)
			p.readAll()
		}
		// The call waits for the first attempt only, unless it is patient.
		if _, err := store.Put(WithWaitForReady(t.Context()), "x"); err != nil {
			t.Error(err)
		}
		if binds != 2 || client.Err() != nil {
			t.Error(binds, "attempts;", client.Err())
		}
		client.Close()
	})
}

// A server may take its time for INIT only: a client gives up one that does not answer a BIND of
// the handshake.
func TestRebindUnanswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := farSite(t, nil)
		s.start("a")
		client := s.dial(t, "a", &ClientOptions{DialTimeout: 3 * time.Second})
		p := tills(t, client)
		s.kill("a")
		s.raw = func(nc net.Conn) {
			peer := &rawPeer{t: t, nc: nc}
			peer.readBasic()
			peer.write(wire.AppendServerInit(nil, &wire.Hello{Version: 1, Stateless: true}))
			peer.readAll()
		}
		_, err := p.Where(t.Context())
		if d := time.Since(s.dials[1]); d != 3*time.Second || !strings.Contains(fmt.Sprint(err), "no answer to BIND") || CodeOf(err) != CodeUnavailable {
			t.Error(d, err)
		}
		client.Close()
	})
}
