package limits

import (
	"context"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
)

func TestSilenceErrorNamesTheOption(t *testing.T) {
	c := Conn{Owner: "the server's", PingAfter: 30 * time.Second, PingTimeout: 20 * time.Second}
	if got, want := c.SilenceError().Error(), "the peer has been silent for 50s (the server's Limits.PingAfter, PingTimeout)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	c = Conn{Owner: "the client's", PingAfter: 10 * time.Second, PingTimeout: 10 * time.Second, SessionLease: true}
	if got, want := c.SilenceError().Error(), "the peer has been silent for 20s (the client's Limits.SessionLease)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSilenceTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Conn{PingAfter: time.Second, PingTimeout: 2 * time.Second}
		over, stop := c.SilenceTimer()
		defer stop()
		began := time.Now()
		<-over
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("after %v, want 3s", took)
		}
		c.PingAfter = math.MaxInt64
		if over, stop := c.SilenceTimer(); over != nil {
			t.Error("a timer without a limit")
		} else {
			stop()
		}
	})
}

// An arriving is a message in a Budget, for tests.
type arriving struct {
	Unfinished
	dropped chan struct{}
}

func begin(t *testing.T, b *Budget) *arriving {
	t.Helper()
	a := &arriving{dropped: make(chan struct{})}
	if err := b.Begin(&a.Unfinished, Monotonic(), "the server's", func() { close(a.dropped) }); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *arriving) hasToGo() bool {
	synctest.Wait()
	select {
	case <-a.dropped:
		return a.HasToGo()
	default:
		return false
	}
}

// Above the limit the oldest message goes, if it is old enough, and otherwise the one that
// has received the bytes.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Budget
		b.Init(10)
		first := begin(t, &b)
		first.Add(6, Monotonic())
		second := begin(t, &b)
		second.Add(5, Monotonic())
		if !second.hasToGo() || first.hasToGo() || b.Booked() != 11 {
			t.Errorf("the new message goes; %d booked", b.Booked())
		}
		if err := second.Fault(); err.Code != fault.ResourceExhausted || err.Outcome != fault.NotRun || err.Message != "bsrpc: unfinished messages at the server exceed Limits.ServerBytes (10)" {
			t.Errorf("got %v", err)
		}
		second.End()
		second.End()
		time.Sleep(graceTime)
		third := begin(t, &b)
		third.Add(5, Monotonic())
		if third.hasToGo() || !first.hasToGo() || b.Booked() != 11 {
			t.Errorf("the old message goes; %d booked", b.Booked())
		}
		third.Add(5, Monotonic()) // there is room: the first counts no longer against others
		if third.hasToGo() {
			t.Error("the third has to go")
		}
		fourth := begin(t, &b)
		fourth.Add(6, Monotonic()) // above the limit, and above twice the limit: the first is slow to go
		if !fourth.hasToGo() {
			t.Error("above twice the limit, nothing is accepted")
		}
		var fifth Unfinished
		if err := b.Begin(&fifth, Monotonic(), "the server's", func() {}); err == nil {
			t.Error("nor begun")
		}
		for _, a := range []*arriving{first, third, fourth} {
			a.End()
		}
		if n := b.Booked() + b.going.Load(); n != 0 || b.oldest.next != &b.oldest {
			t.Errorf("%d booked", n)
		}
	})
}

// A Budget of several connections, used by many goroutines.
func TestBudgetConcurrently(t *testing.T) {
	var b Budget
	b.Init(1000)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 1000 {
				var u Unfinished
				if b.Begin(&u, Monotonic()-time.Duration(i%3)*graceTime, "", func() {}) == nil {
					for range 10 {
						u.Add(i%50, Monotonic())
					}
				}
				u.End()
			}
		})
	}
	wg.Wait()
	if n := b.Booked(); n != 0 || b.going.Load() != 0 || b.oldest.next != &b.oldest {
		t.Errorf("%d booked, %d going", n, b.going.Load())
	}
}

// A connection may keep what the others leave free.
func TestWaiting(t *testing.T) {
	var b Budget
	b.Init(90)
	var first, second, none Waiting
	first.Init("the client's", &b)
	second.Init("the client's", &b)
	none.Init("", nil)
	k, err := first.Keep(45)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Keep(1); err == nil || err.Message != "bsrpc: requests that wait at the client exceed Limits.ServerBytes (90)" {
		t.Errorf("got %v", err)
	}
	other, err := second.Keep(40)
	if err != nil {
		t.Error(err)
	}
	k.Release()
	k.Release()
	other.Release()
	whole, err := second.Keep(90)
	if err != nil || b.Booked() != 90 {
		t.Errorf("%v, %d booked", err, b.Booked())
	}
	whole.Release()
	if _, err := none.Keep(1 << 30); err != nil || b.Booked() != 0 {
		t.Errorf("%v, %d booked", err, b.Booked())
	}
}

func TestInflight(t *testing.T) {
	var f Inflight
	f.Init()
	f.Begin()
	if n := f.Begin(); n != 2 || f.Count() != 2 {
		t.Errorf("%d requests, want 2", n)
	}
	if f.Drain() || f.Closing() == nil || f.Dismissed() != nil {
		t.Error("a drained connection with requests is idle, admits further ones, or counts as dismissed")
	}
	why := fault.New(fault.Aborted, fault.OutcomeUnknown, "enough")
	f.Dismiss(why)
	f.Dismiss(fault.New(fault.Aborted, fault.OutcomeUnknown, "later"))
	if f.Drain(); f.Closing() != why || f.Dismissed() != why {
		t.Errorf("got %v, want the first reason of Dismiss", f.Closing())
	}
	idle := f.End(1)
	if last := f.Done(1); !last {
		t.Error("requests are left")
	}
	select {
	case <-idle:
	default:
		t.Error("not idle after the end")
	}
}

// The time left is at least a microsecond, and a day or more travels as no limit.
func TestTimeLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour
		for _, test := range []struct {
			limit   time.Duration
			us      uint64
			expired bool
		}{{day + time.Hour, 0, false}, {day, 0, false}, {day - time.Microsecond, 86_399_999_999, false}, {time.Microsecond, 1, false}, {1, 1, false}, {0, 0, true}} {
			var timeout Timeout
			timeout.BeginUntil(MonotonicAt(time.Now().Add(test.limit)), test.limit, ByMethod)
			timeout.Start(Monotonic())
			if us, expired := timeout.Left(); us != test.us || expired != test.expired {
				t.Errorf("%v: %d us left, expired %t, want %d, %t", test.limit, us, expired, test.us, test.expired)
			}
			timeout.Stop()
		}
	})
}

// A limit that began earlier ends at its time, and its fault names the source, also if the
// context ends first.
func TestTimeoutBegunEarlier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var timeout Timeout
		end := time.Now().Add(5 * time.Second)
		time.Sleep(2 * time.Second)
		timeout.BeginUntil(MonotonicAt(end), 5*time.Second, ByMethod)
		timeout.Start(Monotonic())
		if us, expired := timeout.Left(); us != 3_000_000 || expired {
			t.Errorf("%d us left, expired %t", us, expired)
		}
		want := timeout.Fault(fault.NotRun)
		if got := timeout.ContextFault(context.DeadlineExceeded, fault.NotRun); got.Message != want.Message || got.Code != want.Code {
			t.Errorf("got %v, want %v", got, want)
		}
		if got := timeout.ContextFault(context.Canceled, fault.NotRun); got.Code != fault.Canceled {
			t.Errorf("got %v", got)
		}
		<-timeout.Expired()
		if !time.Now().Equal(end) {
			t.Errorf("expired at %v, want %v", time.Now(), end)
		}
		timeout.Stop()
	})
}

// A wait ends before the deadline of the handler, unless the context of the wait has nothing to do with
// that.
func TestBeforeHandlerEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		within := func(parent context.Context, d time.Duration) context.Context {
			ctx, cancel := context.WithDeadline(parent, start.Add(d))
			t.Cleanup(cancel)
			return ctx
		}
		handler := within(context.WithValue(t.Context(), HandlerEnd{}, MonotonicAt(start.Add(time.Second))), time.Second)
		brief := within(context.WithValue(t.Context(), HandlerEnd{}, MonotonicAt(start.Add(10*time.Millisecond))), 10*time.Millisecond)
		unlimited := context.WithValue(t.Context(), HandlerEnd{}, time.Duration(0))
		for name, tt := range map[string]struct {
			ctx  context.Context
			want time.Duration // 0 for no deadline
		}{
			"no handler":           {within(t.Context(), time.Second), time.Second},
			"the handler":          {handler, 980 * time.Millisecond},
			"little time":          {brief, 9 * time.Millisecond},
			"earlier":              {within(handler, 500*time.Millisecond), 500 * time.Millisecond},
			"later":                {within(handler, time.Minute), 980 * time.Millisecond},
			"apart, later":         {within(context.WithoutCancel(handler), time.Minute), time.Minute},
			"apart, without limit": {context.WithoutCancel(handler), 0},
			"a handler without":    {within(unlimited, time.Second), time.Second},
			"nothing":              {t.Context(), 0},
		} {
			ctx, stop := BeforeHandlerEnd(tt.ctx)
			at, ok := ctx.Deadline()
			if ok != (tt.want > 0) || ok && at.Sub(start) != tt.want {
				t.Errorf("%s: a deadline %v, after %v, want %v", name, ok, at.Sub(start), tt.want)
			}
			stop()
		}
	})
}

// Small queues and small changes do not count. Above the limit the longest queue has to go, but not
// the only one.
func TestUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Budget
		b.Init(unreadStep)
		dropped := make(chan *Unread, 10)
		queue := func(n uint64) *Unread {
			u := new(Unread)
			u.Init("the server's", &b, func(why *fault.Fault) {
				if why.Code != fault.ResourceExhausted {
					t.Error(why)
				}
				dropped <- u
			})
			u.Set(n)
			return u
		}
		check := func(counted int64, want *Unread) {
			t.Helper()
			synctest.Wait()
			var got *Unread
			select {
			case got = <-dropped:
			default:
			}
			if got != want || b.Booked() != counted {
				t.Errorf("dropped %p, want %p; %d bytes, want %d", got, want, b.Booked(), counted)
			}
		}
		only := queue(10 * unreadStep)
		check(10*unreadStep, nil)
		only.Set(2*unreadStep + 5)
		only.Set(3*unreadStep - 1) // not a step away
		small := queue(unreadStep - 1)
		check(2*unreadStep, nil)
		long := queue(4 * unreadStep)
		check(2*unreadStep, long)
		long.Set(100 * unreadStep)
		long.End()
		small.Set(2 * unreadStep)
		check(4*unreadStep, nil)
		small.Set(3 * unreadStep)
		check(2*unreadStep, small)
		only.Set(0)
		only.End()
		only.Set(5 * unreadStep)
		check(0, nil)
		var none Unread
		none.Init("", nil, nil)
		none.Set(1 << 40)
		none.End()
	})
}
