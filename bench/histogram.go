package main

import (
	"math/bits"
	"time"
)

// A histogram counts durations in buckets that are 3 % wide. Each caller has
// its own, so that recording is two memory accesses.
type histogram struct {
	counts [64 * subBuckets]uint32
	n      uint64
}

const (
	subBits    = 5
	subBuckets = 1 << subBits
)

func (h *histogram) record(d time.Duration) {
	h.counts[bucket(uint64(max(d, 0)))]++
	h.n++
}

// bucket is exact below subBuckets; above, the top bits choose.
func bucket(n uint64) int {
	if n < subBuckets {
		return int(n)
	}
	shift := bits.Len64(n) - subBits - 1
	return (shift+1)<<subBits | int(n>>shift)&(subBuckets-1)
}

// bounds returns the least value of a bucket and of the next.
func bounds(b int) (from, to float64) {
	if b < subBuckets {
		return float64(b), float64(b + 1)
	}
	shift := b>>subBits - 1
	n := uint64(b&(subBuckets-1) | subBuckets)
	return float64(n << shift), float64((n + 1) << shift)
}

func (h *histogram) add(o *histogram) {
	for i, c := range o.counts {
		h.counts[i] += c
	}
	h.n += o.n
}

// quantile returns the duration, in microseconds, that a share of the
// durations is not above.
func (h *histogram) quantile(q float64) float64 {
	rank := q * float64(h.n)
	var below float64
	for b, c := range h.counts {
		if c == 0 {
			continue
		}
		if below+float64(c) >= rank {
			from, to := bounds(b)
			return (from + (to-from)*(rank-below)/float64(c)) / 1e3
		}
		below += float64(c)
	}
	return 0
}
