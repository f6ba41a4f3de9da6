package reconnect

import "time"

// The gaps between attempts to connect. A hundred clients of one restarted server come
// spread over the first window, and a server that accepts and dies is left alone for
// longer and longer.
const (
	firstLeast = 100 * time.Millisecond
	firstMost  = 700 * time.Millisecond
	growth     = 1.6
	spread     = 0.3
	leastGap   = 100 * time.Millisecond
	mostGap    = 10 * time.Second

	// livedLong is how long a connection must have lived for the gaps to begin again.
	livedLong = 10 * time.Second
)

// A backoff is the gaps before the attempts of one keeper.
type backoff struct {
	gap  time.Duration  // the newest, without its spread; 0 at the beginning
	rand func() float64 // from 0 to below 1
}

// next returns the gap before the next attempt. None is above mostGap, and the longest
// are as different as all others.
func (b *backoff) next() time.Duration {
	if b.gap == 0 {
		b.gap = firstLeast + time.Duration(b.rand()*float64(firstMost-firstLeast))
		return b.gap
	}
	most := float64(mostGap) / (1 + spread)
	b.gap = time.Duration(min(float64(b.gap)*growth, most))
	return max(leastGap, time.Duration(float64(b.gap)*(1-spread+2*spread*b.rand())))
}

// lived notes that a connection has ended after d.
func (b *backoff) lived(d time.Duration) {
	if d >= livedLong {
		b.gap = 0
	}
}
