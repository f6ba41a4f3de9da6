package limits

import (
	"context"
	"math"
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

func TestBudget(t *testing.T) {
	var b Budget
	b.Init(10)
	if err := b.Book(10); err != nil {
		t.Fatal(err)
	}
	if err := b.Book(1); err == nil || err.Code != fault.ResourceExhausted || err.Outcome != fault.NotRun {
		t.Errorf("got %v", err)
	}
	b.Release(4)
	if err := b.Book(4); err != nil || b.Booked() != 10 {
		t.Errorf("got %v, %d booked", err, b.Booked())
	}
	var none *Budget
	if err := none.Book(1 << 60); err != nil {
		t.Error(err)
	}
	none.Release(1 << 60)
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
