package apart

import (
	"context"
	"iter"
	"math"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/streams"
	"github.com/bsrpc/bsrpc/internal/tally"
)

// A Stream is the result stream of a call. It is safe for concurrent use after Begin. Its Pipe
// calls over without a lock held, and nothing calls the Pipe while mu is held: so the order of
// the two locks does not matter.
type Stream struct {
	*Exchange
	Pipe  *streams.Pipe
	Tally *tally.Method // counts the call at its end; nil for none

	check      *time.Timer // for a stream that has been dropped; nil for none
	checkAfter time.Duration

	mu     sync.Mutex // guards the rest
	done   bool
	ended  *fault.Fault
	finish func() // ends Within
	then   []func(*fault.Fault)
}

// NewStream returns the stream of a call.
func NewStream(x *Exchange, t *tally.Method) *Stream {
	s := &Stream{Exchange: x, Pipe: streams.NewPipe(), Tally: t}
	s.Pipe.OnOver = s.over
	s.Pipe.Left = func() *fault.Fault {
		if x.Ctx.Err() == nil {
			return nil
		}
		return s.Over(fault.OutcomeUnknown)
	}
	return s
}

// HasResult reports true: there is a result stream.
func (s *Stream) HasResult() bool { return true }

// CloseResult closes it.
func (s *Stream) CloseResult() { s.Pipe.Close() }

// ParamsRead reports false: no argument is a stream.
func (s *Stream) ParamsRead() bool { return false }

// WhenOver calls f on a goroutine of its own at the end of the stream. why is nil for a complete
// one.
func (s *Stream) WhenOver(f func(why *fault.Fault)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done {
		go f(s.ended)
	} else {
		s.then = append(s.then, f)
	}
}

// over is Pipe.OnOver, called once: by the goroutine that ends the Pipe, which must not wait.
func (s *Stream) over(why *fault.Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finish()
	s.Count(s.Tally, why)
	s.done, s.ended = true, why
	for _, f := range s.then {
		go f(why)
	}
}

// Begin begins the time of the stream. It ends with Within. A dropped stream is closed: that is
// looked at after each checkAfter, unless that is math.MaxInt64.
func (s *Stream) Begin(checkAfter time.Duration) {
	s.Exchange.Begin()
	s.mu.Lock()
	defer s.mu.Unlock()
	outcome := fault.OutcomeUnknown
	if s.Within().Err() != nil { // before the first attempt
		outcome = fault.NotRun
	}
	stop := context.AfterFunc(s.Within(), func() {
		s.Pipe.Fail(s.Over(outcome), s.Ctx.Err() != nil || s.Client.Why() == nil)
	})
	if s.checkAfter = checkAfter; checkAfter < math.MaxInt64 {
		s.check = time.AfterFunc(checkAfter, s.closeDropped)
	}
	s.finish = func() {
		stop()
		s.End()
		if s.check != nil {
			s.check.Stop()
		}
	}
}

// closeDropped closes a stream that its user has dropped, or looks again later.
func (s *Stream) closeDropped() {
	if s.Pipe.Dropped() {
		s.Pipe.Close()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.done {
		s.check.Reset(s.checkAfter)
	}
}

// Move moves the items of the reply to the Pipe, until the end of either. It may be called once.
// name is that of the method, for errors and the log, and failed returns the fault of an error
// among the items. items is code of the user: a panic fails the stream, and one that returns
// early because Within has ended does not make the stream look complete.
func (s *Stream) Move(items iter.Seq2[[]byte, error], l *limits.Conn, name string, log *report.Log, failed func(error) *fault.Fault) {
	p := streams.Pump{Pipe: s.Pipe, Max: l.MaxMessage, Owner: l.Owner, Failed: failed}
	p.Ended = func() *fault.Fault {
		if s.Within().Err() == nil {
			return nil
		}
		return s.Over(fault.OutcomeUnknown)
	}
	p.Panicked = func(what any) *fault.Fault {
		f := fault.New(fault.Internal, fault.OutcomeUnknown, "%s: panic in the Items of a RoundTripper", name)
		f.LogID = log.AddPanic(report.Panic, "bsrpc: panic in the Items of a RoundTripper", what, "method", name)
		return f
	}
	p.Run(items)
}

// Await makes the call within a time of its own, and ends Within after that.
func (s *Stream) Await(t *limits.Timeout, call func() error) error {
	if t.End() == 0 {
		return call()
	}
	t.Start(limits.Monotonic())
	left, _ := t.Remaining()
	late := time.AfterFunc(left, s.Cancel)
	err := call()
	if !late.Stop() && err != nil {
		return t.Fault(fault.OutcomeUnknown)
	}
	return err
}
