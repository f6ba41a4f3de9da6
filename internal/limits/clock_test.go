package limits

import (
	"context"
	"testing"
	"time"
	"unsafe"
)

// jumped returns a time as if the clock, but not the monotonic one, had been set forward by d since
// then. It knows the layout of time.Time: 33 bits of seconds above 30 bits of nanoseconds.
func jumped(at time.Time, d time.Duration) time.Time {
	*(*uint64)(unsafe.Pointer(&at)) -= uint64(d/time.Second) << 30
	return at
}

// A clock that is set while the program runs changes no time limit: neither that of the library nor a
// deadline, also if that is a date.
func TestClockJumps(t *testing.T) {
	defer func(before time.Time) { epoch = before }(epoch)
	before := epoch
	for _, jump := range []time.Duration{0, time.Hour, -time.Hour} {
		epoch = jumped(before, jump)
		if d := before.Round(0).Sub(epoch.Round(0)); d != jump || epoch.Sub(before) != 0 {
			t.Fatal("the test cannot set the clock:", d, epoch.Sub(before))
		}
		deadline := time.Now().Add(time.Minute)
		for name, at := range map[string]time.Time{"a timeout": deadline, "a date": deadline.Round(0), "in another zone": deadline.UTC().Round(0)} {
			ctx, cancel := context.WithDeadline(t.Context(), at)
			var limit Timeout
			limit.Begin(ctx, time.Hour, ByDefault)
			limit.Start(Monotonic())
			if left, ok := limit.Remaining(); !ok || left > time.Minute || left < 50*time.Second {
				t.Errorf("%s, the clock set by %v: %v left", name, jump, left)
			}
			cancel()
		}
		if d := time.Until(TimeOf(Monotonic() + time.Minute)); d > time.Minute || d < 50*time.Second {
			t.Errorf("the clock set by %v: TimeOf is %v away", jump, d)
		}
		var limit Timeout
		limit.Begin(t.Context(), time.Minute, ByDefault)
		limit.Start(Monotonic())
		if left, _ := limit.Remaining(); left > time.Minute || left < 50*time.Second {
			t.Errorf("the clock set by %v: %v left of a default", jump, left)
		}
	}
}
