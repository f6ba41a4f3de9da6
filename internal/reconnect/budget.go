package reconnect

import "time"

// What a group allows to be sent again although it may have run.
const (
	budgetSeconds = 10
	budgetShare   = 10 // one call in so many
	budgetLeast   = 10
)

// A window counts events of the last ten seconds.
type window struct {
	counts [budgetSeconds]uint64 // of one second each, by its number
	second int64                 // of the newest count
}

// add counts n events now.
func (w *window) add(now time.Duration, n uint64) {
	w.advance(now)
	w.counts[w.second%budgetSeconds] += n
}

// sum returns the events of the last ten seconds.
func (w *window) sum(now time.Duration) (n uint64) {
	w.advance(now)
	for _, c := range w.counts {
		n += c
	}
	return n
}

// advance drops the counts that are older than ten seconds.
func (w *window) advance(now time.Duration) {
	second := int64(now / time.Second)
	for w.second < second {
		if w.second++; second-w.second < budgetSeconds {
			w.counts[w.second%budgetSeconds] = 0
		}
	}
}

// A budget bounds the calls sent again although they may have run: a tenth of the calls of
// the last ten seconds, and at least ten.
type budget struct{ calls, again window }

// spend takes one call from the budget. It reports false if nothing is left.
func (b *budget) spend(now time.Duration) bool {
	if b.again.sum(now) >= max(budgetLeast, b.calls.sum(now)/budgetShare) {
		return false
	}
	b.again.add(now, 1)
	return true
}
