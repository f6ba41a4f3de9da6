package stress

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
)

// A ledger compares what callers know of their calls with what has run. Each call has a token
// of its own, which its handler notes first. An answered call has run once, a call that was not
// run never does, and any other at most once.
type ledger struct {
	mu     sync.Mutex
	tokens map[string]*fate
	counts [3]int // of the calls that have ended, by outcome
	wrong  []string
}

// A fate is what is known of a token.
type fate struct {
	ran        int
	ended      time.Time // of the call, zero before
	outcome    bsrpc.Outcome
	idempotent bool // it may run more than once
}

func newLedger() *ledger { return &ledger{tokens: make(map[string]*fate)} }

// of returns the fate of a token, with the lock held.
func (l *ledger) of(token string) *fate {
	f := l.tokens[token]
	if f == nil {
		f = new(fate)
		l.tokens[token] = f
	}
	return f
}

// begin notes that a handler runs.
func (l *ledger) begin(token string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of(token).ran++
}

// end notes what the caller knows.
func (l *ledger) end(token string, outcome bsrpc.Outcome, idempotent bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.of(token)
	f.ended, f.outcome, f.idempotent = time.Now(), outcome, idempotent
	l.counts[outcome]++
}

// settle compares the calls that ended before a time, and drops those that are complete, so
// that the memory of a long test is flat. A handler that runs later is found by finish.
func (l *ledger) settle(before time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for token, f := range l.tokens {
		if f.ended.IsZero() || !f.ended.Before(before) {
			continue
		}
		switch {
		case f.outcome == bsrpc.OutcomeAnswered && f.ran == 0,
			f.outcome == bsrpc.OutcomeNotRun && f.ran != 0,
			f.ran > 1 && !f.idempotent:
			l.wrong = append(l.wrong, fmt.Sprintf("token %s: outcome %v, ran %d times", token, f.outcome, f.ran))
		case f.outcome == bsrpc.OutcomeUnknown && (f.ran == 0 || f.idempotent):
			continue // it may still run
		}
		delete(l.tokens, token)
	}
}

// finish settles all calls, when neither a caller nor a handler is left, and reports what was
// wrong.
func (l *ledger) finish(t *testing.T) {
	t.Helper()
	l.settle(time.Now().Add(time.Hour))
	l.mu.Lock()
	defer l.mu.Unlock()
	for token, f := range l.tokens {
		if f.ended.IsZero() {
			l.wrong = append(l.wrong, fmt.Sprintf("token %s ran %d times after its call was settled", token, f.ran))
		}
	}
	for _, text := range l.wrong[:min(len(l.wrong), 20)] {
		t.Error(text)
	}
	if n := len(l.wrong); n > 20 {
		t.Errorf("and %d more", n-20)
	}
	if l.counts[bsrpc.OutcomeAnswered] == 0 {
		t.Error("no call was answered")
	}
}

// String returns the number of calls by outcome.
func (l *ledger) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("%d answered, %d not run, %d unknown", l.counts[bsrpc.OutcomeAnswered], l.counts[bsrpc.OutcomeNotRun], l.counts[bsrpc.OutcomeUnknown])
}

// outcomeOf returns the outcome of a call.
func outcomeOf(err error) bsrpc.Outcome {
	var e *bsrpc.Error
	switch {
	case err == nil:
		return bsrpc.OutcomeAnswered
	case errors.As(err, &e):
		return e.Outcome
	}
	return bsrpc.OutcomeUnknown
}
