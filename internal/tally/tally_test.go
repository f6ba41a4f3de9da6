package tally

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/stats"
)

// Every duration is in its bucket, the buckets follow one another without a gap, and only the
// first and the last are wide.
func TestBuckets(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		d := time.Duration(rng.Uint64() >> (1 + rng.IntN(63)))
		i := bucketOf(d)
		if d < lowOf(i) || i+1 < buckets && d >= lowOf(i+1) {
			t.Fatalf("%d is in bucket %d, from %d", d, i, lowOf(i))
		}
	}
	for i := 1; i < buckets-1; i++ {
		low, high := lowOf(i), lowOf(i+1)
		if bucketOf(low) != i || bucketOf(high-1) != i || bucketOf(high) != i+1 || float64(high)/float64(low) > 1.25 {
			t.Errorf("bucket %d is from %d to %d", i, low, high)
		}
	}
	if bucketOf(-1) != 0 || bucketOf(0) != 0 || bucketOf(math.MaxInt64) != buckets-1 {
		t.Error("durations out of range have no bucket")
	}
}

// Quantiles of random latencies are as near as their buckets are narrow.
func TestQuantiles(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var s Set
	m, lane := s.Method("A.B"), s.NewLane()
	var all []time.Duration
	for range 10_000 {
		d := time.Duration(math.Exp(rng.NormFloat64())*1e6) + 300
		all = append(all, d)
		m.Add(lane, 1, fault.OK, d)
	}
	slices.Sort(all)
	h := s.Methods()[0].Latency
	for _, q := range []float64{0.01, 0.5, 0.9, 0.99, 0.999} {
		want, got := all[int(q*float64(len(all)))], h.Quantile(q)
		if r := float64(got) / float64(want); r < 0.8 || r > 1.25 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if h.P50 != h.Quantile(0.5) || h.P90 != h.Quantile(0.9) || h.P99 != h.Quantile(0.99) || h.Count != 10_000 {
		t.Errorf("got %d calls, %v, %v, %v", h.Count, h.P50, h.P90, h.P99)
	}
	sum := time.Duration(0)
	for _, d := range all {
		sum += d
	}
	if h.Sum != sum {
		t.Errorf("the sum is %v, want %v", h.Sum, sum)
	}
	if empty := new(stats.Histogram); empty.Quantile(0.5) != 0 {
		t.Error("a quantile of no calls is not 0")
	}
	if last := stats.MakeHistogram([]stats.Bucket{{Low: 5, High: math.MaxInt64, Count: 1}}, 7); last.P99 != 5 {
		t.Errorf("a quantile in the last bucket is %v", last.P99)
	}
}

// Nothing is lost between lanes, batches and goroutines.
func TestCounts(t *testing.T) {
	const callers, calls = 8, 1000
	var s Set
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			b := Batch{Lane: s.NewLane()}
			for i := range calls {
				m := s.Method([]string{"A.A", "A.B", "A.C"}[i%3])
				switch i % 10 {
				case 7:
					b.Add(m, fault.NotFound, 0)
				case 8:
					m.Add(nil, 1, 999, time.Hour)
				case 9:
					m.Refuse(b.Lane, fault.Unavailable)
				default:
					b.Add(m, fault.OK, time.Duration(i%2))
				}
				if i%64 == 0 || i == calls-1 {
					b.Count(time.Millisecond)
				}
				b.Lane.Receive(3)
				b.Lane.Send(4)
			}
			if !b.Empty() {
				t.Error("the batch is not empty")
			}
		})
	}
	s.Method("A.Never")
	wg.Wait()
	got := map[string]uint64{}
	var names []string
	for _, m := range s.Methods() {
		names = append(names, m.Name)
		for _, c := range m.Calls {
			got[c.Code] += c.Calls
		}
		for _, c := range m.Refused {
			got["refused: "+c.Code] += c.Calls
		}
		got["all"] += m.Latency.Count
	}
	for what, want := range map[string]uint64{"ok": 700, "not found": 100, "unknown": 100, "refused: unavailable": 100, "all": 900} {
		if got[what] != callers*want {
			t.Errorf("%s: got %d, want %d", what, got[what], callers*want)
		}
	}
	if strings.Join(names, " ") != "A.A A.B A.C" {
		t.Errorf("got %v", names)
	}
	if in, out := s.Bytes(); in != 3*callers*calls || out != 4*callers*calls || s.Connections() != callers {
		t.Errorf("got %d and %d bytes, %d connections", in, out, s.Connections())
	}
	m := s.Method("A.D")
	m.Add(nil, 2, fault.OK, 1)
	m.Recode(nil, fault.Internal)
	if f := s.Methods()[3]; len(f.Calls) != 2 || f.Calls[0] != (stats.Count{Code: "ok", Calls: 1}) || f.Calls[1] != (stats.Count{Code: "internal", Calls: 1}) || f.Latency.Count != 2 {
		t.Errorf("got %+v", f)
	}
}

// What does not count costs nothing, and does not fail.
func TestNil(t *testing.T) {
	var s *Set
	m, l := s.Method("A.B"), s.NewLane()
	m.Add(l, 1, fault.OK, 1)
	m.Refuse(l, fault.OK)
	m.Recode(l, fault.OK)
	l.Receive(1)
	l.Send(1)
	b := Batch{Lane: l}
	b.Add(m, fault.OK, 1)
	if m != nil || l != nil || !b.Empty() {
		t.Error("a nil Set counts")
	}
}

// The cost of a call without that of reading the clock: alone, and among 64 of one read.
func BenchmarkBatch(b *testing.B) {
	for _, size := range []int{1, 64} {
		b.Run(map[int]string{1: "alone", 64: "of64"}[size], func(b *testing.B) {
			var s Set
			m := s.Method("A.B")
			batch := Batch{Lane: s.NewLane()}
			b.ReportAllocs()
			began, n := time.Duration(0), 0
			for b.Loop() {
				batch.Add(m, fault.OK, began)
				if n++; n == size {
					batch.Count(began + 10_000)
					began, n = began+1, 0
				}
			}
		})
	}
}

// The cost of a call that is counted by itself, on several processors with a lane for each.
func BenchmarkAdd(b *testing.B) {
	var s Set
	m := s.Method("A.B")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		lane := s.NewLane()
		for i := 0; pb.Next(); i++ {
			m.Add(lane, 1, fault.OK, time.Duration(i&0xffff))
		}
	})
}

// Since has the calls between two moments, whatever was there before.
func TestSince(t *testing.T) {
	var s Set
	m := s.Method("A.B")
	m.Add(nil, 3, fault.OK, time.Millisecond)
	m.Add(nil, 2, fault.OK, time.Second)
	before := s.Methods()[0].Latency
	m.Add(nil, 1, fault.OK, time.Microsecond)
	m.Add(nil, 5, fault.OK, time.Second)
	h := stats.Since(s.Methods()[0].Latency, before)
	if h.Count != 6 || len(h.Buckets) != 2 || h.Buckets[0].Count != 1 || h.Buckets[1].Count != 5 || h.Sum != 5*time.Second+time.Microsecond {
		t.Errorf("got %+v", h)
	}
	if h := stats.Since(before, before); h.Count != 0 || h.Buckets != nil || h.P99 != 0 {
		t.Errorf("got %+v", h)
	}
	if h := stats.Since(before, s.Methods()[0].Latency); h.Count != 0 || h.Sum != 0 {
		t.Errorf("a histogram that has shrunk: got %+v", h)
	}
}
