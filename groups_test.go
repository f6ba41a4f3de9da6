package bsrpc_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
)

// rackContract has methods of two groups, and methods that acquire them for the session.
type rackContract struct {
	Take     func(ctx context.Context, groups []string) error
	TakeLate func(ctx context.Context, groups []string) error // with a context of 100 ms
	Free     func(ctx context.Context, groups []string) error
	Look     func(ctx context.Context) error
	Supply   func(ctx context.Context, name string, ms uint32) error `bsrpc:"exclusive=psu"`
	Load     func(ctx context.Context, name string, ms uint32) error `bsrpc:"exclusive=load"`
	Try      func(ctx context.Context, name string, ms uint32) error `bsrpc:"exclusive=psu,nowait"`
	Keep     func(ctx context.Context, groups []string) error        `bsrpc:"exclusive=psu"`
}

type rackService struct {
	seen  diary
	noted diary // positions at the server
}

func (r *rackService) Take(ctx context.Context, groups []string) error {
	return bsrpc.SessionFrom(ctx).Acquire(ctx, groups...)
}
func (r *rackService) TakeLate(ctx context.Context, groups []string) error {
	ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	ctx = bsrpc.WithPosition(ctx, func(group string, n int) { r.noted.add("%s %d", group, n) })
	err := bsrpc.SessionFrom(ctx).Acquire(ctx, groups...)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("not an error of its context: %w", err)
	}
	return err
}
func (r *rackService) Free(ctx context.Context, groups []string) {
	bsrpc.SessionFrom(ctx).Release(groups...)
}
func (r *rackService) Look() {}
func (r *rackService) Supply(name string, ms uint32) {
	r.seen.add("%s", name)
	time.Sleep(time.Duration(ms) * time.Millisecond)
	r.seen.add("/%s", name)
}
func (r *rackService) Load(name string, ms uint32) { r.Supply(name, ms) }
func (r *rackService) Try(name string, ms uint32)  { r.Supply(name, ms) }
func (r *rackService) Keep(ctx context.Context, groups []string) error {
	r.seen.add("keep")
	return r.Take(ctx, groups)
}

// A rackClient is a client of a rack.
type rackClient struct {
	*rackContract
	*bsrpc.Client
	t    *testing.T
	errs chan error // of calls by do
}

// withRack serves a rack to three clients, in a bubble.
func withRack(t *testing.T, opts bsrpc.ServerOptions, f func(t *testing.T, srv *bsrpc.Server, r *rackService, a, b, c *rackClient)) {
	synctest.Test(t, func(t *testing.T) {
		opts.Logger = quiet
		srv := bsrpc.NewServer(&opts)
		r := new(rackService)
		if err := bsrpc.RegisterAs[rackContract](srv, "Rack", r); err != nil {
			t.Fatal(err)
		}
		var clients [3]*rackClient
		for i := range clients {
			client := mustEnter(t, srv)
			defer client.Close()
			p, err := bsrpc.Bind[rackContract](t.Context(), client, "Rack")
			if err != nil {
				t.Fatal(err)
			}
			clients[i] = &rackClient{p, client, t, make(chan error, 100)}
		}
		f(t, srv, r, clients[0], clients[1], clients[2])
		for _, c := range clients {
			c.Close()
		}
		synctest.Wait()
		for _, g := range srv.Groups() {
			if g.Holder != nil || len(g.Waiting) > 0 || g.Acquired {
				t.Errorf("left: %+v", g)
			}
		}
		srv.Close()
	})
}

// do makes a call in the background, and waits until it runs or waits.
func (c *rackClient) do(f func() error) {
	go func() { c.errs <- f() }()
	synctest.Wait()
}

// must fails the test for an error of the calls by do.
func (c *rackClient) must(n int) {
	c.t.Helper()
	for range n {
		if err := <-c.errs; err != nil {
			c.t.Error(err)
		}
	}
}

// take acquires groups.
func (c *rackClient) take(groups ...string) error { return c.Take(c.t.Context(), groups) }

// free releases groups.
func (c *rackClient) free(groups ...string) {
	c.t.Helper()
	if err := c.Free(c.t.Context(), groups); err != nil {
		c.t.Error(err)
	}
}

func (c *rackClient) supply(name string) func() error {
	return func() error { return c.Supply(c.t.Context(), name, 10) }
}

// wantCode checks the code and a part of the text of an error of a call that has not run.
func wantCode(t *testing.T, err error, code bsrpc.Code, text string) {
	t.Helper()
	var e *bsrpc.Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Message, text) {
		t.Errorf("got %v, want %v ... %s", err, code, text)
	}
}

// While a session holds a group, its own calls run before the line, one at a time and in order;
// others wait, and methods without the tag go on.
func TestAcquire(t *testing.T) {
	withRack(t, bsrpc.ServerOptions{}, func(t *testing.T, srv *bsrpc.Server, r *rackService, a, b, c *rackClient) {
		if err := a.take("psu"); err != nil {
			t.Fatal(err)
		}
		b.do(b.supply("b"))
		c.do(func() error { return c.take("psu") })
		c.do(c.supply("c"))
		for i := range 3 {
			a.do(a.supply(fmt.Sprint("a", i)))
		}
		if err := b.Look(t.Context()); err != nil {
			t.Error(err)
		}
		if err := a.take("psu", "psu"); err != nil {
			t.Error("again:", err)
		}
		g := srv.Groups()
		if len(g) != 2 || g[1].Name != "psu" || !g[1].Acquired || len(g[1].Waiting) < 3 || g[0].Holder != nil || g[1].Since.IsZero() {
			t.Errorf("%+v", g)
		}
		a.must(3)
		b.do(b.supply("late"))
		a.free("psu", "load", "nothing")
		c.must(2)
		c.free("psu")
		b.must(2)
		if want := "a0, /a0, a1, /a1, a2, /a2, b, /b, c, /c, late, /late"; r.seen.String() != want {
			t.Errorf("got  %s\nwant %s", &r.seen, want)
		}
	})
}

// Release gives a group back once the running call has ended; calls of the session that wait go
// to the end of the line.
func TestReleaseAfterRunningCall(t *testing.T) {
	withRack(t, bsrpc.ServerOptions{}, func(t *testing.T, srv *bsrpc.Server, r *rackService, a, b, c *rackClient) {
		if err := a.take("psu"); err != nil {
			t.Fatal(err)
		}
		a.do(a.supply("a0"))
		a.do(a.supply("a1"))
		b.do(b.supply("b"))
		a.free("psu")
		a.must(2)
		b.must(1)
		if want := "a0, /a0, b, /b, a1, /a1"; r.seen.String() != want {
			t.Errorf("got  %s\nwant %s", &r.seen, want)
		}
	})
}

// Within a call of a group, Acquire makes the hold of the call the session's, with others or
// alone.
func TestAcquireWithinCall(t *testing.T) {
	withRack(t, bsrpc.ServerOptions{}, func(t *testing.T, srv *bsrpc.Server, r *rackService, a, b, c *rackClient) {
		if err := c.take("load"); err != nil {
			t.Fatal(err)
		}
		a.do(func() error { return a.Keep(t.Context(), []string{"load", "psu"}) })
		b.do(b.supply("b"))
		c.free("load")
		a.must(1)
		a.do(a.supply("a"))
		a.must(1)
		a.free("psu")
		b.must(1)
		if want := "keep, a, /a, b, /b"; r.seen.String() != want {
			t.Errorf("got  %s\nwant %s", &r.seen, want)
		}
		for _, g := range srv.Groups() {
			if (g.Name == "load") != g.Acquired {
				t.Errorf("%+v", g)
			}
		}
	})
}

// A group comes back when its session has ended, after the last handler and OnDisconnect.
func TestGroupsOfLeaver(t *testing.T) {
	var r0 *rackService
	opts := bsrpc.ServerOptions{OnDisconnect: func(s *bsrpc.Session) {
		if s.ID() == 1 {
			time.Sleep(time.Second)
			r0.seen.add("left")
			if err := s.Acquire(context.Background(), "load"); err == nil {
				r0.seen.add("acquired after the end")
			}
		}
	}}
	withRack(t, opts, func(t *testing.T, srv *bsrpc.Server, r *rackService, a, b, c *rackClient) {
		r0 = r
		if err := a.take("psu", "load"); err != nil {
			t.Fatal(err)
		}
		a.do(func() error { return a.Supply(t.Context(), "a", 100) })
		b.do(b.supply("b"))
		a.Close()
		b.must(1)
		if want := "a, /a, left, b, /b"; r.seen.String() != want {
			t.Errorf("got  %s\nwant %s", &r.seen, want)
		}
		if err := b.take("load"); err != nil {
			t.Error(err)
		}
	})
}

// Shutdown waits for nothing that only waits in line: the holder without a running call leaves, the
// others get their turn, and end.
func TestShutdownOfALine(t *testing.T) {
	withRack(t, bsrpc.ServerOptions{}, func(t *testing.T, srv *bsrpc.Server, r *rackService, a, b, c *rackClient) {
		if err := a.take("psu"); err != nil {
			t.Fatal(err)
		}
		b.do(b.supply("b"))
		c.do(func() error { return c.take("load", "psu") })
		start := time.Now()
		if err := srv.Shutdown(t.Context()); err != nil || time.Since(start) > time.Second {
			t.Error(err, time.Since(start))
		}
		b.must(1)
		c.must(1)
	})
}

// Session.Close of one that waits, in the middle of the line, and then of the holder: the rest moves
// up, in order.
func TestSessionCloseInLine(t *testing.T) {
	withRack(t, bsrpc.ServerOptions{}, func(t *testing.T, srv *bsrpc.Server, r *rackService, a, b, c *rackClient) {
		if err := a.take("psu"); err != nil {
			t.Fatal(err)
		}
		var noted diary
		ctx := bsrpc.WithPosition(t.Context(), func(group string, n int) { noted.add("%s %d", group, n) })
		b.do(func() error { return b.take("psu") })
		b.do(b.supply("b"))
		c.do(func() error { return c.Supply(ctx, "c", 10) })
		time.Sleep(time.Second)
		srv.Sessions()[1].Close("b goes")
		for range 2 {
			wantCode(t, <-b.errs, bsrpc.CodeAborted, "b goes")
		}
		time.Sleep(time.Second)
		srv.Sessions()[0].Close("a goes")
		c.must(1)
		if got := noted.String() + "; " + r.seen.String(); got != "psu 2, psu 1; c, /c" {
			t.Error(got)
		}
	})
}

// A client whose OnConnect acquires a group waits in Dial; one that leaves meanwhile leaves the line.
func TestAcquireInOnConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, OnConnect: func(ctx context.Context, s *bsrpc.Session) error { return s.Acquire(ctx, "psu") }})
		if err := bsrpc.RegisterAs[rackContract](srv, "Rack", new(rackService)); err != nil {
			t.Fatal(err)
		}
		first := mustEnter(t, srv)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		start := time.Now()
		if _, _, err := enter(ctx, srv, nil); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 30*time.Second {
			t.Error(err, time.Since(start))
		}
		synctest.Wait()
		if g := srv.Groups()[1]; g.Holder == nil || g.Holder.ID() != 1 || len(g.Waiting) != 0 {
			t.Errorf("%+v", g)
		}
		time.AfterFunc(time.Second, func() { first.Close() })
		mustEnter(t, srv).Close()
		srv.Close()
	})
}

// Acquire where it has no sense, or user code of it fails: nothing is held, nothing waits.
func TestAcquireAmiss(t *testing.T) {
	withRack(t, bsrpc.ServerOptions{}, func(t *testing.T, srv *bsrpc.Server, r *rackService, a, b, c *rackClient) {
		s := srv.Sessions()[0]
		if err := b.take("psu"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		func() {
			defer func() { recover() }()
			err := s.Acquire(bsrpc.WithPosition(ctx, func(string, int) { panic("oh") }), "psu")
			t.Error("no panic:", err)
		}()
		cancel()
		if err := s.Acquire(ctx, "load"); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		for _, g := range srv.Groups() {
			if len(g.Waiting) > 0 || (g.Holder != nil) != (g.Name == "psu") {
				t.Errorf("%+v", g)
			}
		}
		s.Release("psu", "psu", "other") // not its own
		wantCode(t, a.Try(t.Context(), "a", 1), bsrpc.CodeResourceExhausted, "exclusive=psu is busy")
		a.Close()
		synctest.Wait()
		if err := s.Acquire(t.Context(), "load"); err == nil {
			t.Error("acquired after the end of the session")
		}
		b.free("psu")
	})
}

// Acquire takes all or none: one that ends by its context keeps nothing, and names what it waited
// for.
func TestAcquireAllOrNone(t *testing.T) {
	withRack(t, bsrpc.ServerOptions{}, func(t *testing.T, srv *bsrpc.Server, r *rackService, a, b, c *rackClient) {
		if err := a.take("psu"); err != nil {
			t.Fatal(err)
		}
		err := b.TakeLate(t.Context(), []string{"psu", "load"})
		wantCode(t, err, bsrpc.CodeDeadlineExceeded, "ms for exclusive=psu, held by a session")
		if r.noted.String() != "psu 1" {
			t.Error("positions:", &r.noted)
		}
		if err := c.take("load"); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		b.do(func() error { return b.Take(ctx, []string{"psu"}) })
		cancel()
		if err := <-b.errs; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		wantCode(t, b.take("psu", "pus"), bsrpc.CodeInvalidArgument, `Session.Acquire: unknown group "pus"; the groups are load, psu`)
		if err := b.take(); err != nil {
			t.Error(err)
		}
	})
}

// A wait that would close a circle of sessions fails at once, for calls and Acquire.
func TestCircles(t *testing.T) {
	withRack(t, bsrpc.ServerOptions{}, func(t *testing.T, srv *bsrpc.Server, r *rackService, a, b, c *rackClient) {
		for i, acquires := range []bool{true, false, true, false} {
			if err := errors.Join(a.take("psu"), b.take("load")); err != nil {
				t.Fatal(err)
			}
			wait := func(c *rackClient, group string, acquire bool) error {
				switch {
				case acquire:
					return c.take(group)
				case group == "load":
					return c.Load(t.Context(), "load", 1)
				}
				return c.Supply(t.Context(), "psu", 1)
			}
			a.do(func() error { return wait(a, "load", acquires) })
			wantCode(t, wait(b, "psu", i < 2), bsrpc.CodeAborted, "deadlock: the holder of exclusive=psu waits for a group that is held here; release it first")
			b.free("load")
			a.must(1)
			a.free("psu", "load")
		}
		// A call that holds a group acquires another one.
		if err := b.take("load"); err != nil {
			t.Fatal(err)
		}
		a.do(func() error { return a.Keep(t.Context(), []string{"load"}) })
		wantCode(t, b.take("psu"), bsrpc.CodeAborted, "deadlock")
		b.free("load")
		a.must(1)
		a.free("load")

		// A circle that closes when a session gets a group: b waits for load beside its place
		// for psu, which c holds.
		if err := errors.Join(a.take("load"), c.take("psu")); err != nil {
			t.Fatal(err)
		}
		b.do(func() error { return b.Load(t.Context(), "b", 1) })
		b.do(func() error { return b.take("psu") })
		a.do(a.supply("a"))
		c.free("psu")
		errs := []error{<-b.errs, <-b.errs}
		i := slices.IndexFunc(errs, func(err error) bool { return err != nil })
		if i < 0 || errs[1-i] != nil {
			t.Fatal(errs)
		}
		wantCode(t, errs[i], bsrpc.CodeAborted, "deadlock: the holder of exclusive=load")
		b.free("psu")
		a.must(1)
	})
}

// Calls with nowait fail if the group is busy.
func TestNoWait(t *testing.T) {
	withRack(t, bsrpc.ServerOptions{}, func(t *testing.T, srv *bsrpc.Server, r *rackService, a, b, c *rackClient) {
		try := func(c *rackClient) error { return c.Try(t.Context(), "try", 10) }
		if err := try(a); err != nil {
			t.Error(err)
		}
		const busy = "exclusive=psu is busy, and the call does not wait (nowait)"
		a.do(a.supply("a"))
		wantCode(t, try(b), bsrpc.CodeResourceExhausted, busy)
		a.must(1)
		if err := errors.Join(a.take("psu"), try(a)); err != nil {
			t.Error(err)
		}
		wantCode(t, try(b), bsrpc.CodeResourceExhausted, busy)
		a.do(a.supply("a"))
		wantCode(t, try(a), bsrpc.CodeResourceExhausted, busy)
		a.must(1)
	})
}

// A group held longer than GroupMaxHold is taken while others wait, when no call of its holder runs
// in it. Calls of that fail until it acquires or releases the group.
func TestGroupMaxHold(t *testing.T) {
	const aborted = "exclusive=psu was taken from the session: others waited, and it had held the group for the server's GroupMaxHold (1m0s); acquire it again"
	withRack(t, bsrpc.ServerOptions{GroupMaxHold: time.Minute}, func(t *testing.T, srv *bsrpc.Server, r *rackService, a, b, c *rackClient) {
		hold := func() {
			t.Helper()
			if err := a.take("psu"); err != nil {
				t.Fatal(err)
			}
		}
		hold()
		time.Sleep(time.Hour) // alone
		if err := a.supply("a")(); err != nil {
			t.Error(err)
		}
		b.do(b.supply("b0"))
		b.must(1)
		wantCode(t, a.supply("no")(), bsrpc.CodeAborted, aborted)
		wantCode(t, a.supply("no")(), bsrpc.CodeAborted, aborted)
		hold()
		since := time.Now()
		patient, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		b.do(func() error { return b.Supply(patient, "b1", 10) })
		time.Sleep(59 * time.Second)
		a.do(func() error { return a.Supply(t.Context(), "long", 10_000) })
		a.do(a.supply("waits"))
		b.must(1)
		if d := time.Since(since).Round(time.Second); d != 69*time.Second {
			t.Error("taken after", d)
		}
		errs := []error{<-a.errs, <-a.errs}
		i := slices.IndexFunc(errs, func(err error) bool { return err != nil })
		if i < 0 || errs[1-i] != nil {
			t.Fatal(errs)
		}
		wantCode(t, errs[i], bsrpc.CodeAborted, aborted)
		a.free("psu")
		if err := a.supply("a")(); err != nil {
			t.Error(err)
		}
	})
}

// Callers learn their places in line, with calls, with Acquire in the handler of a call, and with
// Acquire at the server.
func TestPositions(t *testing.T) {
	withRack(t, bsrpc.ServerOptions{}, func(t *testing.T, srv *bsrpc.Server, r *rackService, a, b, c *rackClient) {
		if err := a.take("psu"); err != nil {
			t.Fatal(err)
		}
		noted := make([]diary, 4)
		at := func(i int) context.Context {
			return bsrpc.WithPosition(t.Context(), func(group string, n int) { noted[i].add("%s %d", group, n) })
		}
		next := func() { time.Sleep(200 * time.Millisecond); synctest.Wait() }
		b.do(func() error { return b.Supply(at(0), "b0", 1000) })
		next()
		c.do(func() error { return c.Take(at(1), []string{"psu"}) })
		next()
		b.do(func() error { return b.Supply(at(2), "b2", 1) })
		next()
		gone, cancel := context.WithCancel(at(3))
		c.do(func() error { return c.Supply(gone, "c", 1) })
		next()
		a.free("psu")
		next()
		cancel()
		<-c.errs
		next()
		b.must(1)
		c.must(1)
		next()
		c.free("psu")
		b.must(1)
		for i, want := range []string{"psu 1", "psu 2, psu 1", "psu 3, psu 2, psu 1", "psu 4, psu 3"} {
			if got := noted[i].String(); got != want {
				t.Errorf("caller %d: got %s, want %s", i, got, want)
			}
		}
	})
}

// A func of WithPosition may panic or hang.
func TestPositionsOfBrokenFunc(t *testing.T) {
	withRack(t, bsrpc.ServerOptions{}, func(t *testing.T, srv *bsrpc.Server, r *rackService, a, b, c *rackClient) {
		if err := a.take("psu"); err != nil {
			t.Fatal(err)
		}
		release := make(chan struct{})
		for _, f := range []func(string, int){func(string, int) { panic("on purpose") }, func(string, int) { <-release }, nil} {
			ctx := bsrpc.WithPosition(t.Context(), f)
			b.do(func() error { return b.Supply(ctx, "b", 1) })
		}
		time.Sleep(time.Second)
		a.free("psu")
		b.must(3)
		close(release)
	})
}

// A dead session that holds a group, or waits for one, is found after SessionLease; one that does
// neither, after PingAfter and PingTimeout.
func TestGroupLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, Limits: bsrpc.Limits{SessionLease: 10 * time.Second}})
		r := new(rackService)
		if err := bsrpc.RegisterAs[rackContract](srv, "Rack", r); err != nil {
			t.Fatal(err)
		}
		var dead [3]func()
		var clients [3]*rackClient
		for i := range clients {
			clients[i], dead[i] = freezingClient(t, srv)
		}
		watcher, _ := freezingClient(t, srv)
		if err := clients[0].take("psu"); err != nil {
			t.Fatal(err)
		}
		patient, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		clients[1].do(func() error { return clients[1].Supply(patient, "1", 10) })
		time.Sleep(45 * time.Second) // the lease applies to silence; these answer
		since := time.Now()
		wantSessions := func(want int) {
			t.Helper()
			if n := len(srv.Sessions()); n != want {
				t.Errorf("%d sessions after %v, want %d", n, time.Since(since), want)
			}
		}
		dead[1]()
		dead[2]()
		time.Sleep(16 * time.Second)
		wantSessions(3) // without the one that waits
		time.Sleep(time.Minute)
		wantSessions(2)
		since = time.Now()
		dead[0]()
		watcher.do(watcher.supply("watcher"))
		watcher.must(1)
		if d := time.Since(since); d < 5*time.Second || d > 16*time.Second {
			t.Errorf("the group came back after %v", d)
		}
		wantSessions(1)
		srv.Close()
	})
}

// A short lease does not send more PINGs than the client accepts.
func TestShortGroupLease(t *testing.T) {
	t.Parallel()
	opts := bsrpc.ServerOptions{Limits: bsrpc.Limits{SessionLease: 200 * time.Millisecond}}
	withRack(t, opts, func(t *testing.T, srv *bsrpc.Server, r *rackService, a, b, c *rackClient) {
		if err := a.take("psu"); err != nil {
			t.Fatal(err)
		}
		held := 5 * time.Minute
		if bsrpc.LongTests {
			held = time.Hour
		}
		time.Sleep(held)
		if err := a.supply("a")(); err != nil {
			t.Error(err)
		}
	})
}

// A client serves its server with groups as well: calls of several connections wait in one line.
func TestGroupsOfHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handlers := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
		r := new(rackService)
		if err := bsrpc.RegisterAs[rackContract](handlers, "Rack", r); err != nil {
			t.Fatal(err)
		}
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
		for range 2 {
			near, far := net.Pipe()
			go srv.ServeConn(far)
			client, err := bsrpc.NewClient(t.Context(), near, &bsrpc.ClientOptions{Logger: quiet, Handlers: handlers})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
		}
		synctest.Wait() // the sessions have begun
		var racks []*rackContract
		for _, s := range srv.Sessions() {
			p, err := bsrpc.Bind[rackContract](t.Context(), s, "Rack")
			if err != nil {
				t.Fatal(err)
			}
			racks = append(racks, p)
		}
		if err := racks[0].Take(t.Context(), []string{"psu"}); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		var noted diary
		ctx := bsrpc.WithPosition(t.Context(), func(group string, n int) { noted.add("%s %d", group, n) })
		go func() { done <- racks[1].Supply(ctx, "1", 1) }()
		time.Sleep(time.Second)
		if err := racks[0].Supply(t.Context(), "0", 1); err != nil {
			t.Error(err)
		}
		srv.Sessions()[0].Close("enough")
		if err := <-done; err != nil {
			t.Error(err)
		}
		if r.seen.String() != "0, /0, 1, /1" || noted.String() != "psu 1" {
			t.Errorf("%s; positions %s", &r.seen, &noted)
		}
		srv.Close()
	})
}

// A client that takes places in line and cancels them, in a loop, leaves nothing, and delays nobody.
func TestPlacesInALoop(t *testing.T) {
	withRack(t, bsrpc.ServerOptions{}, func(t *testing.T, srv *bsrpc.Server, r *rackService, a, b, c *rackClient) {
		if err := a.take("psu"); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				for i := range bsrpc.Rounds(40, 100) {
					ctx, cancel := context.WithCancel(bsrpc.WithPosition(t.Context(), func(string, int) {}))
					if d := time.Duration(i%7) * time.Millisecond; d > 0 {
						time.AfterFunc(d, cancel)
					} else {
						go cancel()
					}
					if i%2 == 0 {
						c.Supply(ctx, "c", 0)
					} else if err := c.Take(ctx, []string{"load", "psu"}); err == nil {
						t.Error("two hold a group")
					}
					cancel()
				}
			})
		}
		for range bsrpc.Rounds(40, 100) {
			if err := a.supply("a")(); err != nil {
				t.Error(err)
			}
		}
		b.do(b.supply("b"))
		wg.Wait()
		synctest.Wait()
		if g := srv.Groups(); len(g[1].Waiting) != 1 || g[0].Holder != nil {
			t.Errorf("%+v", g)
		}
		a.free("psu")
		b.must(1)
	})
}

// freezingClient returns a client of a rack. die makes it silent, without the end of its
// connection.
func freezingClient(t *testing.T, srv *bsrpc.Server) (c *rackClient, die func()) {
	t.Helper()
	near, middle := net.Pipe()
	other, far := net.Pipe()
	var dead atomic.Bool
	pass := func(dst, src net.Conn) {
		defer dst.Close()
		b := make([]byte, 64<<10)
		for {
			n, err := src.Read(b)
			if err != nil {
				return
			}
			if !dead.Load() {
				dst.Write(b[:n])
			}
		}
	}
	go pass(middle, other)
	go pass(other, middle)
	go srv.ServeConn(far)
	client, err := bsrpc.NewClient(t.Context(), near, &bsrpc.ClientOptions{Logger: quiet, Limits: bsrpc.Limits{PingAfter: bsrpc.NoLimit}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	p, err := bsrpc.Bind[rackContract](t.Context(), client, "Rack")
	if err != nil {
		t.Fatal(err)
	}
	return &rackClient{p, client, t, make(chan error, 100)}, func() { dead.Store(true) }
}
