package bsrpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/option"
	"github.com/bsrpc/bsrpc/internal/transport"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// An optionBounds is the range of an option. With any value in it, no constant of the
// other end may end a working connection.
type optionBounds struct {
	least, most int64 // most may be NoLimit
	strict      bool  // at its least the option may refuse calls, though not connections
}

var (
	anyCountBounds = optionBounds{1, NoLimit, false}
	anyTimeBounds  = optionBounds{int64(time.Millisecond), NoLimit, false}
	peerTimeBounds = optionBounds{int64(option.MinPeerTimeout), NoLimit, false}
)

// boundsOfOptions contains every numeric option of either end.
var boundsOfOptions = map[string]optionBounds{
	"MaxMessage":           {1, 1 << 30, true},
	"MaxInflight":          anyCountBounds,
	"HandshakeTimeout":     anyTimeBounds,
	"DialTimeout":          anyTimeBounds,
	"DefaultCallTimeout":   {int64(time.Millisecond), NoLimit, true},
	"MaxSessions":          anyCountBounds,
	"MaxWaiting":           anyCountBounds,
	"SessionMaxHold":       anyTimeBounds,
	"GroupMaxHold":         anyTimeBounds,
	"MaxConcurrentCalls":   anyCountBounds,
	"MaxStreams":           anyCountBounds,
	"Limits.StreamWindow":  {1 << 10, 1 << 30, false},
	"Limits.ConnWindow":    {1, 1 << 30, false},
	"PollInterval":         {int64(time.Millisecond), int64(30 * time.Second), false},
	"MaxEndpoints":         {1, 64, false},
	"Limits.MaxDepth":      {1, 10_000, false},
	"Limits.DecodeBudget":  {1, NoLimit, true},
	"Limits.MaxErrorText":  {1, 32 << 10, false},
	"Limits.MaxHandshakes": anyCountBounds,
	"Limits.MaxConns":      anyCountBounds,
	"Limits.MaxHandlers":   {1, NoLimit, true},
	"Limits.ConnBytes":     {32 << 20, NoLimit, false},
	"Limits.ServerBytes":   {16 << 20, NoLimit, false},
	"Limits.OutQueue":      anyCountBounds,
	"Limits.WriteStall":    peerTimeBounds,
	"Limits.FrameTimeout":  peerTimeBounds,
	"Limits.PingAfter":     peerTimeBounds,
	"Limits.PingTimeout":   peerTimeBounds,
	"Limits.PeerConns":     anyCountBounds,
	"Limits.PeerWaiting":   anyCountBounds,
	"Limits.PeerCallRate":  {1, NoLimit, true},
	"Limits.SessionLease":  {2 * int64(option.MinPeerTimeout), NoLimit, false},
}

// numbersOf returns the names of all numeric options of a struct.
func numbersOf(v reflect.Value, prefix string) (names []string) {
	for i := range v.NumField() {
		name := prefix + v.Type().Field(i).Name
		switch f := v.Field(i); f.Kind() {
		case reflect.Int, reflect.Int64:
			names = append(names, name)
		case reflect.Struct:
			names = append(names, numbersOf(f, name+".")...)
		}
	}
	return names
}

// setOption sets an option by its name.
func setOption(options any, name string, value int64) {
	v := reflect.ValueOf(options).Elem()
	if in, field, ok := method.SplitName(name); ok {
		v, name = v.FieldByName(in), field
	}
	v.FieldByName(name).SetInt(value)
}

// The table contains all options, and the accepted values are exactly those in the
// table.
func TestBoundsOfOptionsAreTrue(t *testing.T) {
	for _, options := range []interface{ resolve() (*settings, error) }{new(ServerOptions), new(ClientOptions)} {
		for _, name := range numbersOf(reflect.ValueOf(options).Elem(), "") {
			b, ok := boundsOfOptions[name]
			if !ok {
				t.Errorf("%s: not in the table: hold it against what judges it at the other end", name)
				continue
			}
			for value, good := range map[int64]bool{b.least: true, b.least - 1: b.least == 1, b.most: true, b.most + 1: b.most == NoLimit} {
				fresh := reflect.New(reflect.TypeOf(options).Elem()).Interface().(interface{ resolve() (*settings, error) })
				if name == "Limits.SessionLease" {
					if s, ok := fresh.(*ServerOptions); ok {
						s.MaxSessions = 1
					} else {
						continue // a server's
					}
				}
				setOption(fresh, name, value)
				if _, err := fresh.resolve(); (err == nil) != good {
					t.Errorf("%T.%s of %d: %v", options, name, value, err)
				}
			}
		}
	}
}

// With every option at its minimum and maximum, at either end, a connection survives
// calls and idle times.
func TestConnectionsLiveAtTheBoundsOfOptions(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"server", "client"} {
		for name, b := range boundsOfOptions {
			for _, value := range []int64{b.least, b.most} {
				for _, speaks := range []string{"native", "basic"} {
					var server ServerOptions
					var client ClientOptions
					options := any(&server)
					if end == "client" {
						options = &client
					}
					if !slices.Contains(numbersOf(reflect.ValueOf(options).Elem(), ""), name) {
						continue
					}
					if speaks == "basic" && name == "MaxMessage" && value == b.least {
						continue // its ends cannot tell each other what they take: docs/basic-wire.md
					}
					if speaks == "basic" && value == b.most && !LongTests {
						continue // hardly different from the native wire
					}
					setOption(options, name, value)
					if name == "Limits.SessionLease" {
						server.MaxSessions = 1
					}
					t.Run(fmt.Sprintf("%s/%s/%s=%d", speaks, end, name, value), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							liveThrough(t, speaks, server, client, b.strict && value == b.least)
						})
					})
				}
			}
		}
	}
}

// liveThrough makes calls of several kinds with pauses between them. With strict, some
// may be refused.
func liveThrough(t *testing.T, speaks string, server ServerOptions, client ClientOptions, strict bool) {
	server.Basic, server.Logger = true, quiet
	client.Basic, client.Logger = speaks == "basic", quiet
	srv := NewServer(&server)
	var err error
	if speaks == "basic" {
		err = RegisterAs[boundsBasic](srv, "Probe", newTestee())
	} else {
		err = RegisterAs[testeeContract](srv, "Probe", newTestee())
	}
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- srv.ServeConn(far) }()
	if speaks == "basic" {
		near = &plainInit{Conn: near}
	}
	c, err := NewClient(t.Context(), near, &client)
	if err != nil {
		t.Fatal(err)
	}
	var calls boundsBasic
	if speaks == "basic" {
		p, err := Bind[boundsBasic](t.Context(), c, "Probe")
		if err != nil {
			t.Fatal(err)
		}
		calls = *p
	} else {
		p, err := Bind[testeeContract](t.Context(), c, "Probe")
		if err != nil {
			t.Fatal(err)
		}
		calls = boundsBasic{p.Add, p.Echo, p.Fail, p.Sleep}
	}
	check := func(what string, err error) {
		t.Helper()
		if err != nil && !strict {
			t.Errorf("%s: %v", what, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
	defer cancel()
	idles, long := []time.Duration{0, time.Millisecond, time.Minute}, 150_000
	if !LongTests {
		idles, long = []time.Duration{10 * time.Second}, 70_000
	}
	for _, idle := range idles {
		time.Sleep(idle)
		_, err := calls.Add(ctx, 1, 2)
		check("Add", err)
		_, err = calls.Echo(ctx, make([]byte, Rounds(100_000, 300_000)))
		check("Echo", err)
		var e *Error
		if err := calls.Fail(ctx); !strict && (!errors.As(err, &e) || e.Code != CodeNotFound && speaks == "native") {
			t.Errorf("Fail: %v", err)
		}
		var all sync.WaitGroup
		for i := range 6 {
			all.Go(func() {
				_, err := calls.Sleep(ctx, uint32(i)*700) // the leader is in a handler for up to two watchdog periods
				check("Sleep", err)
				if speaks == "native" && (LongTests || i%3 == 2) {
					_, err = calls.Echo(ctx, make([]byte, long))
					check("Echo", err)
				}
			})
		}
		all.Wait()
	}
	if err := c.Err(); err != nil {
		t.Errorf("the connection ended: %v", err)
	}
	c.Close()
	if err := <-served; err != nil {
		t.Errorf("ServeConn: %v", err)
	}
	srv.Close()
}

// boundsBasic is a part of testeeContract with ids.
type boundsBasic struct {
	Add   func(ctx context.Context, a, b uint32) (uint32, error) `bsrpc:"id=1"`
	Echo  func(ctx context.Context, b []byte) ([]byte, error)    `bsrpc:"id=2"`
	Fail  func(ctx context.Context) error                        `bsrpc:"id=3"`
	Sleep func(ctx context.Context, us uint32) (uint32, error)   `bsrpc:"id=4"`
}

// A basic client with the longest PollInterval keeps its position.
func TestPollIntervalKeepsPosition(t *testing.T) {
	t.Parallel()
	for _, interval := range []time.Duration{100 * time.Millisecond, 30 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			srv := basicServer(t, newBasicClerk(), &ServerOptions{MaxSessions: 1})
			holder, err := NewClient(t.Context(), dialed(srv), &ClientOptions{Logger: quiet})
			if err != nil {
				t.Fatal(err)
			}
			came := make(chan string, 2)
			for _, who := range []string{"basic", "native"} {
				nc := dialed(srv)
				if who == "basic" {
					nc = &plainInit{Conn: nc}
				}
				go func() {
					c, err := NewClient(context.Background(), nc, &ClientOptions{Basic: true, PollInterval: interval, Logger: quiet})
					if err != nil {
						t.Error(err)
						return
					}
					came <- who
					time.Sleep(time.Second)
					c.Close()
				}()
				time.Sleep(100 * time.Millisecond)
			}
			time.Sleep(time.Duration(Rounds(2, 10))*time.Minute + 7*time.Second)
			holder.Close()
			if first, second := <-came, <-came; first != "basic" || second != "native" {
				t.Errorf("the %s client came before the %s one, which had waited for longer", first, second)
			}
			time.Sleep(2 * time.Second)
			srv.Close()
		})
	}
}

// A connection stays open for any time while both ends send as many PINGs as
// announced.
func TestPingsOfManyDays(t *testing.T) {
	t.Parallel()
	life := 12 * time.Hour
	if !LongTests {
		life = 10 * time.Minute
	}
	for _, lease := range []time.Duration{time.Second, 4 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			srv := NewServer(&ServerOptions{MaxSessions: 1, Logger: quiet, Limits: Limits{SessionLease: lease}})
			if err := RegisterAs[testeeContract](srv, "Probe", newTestee()); err != nil {
				t.Fatal(err)
			}
			near, far := net.Pipe()
			go srv.ServeConn(far)
			client, err := NewClient(t.Context(), near, &ClientOptions{Logger: quiet, Limits: Limits{PingAfter: lease}})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(life)
			if err := client.Err(); err != nil {
				t.Error(err)
			}
			client.Close()
			srv.Close()
		})
	}
}

// The announced PingAfter of a peer limits its PINGs, and is limited itself. A peer
// with too many PINGs now and then is tolerated.
func TestPingsAreJudgedByWhatWasAnnounced(t *testing.T) {
	for _, tt := range []struct {
		announced uint32 // milliseconds; 0 is nothing
		gap       time.Duration
		pings     int
		lives     bool
	}{
		{0, time.Second, 1000, true},
		{0, 500 * time.Millisecond, 1000, false},
		{500, 250 * time.Millisecond, 10_000, true},
		{500, 200 * time.Millisecond, 1000, false},
		{10, 5 * time.Millisecond, 10_000, true},
		{10, 4 * time.Millisecond, 1000, false},
		{1, 4 * time.Millisecond, 1000, false}, // more than 200 a second are never taken
		{1 << 31, time.Second, 1000, true},
		{60_000, 500 * time.Millisecond, 1000, false},
	} {
		t.Run(fmt.Sprintf("%d/%v", tt.announced, tt.gap), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := testeeServer(t, newTestee(), nil)
				p := rawDial(t, srv)
				p.write(wire.AppendClientInit(nil, &wire.Hello{Version: 1, PingAfter: tt.announced}))
				p.readBasic()
				closed := false
				pings := tt.pings
				if !LongTests && tt.lives {
					pings /= 20
				}
				for n := 0; n < pings && !closed; n++ {
					p.send(wire.Frame{Type: wire.Ping, ID: uint64(n)}, nil)
					f, _ := p.read()
					closed = f.Type == wire.Close
					time.Sleep(tt.gap)
				}
				if closed == tt.lives {
					t.Errorf("closed: %v", closed)
				}
				p.nc.Close()
				<-p.served
				srv.Close()
			})
		})
	}
	t.Run("forgiven", func(t *testing.T) {
		rounds := 100
		if !LongTests {
			rounds = 20
		}
		withRaw(t, nil, func(p *rawPeer, _ *Server, _ *testee) {
			for range rounds {
				for n := range 10 + 3 - 1 {
					p.send(wire.Frame{Type: wire.Ping, ID: uint64(n)}, nil)
					p.read()
				}
				time.Sleep(time.Minute)
			}
			p.wantAlive(2)
		})
	})
}

// A peer that reads nothing for long does not get one PING after another.
func TestPingsDoNotPileUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := Limits{PingAfter: 10 * time.Millisecond, PingTimeout: 10 * time.Millisecond, WriteStall: NoLimit}
		client, proxy, p := rawServer(t, &ClientOptions{DefaultCallTimeout: NoLimit, Limits: limits, Logger: quiet})
		called := make(chan error, 1)
		go func() { called <- proxy.Fail(context.Background()) }()
		time.Sleep(time.Minute)
		if n := transport.StateOf(client.native.Conn).Frames; n > 16 || client.Err() != nil {
			t.Errorf("%d bytes of PINGs stand behind a request, %v", n, client.Err())
		}
		client.Close()
		<-called
		p.nc.Close()
	})
}

// As many messages as a peer may have open can be refused before they are finished.
func TestRefusedMessagesFollowTheOptions(t *testing.T) {
	opts := &ServerOptions{MaxInflight: 3000, Limits: Limits{ConnBytes: NoLimit}}
	withRaw(t, opts, func(p *rawPeer, _ *Server, _ *testee) {
		for id := uint64(3); id < 3000; id++ {
			p.write(bigRequest(id, 9999, 1<<20, 0))
			p.wantError(id, CodeUnimplemented, wire.NotRun, "no method is bound to the number 9999")
		}
		p.wantAlive(5000)
	})
}
