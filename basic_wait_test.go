package bsrpc

// Clients on the basic wire: the wait for admission, and the end of their sessions.

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// poll polls once, and reports whether p is admitted.
func (p *rawPeer) poll() bool {
	p.t.Helper()
	p.write([]byte(basicInit))
	switch got := string(p.readFull(len(basicAdmitted))); got {
	case basicAdmitted:
		return true
	case basicNotYet:
		return false
	default:
		p.t.Errorf("answer to INIT: %q", got)
		return false
	}
}

// pollFor polls at an interval for a duration, and reports whether p is admitted then.
func (p *rawPeer) pollFor(d, interval time.Duration) bool {
	p.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(interval) {
		if p.poll() {
			return true
		}
	}
	return false
}

func exclusive() *ServerOptions {
	return &ServerOptions{MaxSessions: 1, Limits: Limits{SessionLease: NoLimit}}
}

// nativeWaiter connects a native client to srv. The channel receives the client after
// its admission.
func nativeWaiter(t testing.TB, srv *Server) chan *Client {
	admitted := make(chan *Client, 1)
	nc := dialed(srv)
	go func() {
		c, err := NewClient(context.Background(), nc, &ClientOptions{Logger: quiet, Limits: Limits{PingAfter: NoLimit}})
		if err != nil {
			t.Error(err)
		}
		admitted <- c
	}()
	return admitted
}

// A polling basic client keeps its position before native clients that arrived later.
// A free session is reserved for it until its next poll.
func TestBasicWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := basicServer(t, newBasicClerk(), exclusive())
		holder, waiter := basicClient(t, srv), rawDial(t, srv)
		if waiter.pollFor(time.Minute, 4500*time.Millisecond) {
			t.Error("two hold one place")
		}
		waiter.askException(command(2, u32(1)+u32(2)), "ProtocolError", "Need to initialize connection first")
		native := nativeWaiter(t, srv)
		waiter.poll()
		holder.nc.Close()
		time.Sleep(14 * time.Second)
		select {
		case <-native:
			t.Error("the place was given to one who came later")
		default:
		}
		if !waiter.poll() {
			t.Error("the place was not kept")
		}
		waiter.wantServed()
		waiter.nc.Close()
		synctest.Wait()
		(<-native).Close()
		srv.Close()
	})
}

// The poll lease is a minute before the second poll, and then twice the interval,
// between 15 s and a minute.
func TestBasicSilence(t *testing.T) {
	for _, tt := range []struct{ interval, silence time.Duration }{
		{0, time.Minute},
		{time.Second, 15 * time.Second},
		{10 * time.Second, 20 * time.Second},
		{50 * time.Second, time.Minute},
	} {
		for _, free := range []bool{false, true} {
			t.Run(fmt.Sprint(tt.interval, free), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					srv := basicServer(t, newBasicClerk(), exclusive())
					holder, waiter := basicClient(t, srv), rawDial(t, srv)
					waiter.poll()
					for range 3 {
						if tt.interval > 0 {
							time.Sleep(tt.interval)
							waiter.poll()
						}
					}
					last := time.Now()
					native := nativeWaiter(t, srv)
					synctest.Wait()
					if free {
						holder.nc.Close() // the session is reserved for waiter, which does not poll
					} else {
						time.AfterFunc(tt.silence, func() { holder.nc.Close() })
					}
					client := <-native
					if took := time.Since(last); took < tt.silence || took > tt.silence+20*time.Millisecond {
						t.Errorf("the next had to wait %v, want %v", took, tt.silence)
					}
					if waiter.poll() {
						t.Error("one who was silent has kept its place")
					}
					client.Close()
					synctest.Wait()
					if !waiter.poll() { // it has lost its position, not its connection
						t.Error("not admitted to a free place")
					}
					waiter.nc.Close()
					srv.Close()
				})
			})
		}
	}
}

// A client that leaves the queue and returns is last, on a new connection or after a
// silence.
func TestBasicReturningClientIsLast(t *testing.T) {
	for _, reconnects := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			srv := basicServer(t, newBasicClerk(), exclusive())
			holder, first, second := basicClient(t, srv), rawDial(t, srv), rawDial(t, srv)
			first.poll()
			second.poll()
			if reconnects {
				first.nc.Close()
				synctest.Wait()
				first = rawDial(t, srv)
			} else {
				second.pollFor(61*time.Second, time.Second)
			}
			first.poll()
			holder.nc.Close()
			synctest.Wait()
			if first.poll() || !second.poll() {
				t.Error("one who left has kept its place")
			}
			first.nc.Close()
			second.nc.Close()
			srv.Close()
		})
	}
}

// A full queue refuses clients, and keeps its order.
func TestBasicQueueFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := exclusive()
		opts.MaxWaiting = 1
		srv := basicServer(t, newBasicClerk(), opts)
		holder, waiter, late := basicClient(t, srv), rawDial(t, srv), rawDial(t, srv)
		waiter.poll()
		late.askException(basicInit, "ConnectionError", "queue full")
		late.wantEnd()
		holder.nc.Close()
		synctest.Wait()
		if !waiter.poll() {
			t.Error("not admitted")
		}
		waiter.nc.Close()
		srv.Close()
	})
	synctest.Test(t, func(t *testing.T) {
		opts := exclusive()
		opts.RefuseWhenFull = true
		srv := basicServer(t, newBasicClerk(), opts)
		holder, late := basicClient(t, srv), rawDial(t, srv)
		late.askException(basicInit, "ConnectionError", "queue full")
		late.wantEnd()
		holder.wantServed()
		holder.nc.Close()
		srv.Close()
	})
	synctest.Test(t, func(t *testing.T) {
		srv := basicServer(t, newBasicClerk(), &ServerOptions{Limits: Limits{MaxConns: 1}})
		holder, late := basicClient(t, srv), rawDial(t, srv)
		late.askException(basicInit, "ConnectionError", "the server has Limits.MaxConns (1) connections")
		late.wantEnd()
		holder.nc.Close()
		srv.Close()
	})
}

// A session of a dead client ends when its handler has returned. The context of the
// handler is cancelled.
func TestBasicHolderDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		opts := exclusive()
		opts.OnConnect = func(_ context.Context, s *Session) error {
			seen = append(seen, fmt.Sprint("connect ", s.ID()))
			return nil
		}
		opts.OnDisconnect = func(s *Session) { seen = append(seen, fmt.Sprint("disconnect ", s.ID())) }
		clerk := newBasicClerk()
		srv := basicServer(t, clerk, opts)
		holder, waiter := basicClient(t, srv), rawDial(t, srv)
		holder.write([]byte(command(24, "") + command(2, u32(1)+u32(2))))
		<-clerk.began
		waiter.poll()
		holder.nc.Close()
		synctest.Wait()
		if !waiter.poll() {
			t.Error("the place of the dead is not free")
		}
		waiter.write([]byte(command(25, ""))) // looks at no context
		<-clerk.began
		waiter.nc.Close()
		synctest.Wait()
		third := rawDial(t, srv)
		if third.poll() {
			t.Error("a place was handed over while a handler runs")
		}
		clerk.release <- struct{}{}
		synctest.Wait()
		if !third.poll() {
			t.Error("not admitted")
		}
		third.nc.Close()
		srv.Close()
		if got := strings.Join(seen, ", "); got != "connect 1, disconnect 1, connect 2, disconnect 2, connect 3, disconnect 3" {
			t.Error(got)
		}
	})
}

// The context of OnConnect ends when its client disconnects.
func TestBasicGoesDuringOnConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := 0
		opts := exclusive()
		opts.OnConnect = func(ctx context.Context, _ *Session) error {
			<-ctx.Done()
			return nil
		}
		opts.OnDisconnect = func(*Session) { left++ }
		srv := basicServer(t, newBasicClerk(), opts)
		p := rawDial(t, srv)
		p.write([]byte(basicInit))
		synctest.Wait()
		p.nc.Close()
		synctest.Wait()
		if left != 1 || len(srv.Sessions()) != 0 {
			t.Errorf("OnDisconnect ran %d times", left)
		}
		srv.Close()
	})
}

func TestBasicShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clerk := newBasicClerk()
		srv := basicServer(t, clerk, &ServerOptions{MaxSessions: 2, Limits: Limits{SessionLease: NoLimit}})
		idle, busy, waiter := basicClient(t, srv), basicClient(t, srv), rawDial(t, srv)
		waiter.poll()
		busy.write([]byte(command(24, "")))
		<-clerk.began
		ended := make(chan error, 1)
		go func() { ended <- srv.Shutdown(context.Background()) }()
		idle.wantEnd() // nothing that it has not asked for
		waiter.wantEnd()
		busy.write([]byte(command(2, u32(1)+u32(2))))
		synctest.Wait()
		close(clerk.release)
		busy.wantBytes("\x05\x00\x00\x00\x01")
		busy.wantException("ServerShutdown", "the server is shutting down")
		busy.wantEnd()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		for _, p := range []*rawPeer{idle, busy, waiter} {
			if err := <-p.served; !errors.Is(err, ErrServerClosed) {
				t.Errorf("ServeConn: %v", err)
			}
		}
	})
}

// The reason answers the open request. Without one, nothing is sent.
func TestBasicSessionClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clerk := newBasicClerk()
		srv := basicServer(t, clerk, nil)
		idle, busy := basicClient(t, srv), basicClient(t, srv)
		busy.write([]byte(command(24, "")))
		<-clerk.began
		for _, s := range srv.Sessions() {
			s.Close("the instrument is being calibrated")
		}
		busy.wantException("ConnectionError", "the instrument is being calibrated")
		busy.wantEnd()
		idle.wantEnd()
		srv.Close()
	})
}

// Clients of both wires wait in one queue. Many die, and all others are served in the
// order of arrival, never two at a time.
func TestBasicCrowd(t *testing.T) {
	t.Parallel()
	for seed := range uint64(Rounds(2, 5)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { crowd(t, seed) }) })
	}
}

func crowd(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 50))
	var mu sync.Mutex
	var holders int
	var served, want []int
	opts := exclusive()
	opts.OnConnect = func(context.Context, *Session) error {
		mu.Lock()
		defer mu.Unlock()
		if holders++; holders > 1 {
			t.Error("one place, two holders")
		}
		return nil
	}
	opts.OnDisconnect = func(*Session) {
		mu.Lock()
		defer mu.Unlock()
		holders--
	}
	srv := basicServer(t, newBasicClerk(), opts)
	first := basicClient(t, srv)
	var crowd sync.WaitGroup
	for i := range 50 {
		dies := time.Duration(0)
		if random.IntN(3) == 0 {
			dies = time.Duration(random.IntN(50_000)) * time.Millisecond
		} else {
			want = append(want, i)
		}
		hold := time.Duration(1+random.IntN(5000)) * time.Millisecond
		interval := time.Duration(100+random.IntN(5000)) * time.Millisecond
		basic := random.IntN(2) == 0
		crowd.Go(func() {
			admitted := func() {
				mu.Lock()
				if dies == 0 {
					served = append(served, i)
				}
				mu.Unlock()
				time.Sleep(hold)
			}
			if basic {
				crowdBasic(t, srv, dies, interval, admitted)
			} else {
				crowdNative(srv, dies, admitted)
			}
		})
		synctest.Wait() // it is in the queue
	}
	time.Sleep(time.Minute)
	first.nc.Close()
	crowd.Wait()
	srv.Close()
	if !slices.Equal(served, want) {
		t.Errorf("served %v, want %v", served, want)
	}
}

func crowdBasic(t *testing.T, srv *Server, dies, interval time.Duration, admitted func()) {
	p := rawDial(t, srv)
	defer p.nc.Close()
	if dies > 0 {
		p.pollFor(dies, interval)
		return
	}
	for !p.poll() {
		time.Sleep(interval)
	}
	admitted()
	p.wantServed()
}

func crowdNative(srv *Server, dies time.Duration, admitted func()) {
	ctx := context.Background()
	if dies > 0 {
		timed, cancel := context.WithTimeout(ctx, dies)
		defer cancel()
		ctx = timed
	}
	c, err := NewClient(ctx, dialed(srv), &ClientOptions{Logger: quiet, Limits: Limits{PingAfter: NoLimit}})
	if err == nil {
		admitted()
		c.Close()
	}
}

// A client that is slow to read its answer does not delay its exclusive group.
func TestBasicSlowReaderLeavesItsGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clerk := newBasicClerk()
		srv := basicServer(t, clerk, nil)
		slow, other := basicClient(t, srv), basicClient(t, srv)
		slow.write([]byte(command(25, "")))
		<-clerk.began
		clerk.release <- struct{}{}
		synctest.Wait() // its answer is being written, and it does not read
		other.write([]byte(command(25, "")))
		synctest.Wait()
		if len(clerk.began) != 1 {
			t.Error("the group is held while an answer is written")
		}
		clerk.release <- struct{}{}
		other.wantBytes("\x05\x00\x00\x00\x01")
		slow.wantBytes("\x05\x00\x00\x00\x01")
		slow.nc.Close()
		other.nc.Close()
		srv.Close()
	})
}

// The methods of an error from OnConnect may panic too.
func TestPanicInErrorOfOnConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := basicServer(t, newBasicClerk(), &ServerOptions{OnConnect: func(context.Context, *Session) error { return brokenError{} }})
		p := rawDial(t, srv)
		p.askException(basicInit, "PermissionError", "panic in the error of OnConnect or PerSession")
		p.wantEnd()
		_, err := NewClient(t.Context(), dialed(srv), &ClientOptions{Logger: quiet})
		wantCall(t, err, CodeInternal, OutcomeNotRun, "panic in the error of OnConnect or PerSession")
		srv.Close()
	})
}

// A waiting client may not send frames longer than those of the handshake.
func TestBasicWaiterSendsLongFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := basicServer(t, newBasicClerk(), exclusive())
		holder, waiter := basicClient(t, srv), rawDial(t, srv)
		waiter.poll()
		waiter.write([]byte(u32(1<<20) + "\x01")[:4])
		waiter.wantException("ValueError", "frame too long: 1048569 bytes, MaxMessage is 8192")
		waiter.wantEnd()
		holder.wantServed()
		holder.nc.Close()
		srv.Close()
	})
}
