package bsrpc

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// nameByUser makes the user of the credentials the name of the peer.
func nameByUser(_ context.Context, p *Peer, c Credentials) error {
	p.Name = c.User()
	return nil
}

// dialAs connects to srv as a user, or returns the error.
func dialAs(t *testing.T, srv *Server, user string) (*Client, error) {
	t.Helper()
	near, far := net.Pipe()
	go srv.ServeConn(far)
	o := ClientOptions{Logger: quiet, InsecureCredentials: true, Limits: Limits{PingAfter: NoLimit}}
	if user != "" {
		o.Credentials = func(context.Context) (Credentials, error) { return NewCredentials(user, "x"), nil }
	}
	return NewClient(t.Context(), near, &o)
}

// PeerConns limits the connections of a name, and without names those of an address. It admits
// again after one has ended; other peers go on.
func TestPeerConns(t *testing.T) {
	for name, opts := range map[string]ServerOptions{"by name": {Authenticate: nameByUser}, "by address": {}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opts.Limits.PeerConns = 2
				srv := testeeServer(t, newTestee(), &opts)
				user := ""
				if opts.Authenticate != nil {
					user = "ann"
				}
				first, err := dialAs(t, srv, user)
				if err != nil {
					t.Fatal(err)
				}
				second, err := dialAs(t, srv, user)
				if err != nil {
					t.Fatal(err)
				}
				_, err = dialAs(t, srv, user)
				wantCall(t, err, CodeResourceExhausted, OutcomeNotRun, "the client has the server's Limits.PeerConns (2) connections")
				if opts.Authenticate != nil {
					other, err := dialAs(t, srv, "bob")
					if err != nil {
						t.Fatal("another peer:", err)
					}
					other.Close()
				}
				first.Close()
				synctest.Wait()
				third, err := dialAs(t, srv, user)
				if err != nil {
					t.Fatal("after one has ended:", err)
				}
				if proxy, err := Bind[testeeContract](t.Context(), third, "Probe"); err != nil {
					t.Error(err)
				} else if sum, err := proxy.Add(t.Context(), 1, 2); sum != 3 || err != nil {
					t.Error(sum, err)
				}
				second.Close()
				third.Close()
				srv.Close()
			})
		})
	}
}

// PeerWaiting limits the connections of a peer in the admission queue. Others may wait as well,
// and an admitted one makes room.
func TestPeerWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), &ServerOptions{MaxSessions: 1, Authenticate: nameByUser, Limits: Limits{PeerWaiting: 1, SessionLease: NoLimit}})
		holder, err := dialAs(t, srv, "holder")
		if err != nil {
			t.Fatal(err)
		}
		admitted := make(chan *Client, 3)
		wait := func(user string) {
			go func() {
				c, err := dialAs(t, srv, user)
				if err != nil {
					t.Error(user, err)
				}
				admitted <- c
			}()
			synctest.Wait()
		}
		wait("ann")
		wait("bob")
		_, err = dialAs(t, srv, "ann")
		wantCall(t, err, CodeResourceExhausted, OutcomeNotRun, "the server's Limits.PeerWaiting (1) connections of the client wait")
		holder.Close()
		first := <-admitted
		wait("ann")
		first.Close()
		(<-admitted).Close()
		(<-admitted).Close()
		srv.Close()
	})
}

// PeerCallRate refuses calls as not run, over all connections of the peer, and allows them again
// with time. Calls of other peers go on.
func TestPeerCallRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), &ServerOptions{Authenticate: nameByUser, Limits: Limits{PeerCallRate: 10}})
		proxyOf := func(user string) (*Client, *testeeContract) {
			client, err := dialAs(t, srv, user)
			if err != nil {
				t.Fatal(err)
			}
			proxy, err := Bind[testeeContract](t.Context(), client, "Probe")
			if err != nil {
				t.Fatal(err)
			}
			return client, proxy
		}
		a, first := proxyOf("ann")
		b, second := proxyOf("ann")
		c, other := proxyOf("bob")
		time.Sleep(time.Second)
		for i := range 12 {
			proxy := first
			if i%2 == 1 {
				proxy = second
			}
			if _, err := proxy.Add(t.Context(), 1, 2); i < 10 && err != nil {
				t.Errorf("call %d: %v", i, err)
			} else if i >= 10 {
				wantCall(t, err, CodeResourceExhausted, OutcomeNotRun, "the client makes more than the server's Limits.PeerCallRate (10) calls a second")
			}
		}
		if _, err := other.Add(t.Context(), 1, 2); err != nil {
			t.Error("another peer:", err)
		}
		time.Sleep(100 * time.Millisecond)
		if _, err := second.Add(t.Context(), 1, 2); err != nil {
			t.Error("after a tenth of a second:", err)
		}
		a.Close()
		b.Close()
		c.Close()
		srv.Close()
	})
}

// On the basic wire a peer is an address, and calls are refused by exceptions.
func TestPeerLimitsOfBasicClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := NewServer(&ServerOptions{Basic: true, Logger: quiet, Limits: Limits{PeerConns: 1, PeerCallRate: 1}})
		service := &workshop{}
		service.ended.Store(4) // or the first call panics
		if err := RegisterAs[workshopContract](srv, "Workshop", service); err != nil {
			t.Fatal(err)
		}
		p := rawDial(t, srv)
		p.write([]byte("\x08\x00\x00\x00\x00\x00\x00\x01"))
		p.readBasic()
		for i := range 2 {
			p.write([]byte("\x07\x00\x00\x00\x01\x01\x00"))
			typ, payload := p.readBasic()
			if (typ == wire.Exception) != (i == 1) {
				t.Errorf("call %d: %v %q", i, typ, payload)
			}
		}
		late := rawDial(t, srv)
		late.write([]byte("\x08\x00\x00\x00\x00\x00\x00\x01"))
		if typ, payload := late.readBasic(); typ != wire.Exception {
			t.Errorf("a second connection: %v %q", typ, payload)
		}
		p.nc.Close()
		late.nc.Close()
		srv.Close()
	})
}

// A basic client that has lost its place in the queue by silence enters it again: it counts once.
func TestPeerWaitingOfSilentBasicClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := NewServer(&ServerOptions{Basic: true, MaxSessions: 1, Logger: quiet, Limits: Limits{PeerWaiting: 1, SessionLease: NoLimit}})
		holder, waiter := rawDial(t, srv), rawDial(t, srv)
		if !holder.poll() {
			t.Fatal("the first is not admitted")
		}
		for range 3 {
			if waiter.poll() {
				t.Error("the second is admitted")
			}
			time.Sleep(2 * time.Minute)
		}
		holder.nc.Close()
		synctest.Wait()
		if !waiter.poll() {
			t.Error("the place is free, but the client is not admitted")
		}
		waiter.nc.Close()
		srv.Close()
	})
}
