package stress

// The model: what a call sends, what it must return, and the errors it may return.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc"
)

// A kind is one method of the service.
type kind uint8

const (
	unary kind = iota
	byValue
	bulk
	quick
	byName
	alone
	future
	oneway
	callback // the handler calls two funcs of the caller
	relay    // the handler makes a call in the other direction, and returns its error
	watch
	watchValues
	opened
	load
	loadValues
	both
	download
	upload
	kinds
)

var kindNames = [kinds]string{
	"unary", "byValue", "bulk", "quick", "byName", "alone", "future", "oneway", "callback", "relay",
	"watch", "watchValues", "opened", "load", "loadValues", "both", "download", "upload",
}

func (k kind) String() string { return kindNames[k] }

// sends and returns report the streams of a kind.
func (k kind) sends() bool   { return k >= load && k != download }
func (k kind) returns() bool { return k >= watch && k <= opened || k == both || k == download }
func (k kind) reads() bool   { return k == download || k == upload }

// An op is one call of a program: its plan, and a record of what has happened. The handler
// finds it by its id, the first argument.
type op struct {
	id       int64
	kind     kind
	link     *link
	toClient bool // a call of the server
	nested   bool // made by the handler of a relay
	inner    *op  // of a relay

	start    time.Duration
	size     int           // bytes of the message, or of the text of an item
	items    int           // of the producer, or bytes of the reader, at the handler
	sent     int           // the same at the caller
	takes    int           // the caller leaves the result after so many of them; -1 for never
	handles  int           // the same for the handler and the parameter
	pause    time.Duration // of the handler, before its answer
	step     time.Duration // between two items
	slow     time.Duration // between the reads of the receiver
	deaf     bool          // the handler does not watch its context
	early    bool          // the handler fails before its stream begins
	hangs    bool          // the handler, or its iterator, waits for its context in place of ends
	dropped  bool          // the caller does not use the result
	twice    bool          // the caller ranges a second time
	metadata bool
	ends     ending // of the handler or its iterator
	sentEnds ending // of the caller's iterator
	cancel   time.Duration
	timeout  time.Duration

	begun, left, ranged, ranging atomic.Int32 // at the handler: calls, iterators and readers
	sending, closed              atomic.Int32 // of the caller's iterator or reader
	told                         atomic.Int32 // runs of the callback without an answer
	over                         atomic.Bool  // the call has returned
	err                          error        // set before over
	strict                       bool         // no disturbance excuses an error
}

func (o *op) String() string {
	return fmt.Sprintf("op %d, %v (connection %d, %+v at %v, freeze %v, to client %v, nested %v): items %d, sent %d, takes %d, handles %d, size %d, ends %v, sentEnds %v, early %v, hangs %v, dropped %v, start %v, cancel %v, timeout %v",
		o.id, o.kind, o.link.n, o.link.disturbed, o.link.at, o.link.freeze, o.toClient, o.nested, o.items, o.sent, o.takes, o.handles, o.size, o.ends, o.sentEnds, o.early, o.hangs, o.dropped, o.start, o.cancel, o.timeout)
}

// An Item is an item of a stream, and the message of unary calls.
type Item struct {
	Op, N int64
	Text  string
}

// text returns the text of an item: its values decide about every byte.
func (o *op) text(n int64) string {
	unit := fmt.Sprintf("%d.%d;", o.id, n)
	return strings.Repeat(unit, o.size/len(unit)+1)[:o.size]
}

func (o *op) item(n int64) Item { return Item{o.id, n, o.text(n)} }

// byteAt returns a byte of a reader.
func (o *op) byteAt(n int64) byte { return byte(o.id*31 + n + n>>8*7 + n>>16*3) }

// An ending is how the code of a user ends.
type ending uint8

const (
	fine ending = iota
	sentinel
	typed
	coded
	plain
	standard
	panics
	goexits
	endings
	never // the call ends by a disturbance
)

var errGone = errors.New("it is gone")

// A limitError is an error with fields.
type limitError struct{ Op int64 }

func (e *limitError) Error() string { return "limited" }

var identities = map[string]error{"stress.gone": errGone, "stress.limit": (*limitError)(nil)}

// act ends user code: it returns an error, or does not return.
func (e ending) act(o *op) error {
	switch e {
	case sentinel:
		return fmt.Errorf("op %d: %w", o.id, errGone)
	case typed:
		return errors.Join(errors.New("joined"), &limitError{o.id})
	case coded:
		return &bsrpc.Error{Code: bsrpc.CodeNotFound, Name: "Coded", Message: fmt.Sprintf("op %d", o.id)}
	case plain:
		return fmt.Errorf("op %d", o.id)
	case standard:
		return fmt.Errorf("op %d: %w", o.id, errors.ErrUnsupported)
	case panics:
		panic("on purpose")
	case goexits:
		runtime.Goexit()
	}
	return nil
}

// matches reports whether err is the ending at the other end.
func (e ending) matches(err error, o *op) bool {
	if e == fine || err == nil {
		return e == fine && err == nil
	}
	var b *bsrpc.Error
	if !errors.As(err, &b) {
		return false
	}
	own := strings.Contains(b.Message, fmt.Sprintf("op %d", o.id))
	switch e {
	case never:
		return false
	case sentinel:
		return errors.Is(err, errGone) && b.Name == "stress.gone" && own
	case typed:
		var l *limitError
		return errors.As(err, &l) && l.Op == o.id && b.Name == "stress.limit"
	case coded:
		return b.Code == bsrpc.CodeNotFound && b.Name == "Coded" && own
	case plain:
		return b.Code == bsrpc.CodeUnknown && own
	case standard:
		return errors.Is(err, errors.ErrUnsupported) && own
	}
	return b.Code == bsrpc.CodeInternal
}

// A wanted is the outcome of a call without disturbances.
type wanted struct {
	received int    // items or bytes that the handler receives
	returned int    // items or bytes that the caller receives
	end      ending // of the call
	of       *op    // the maker of this end
}

// want returns the outcome of a call without disturbances.
func (o *op) want() wanted {
	w := wanted{end: o.ends, of: o}
	if o.kind == relay {
		if inner := o.inner.want(); inner.end != fine && !o.inner.unused() {
			w.end, w.of = inner.end, inner.of
		}
	}
	if o.hangs {
		w.end = never
	}
	if o.kind == callback && o.sentEnds != fine {
		w.end = o.sentEnds // of the asked func
	}
	if o.kind.sends() && !(o.early && o.kind == both) {
		if w.received = o.sent; o.handles >= 0 && o.handles <= o.sent {
			w.received = o.handles
		} else if o.sentEnds != fine {
			w.end = o.sentEnds
		}
	}
	if o.early {
		return w
	}
	switch {
	case o.kind == both:
		w.returned = w.received
	case o.kind.returns():
		w.returned = o.items
	}
	if o.takes >= 0 && o.takes <= w.returned {
		w.returned, w.end = o.takes, fine
	}
	return w
}

// check compares the end of a call with the model. n is the number of items or bytes that
// the caller has received.
func (o *op) check(n int, err error) {
	w := o.link.world
	want := o.want()
	if n == want.returned && want.end.matches(err, want.of) {
		if e := asError(err); e != nil && (!e.Remote || e.Outcome != bsrpc.OutcomeAnswered) {
			w.fault(o, "an error of the handler with outcome %v, remote %v: %v", e.Outcome, e.Remote, err)
		}
		o.checkRuns(err)
		return
	}
	if n > want.returned {
		w.fault(o, "%d received, want at most %d", n, want.returned)
	}
	if err == nil {
		w.fault(o, "%d received and no error, want %+v", n, want)
		return
	}
	if !o.excused(err) {
		w.fault(o, "%d received, %v (%+v); want %d, ending %d of op %d", n, err, asError(err), want.returned, want.end, want.of.id)
	}
	o.checkRuns(err)
}

func asError(err error) *bsrpc.Error {
	var e *bsrpc.Error
	errors.As(err, &e)
	return e
}

// excused reports whether a disturbance of the program may have caused err.
func (o *op) excused(err error) bool {
	e := asError(err)
	d := &o.link.disturbed
	switch {
	case e == nil || o.strict:
		return false
	case errors.Is(err, bsrpc.ErrClosed):
		return d.close && !o.toClient
	case errors.Is(err, context.Canceled):
		return o.cancel > 0 || o.nested && o.contextEnds()
	case errors.Is(err, context.DeadlineExceeded):
		return o.timeout > 0 || o.nested && o.contextEnds()
	case d.close && o.toClient && strings.HasSuffix(e.Message, "client closed"):
		return true
	case e.Code == bsrpc.CodeAborted:
		return d.session && strings.Contains(e.Message, reason)
	case e.Code == bsrpc.CodeUnavailable:
		return d.lost() || d.shutdown
	case e.Code == bsrpc.CodeResourceExhausted:
		return o.link.world.fewStreams && strings.Contains(e.Message, "MaxStreams")
	}
	// The handler was disturbed, and its error has arrived.
	relayed := o.kind == relay || o.kind == callback || o.kind.sends()
	return relayed && e.Remote && (o.contextEnds() || o.innerEnds()) && (e.Code == bsrpc.CodeCanceled || e.Code == bsrpc.CodeDeadlineExceeded)
}

// contextEnds reports whether the context of a handler, or of the call made in it, may end
// before the call.
func (o *op) contextEnds() bool {
	for _, of := range o.link.world.ops {
		if of.inner == o && of.contextEnds() {
			return true
		}
	}
	return o.cancel > 0 || o.timeout > 0 || o.link.disturbed.lost() || o.link.disturbed.shutdown
}

// innerEnds reports whether a limit of its own may end a call made by the handler.
func (o *op) innerEnds() bool {
	return o.inner != nil && (o.inner.cancel > 0 || o.inner.timeout > 0 || o.inner.innerEnds())
}

// checkRuns compares the outcome of a call with the runs of its handler.
func (o *op) checkRuns(err error) {
	n := o.begun.Load()
	outcome := bsrpc.OutcomeAnswered
	if e := asError(err); e != nil {
		outcome = e.Outcome
	}
	if outcome == bsrpc.OutcomeAnswered && n != 1 || outcome == bsrpc.OutcomeNotRun && n != 0 {
		o.link.world.fault(o, "outcome %v, but the handler has begun %d times: %v", outcome, n, err)
	}
	if errors.Is(err, context.Canceled) && o.cancel == 0 && !o.nested || err != nil && errors.Is(err, io.EOF) {
		o.link.world.fault(o, "identity of the error: %v", err)
	}
}
