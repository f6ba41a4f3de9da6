package bsrpc_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
)

// A lockRoom is a naive model of groups, and the service of a contract with three of them: who
// holds each across calls, and which call runs in it.
type lockRoom struct {
	t *testing.T

	mu      sync.Mutex
	holder  map[string]uint64 // sessions
	running map[string]int
	most    int // groups held by one session
	entered int
}

type lockContract struct {
	Take  func(ctx context.Context, ms uint16, groups []string) error
	Free  func(ctx context.Context, groups []string) error
	A     func(ctx context.Context, ms uint16) error                  `bsrpc:"exclusive=a"`
	B     func(ctx context.Context, ms uint16) error                  `bsrpc:"exclusive=b"`
	C     func(ctx context.Context, ms uint16) error                  `bsrpc:"exclusive=c,nowait"`
	TakeA func(ctx context.Context, ms uint16, groups []string) error `bsrpc:"exclusive=a"`
}

// take notes that a session has acquired groups.
func (r *lockRoom) take(s uint64, groups []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range groups {
		if h := r.holder[g]; h != 0 && h != s {
			r.t.Errorf("sessions %d and %d hold %s", h, s, g)
		}
		r.holder[g] = s
	}
	n := 0
	for _, h := range r.holder {
		if h == s {
			n++
		}
	}
	r.most = max(r.most, n)
}

// free notes that a session gives groups back.
func (r *lockRoom) free(s uint64, groups []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range groups {
		if r.holder[g] == s {
			delete(r.holder, g)
		}
	}
}

// enter runs a call of a group.
func (r *lockRoom) enter(ctx context.Context, group string, f func() error) error {
	s := bsrpc.SessionFrom(ctx).ID()
	r.mu.Lock()
	if h := r.holder[group]; h != 0 && h != s {
		r.t.Errorf("a call of session %d runs in %s, which %d holds", s, group, h)
	}
	if r.running[group]++; r.running[group] > 1 {
		r.t.Errorf("%d calls run in %s", r.running[group], group)
	}
	r.entered++
	r.mu.Unlock()
	err := f()
	r.mu.Lock()
	r.running[group]--
	r.mu.Unlock()
	return err
}

func (r *lockRoom) Take(ctx context.Context, ms uint16, groups []string) error {
	short, cancel := context.WithTimeout(ctx, time.Duration(ms)*time.Millisecond)
	defer cancel()
	s := bsrpc.SessionFrom(ctx)
	defer lockModel(s)()
	err := s.Acquire(short, groups...)
	if err == nil && s.Context().Err() == nil {
		r.take(s.ID(), groups)
	}
	return err
}
func (r *lockRoom) Free(ctx context.Context, groups []string) {
	s := bsrpc.SessionFrom(ctx)
	defer lockModel(s)()
	r.free(s.ID(), groups)
	s.Release(groups...)
}

// lockModel lets one handler of a session at a time change what the model says of it: a channel, as a
// bubble's time stands still for a mutex.
func lockModel(s *bsrpc.Session) (unlock func()) {
	lock := s.Value("lock").(chan bool)
	lock <- true
	return func() { <-lock }
}

func pause(ms uint16) func() error {
	return func() error { time.Sleep(time.Duration(ms) * time.Millisecond); return nil }
}
func (r *lockRoom) A(ctx context.Context, ms uint16) error { return r.enter(ctx, "a", pause(ms)) }
func (r *lockRoom) B(ctx context.Context, ms uint16) error { return r.enter(ctx, "b", pause(ms)) }
func (r *lockRoom) C(ctx context.Context, ms uint16) error { return r.enter(ctx, "c", pause(ms)) }
func (r *lockRoom) TakeA(ctx context.Context, ms uint16, groups []string) error {
	return r.enter(ctx, "a", func() error { return r.Take(ctx, ms, groups) })
}

// Many sessions acquire groups, release them, call, and leave at any moment, also in the middle.
// The model sees no group with two holders, and no call beside one; in the end nothing is held,
// and nothing waits.
func TestGroupsAtRandom(t *testing.T) {
	t.Parallel()
	seeds := uint64(2)
	if bsrpc.LongTests {
		seeds = 100
	}
	var entered, most, failed atomic.Int64
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			r := &lockRoom{t: t, holder: map[string]uint64{}, running: map[string]int{}}
			opts := bsrpc.ServerOptions{Logger: quiet, OnConnect: func(_ context.Context, s *bsrpc.Session) error {
				s.Set("lock", make(chan bool, 1))
				return nil
			}, OnDisconnect: func(s *bsrpc.Session) { r.free(s.ID(), []string{"a", "b", "c"}) }}
			srv := bsrpc.NewServer(&opts)
			if err := bsrpc.RegisterAs[lockContract](srv, "Locks", r); err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for user := range uint64(6) {
				wg.Go(func() {
					rng := rand.New(rand.NewPCG(seed, user))
					for range 4 { // connections
						failed.Add(randomSession(t, srv, rng))
					}
				})
			}
			wg.Wait()
			time.Sleep(time.Second) // handlers run on after their connection has ended
			synctest.Wait()
			for _, g := range srv.Groups() {
				if g.Holder != nil || len(g.Waiting) > 0 {
					t.Errorf("seed %d left: %+v", seed, g)
				}
			}
			entered.Add(int64(r.entered))
			most.Store(max(most.Load(), int64(r.most)))
			srv.Close()
		})
	}
	if entered.Load() < int64(100*seeds) || most.Load() != 3 || failed.Load() < int64(10*seeds) {
		t.Errorf("%d calls, %d groups held at most, %d failures: the test does too little", entered.Load(), most.Load(), failed.Load())
	}
}

// randomSession connects, makes random calls, some at the same time, and leaves. It returns how
// many failed.
func randomSession(t *testing.T, srv *bsrpc.Server, rng *rand.Rand) int64 {
	client := mustEnter(t, srv)
	p, err := bsrpc.Bind[lockContract](context.Background(), client, "Locks")
	if err != nil {
		t.Error(err)
		return 0
	}
	var failed atomic.Int64
	var wg sync.WaitGroup
	for range 25 {
		groups := slices.DeleteFunc([]string{"a", "b", "c"}, func(string) bool { return rng.IntN(2) == 0 })
		ms, wait := uint16(rng.IntN(20)), uint16(1+rng.IntN(100))
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+rng.IntN(200))*time.Millisecond)
		call := []func() error{
			func() error { return p.A(ctx, ms) },
			func() error { return p.B(ctx, ms) },
			func() error { return p.C(ctx, ms) },
			func() error { return p.Take(ctx, wait, groups) },
			func() error { return p.TakeA(ctx, wait, groups) },
			func() error { return p.Free(ctx, groups) },
		}[rng.IntN(6)]
		run := func() {
			defer cancel()
			if call() != nil {
				failed.Add(1)
			}
		}
		if rng.IntN(3) == 0 {
			wg.Go(run)
		} else {
			run()
		}
		time.Sleep(time.Duration(rng.IntN(10)) * time.Millisecond)
	}
	client.Close() // with calls under way, and groups held
	wg.Wait()
	return failed.Load()
}

// A group changes hands thousands of times, by Release and by the end of its session: it never has
// two holders. The log has the times from one holder to the next.
func TestGroupHandOvers(t *testing.T) {
	handOvers := 500
	if bsrpc.LongTests {
		handOvers = 10_000
	}
	var holders, done atomic.Int64
	var givenAt atomic.Int64
	began := time.Now()
	gaps := make([]time.Duration, 0, handOvers)
	type contract struct {
		Use func(ctx context.Context) error
	}
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, OnDisconnect: func(s *bsrpc.Session) {
		if s.Value("holds") != nil {
			givenAt.Store(int64(time.Since(began)))
			holders.Add(-1)
		}
	}})
	use := func(ctx context.Context) error {
		s := bsrpc.SessionFrom(ctx)
		if s.Value("holds") != nil {
			return errors.New("the session ends")
		}
		if err := s.Acquire(ctx, "g"); err != nil {
			return err
		}
		if n := holders.Add(1); n != 1 {
			t.Errorf("%d hold the group", n)
		}
		if at := givenAt.Load(); at > 0 && len(gaps) < handOvers {
			gaps = append(gaps, time.Since(began)-time.Duration(at)) // by the one holder
		}
		n := done.Add(1)
		if n%10 == 0 { // leaves with the group
			s.Set("holds", true)
			go s.Close("enough")
			return nil
		}
		givenAt.Store(int64(time.Since(began)))
		holders.Add(-1)
		s.Release("g")
		return nil
	}
	type tagged struct {
		Other func() error `bsrpc:"exclusive=g"`
	}
	if err := bsrpc.RegisterAs[tagged](srv, "Tagged", &tagged{func() error { return nil }}); err != nil {
		t.Fatal(err)
	}
	if err := bsrpc.RegisterAs[contract](srv, "Users", &contract{use}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for done.Load() < int64(handOvers) {
				client := mustEnter(t, srv)
				p, err := bsrpc.Bind[contract](context.Background(), client, "Users")
				for err == nil && done.Load() < int64(handOvers) {
					err = p.Use(context.Background()) // fails when the session is closed
				}
				client.Close()
			}
		})
	}
	wg.Wait()
	srv.Close()
	slices.Sort(gaps)
	late, _ := slices.BinarySearch(gaps, 100*time.Millisecond)
	if len(gaps) < handOvers*9/10 {
		t.Errorf("%d hand-overs", len(gaps))
	}
	t.Logf("%d hand-overs in %v, of %d by the end of a session: median %v, 99th percentile %v, longest %v, %d of 100 ms or more",
		len(gaps), time.Since(began).Round(time.Millisecond), done.Load()/10, gaps[len(gaps)/2], gaps[len(gaps)*99/100], gaps[len(gaps)-1], len(gaps)-late)
}
