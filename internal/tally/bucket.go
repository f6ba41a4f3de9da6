package tally

import (
	"math"
	"math/bits"
	"time"

	"github.com/bsrpc/bsrpc/stats"
)

// The buckets of a histogram: four for each power of two nanoseconds, as in runtime/metrics,
// from 2^lowest to 2^highest, one below and one above.
const (
	subBits = 2
	lowest  = 8  // 256 ns
	highest = 38 // 275 s
	buckets = (highest-lowest)<<subBits + 2
)

// bucketOf returns the bucket of a duration.
func bucketOf(d time.Duration) int {
	octave := bits.Len64(uint64(max(d, 0))) - 1
	switch {
	case octave < lowest:
		return 0
	case octave >= highest:
		return buckets - 1
	}
	return 1 + (octave-lowest)<<subBits + int(d>>(octave-subBits))&(1<<subBits-1)
}

// lowOf returns the least duration of a bucket.
func lowOf(i int) time.Duration {
	if i == 0 {
		return 0
	}
	i--
	return (1<<subBits + time.Duration(i&(1<<subBits-1))) << (lowest - subBits + i>>subBits)
}

// histogramOf returns the histogram of counts by bucket.
func histogramOf(counts *[buckets]uint64, sum time.Duration) stats.Histogram {
	var list []stats.Bucket
	for i, n := range counts {
		if n == 0 {
			continue
		}
		b := stats.Bucket{Low: lowOf(i), High: math.MaxInt64, Count: n}
		if i < buckets-1 {
			b.High = lowOf(i + 1)
		}
		list = append(list, b)
	}
	return stats.MakeHistogram(list, sum)
}
