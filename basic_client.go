package bsrpc

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A basicLink is a client's connection to a server that speaks the basic wire.
// Its calls are written in the order in which they came, and the answers, which
// say nothing of what they answer, come in that order. So a call stands in line
// until it has been answered, also when its caller has gone.
type basicLink struct {
	nc       net.Conn
	settings *settings
	log      *report.Log
	done     chan struct{} // closed when err has been set

	running sync.WaitGroup // reader and writer
	more    chan struct{}  // capacity 1: the writer is to look again

	mu    sync.Mutex   // guards the rest
	queue []*basicCall // to be written
	line  []*basicCall // written, or being so, and not answered
	ahead int          // bytes of the line's requests
	err   *fault.Fault // why the connection has ended
}

// agree takes the ids of the contract's methods for the server's. All of them
// must have one.
func (l *basicLink) bindMethods(_ context.Context, service string, methods []*boundMethod) error {
	var problems []method.Problem
	names := make(map[int]string)
	for _, m := range methods {
		m.number = uint16(m.id)
		switch other, taken := names[m.id]; {
		case m.id < 0:
			problems = append(problems, method.Problem{Path: m.Name, Text: "has no id= in its tag, by which a server that speaks the basic wire knows its methods"})
		case taken:
			problems = append(problems, method.Problem{Path: m.Name, Text: fmt.Sprintf("id=%d is %s's", m.id, other)})
		}
		names[m.id] = m.Name
	}
	return method.ServiceError("bind", service, problems)
}

// read delivers answers, each to the first in line.
func (l *basicLink) read() {
	defer l.running.Done()
	r := newBasicReader(l.nc, l.settings, 0)
	r.text = maxDetail // a traceback is no message
	for {
		f, err := r.next()
		if err != nil {
			l.fail(fault.Lost("reading", err))
			return
		}
		if why := l.deliver(f); why != nil {
			l.fail(why)
			return
		}
	}
}

// deliver gives an answer to its call. It returns why the connection must end.
func (l *basicLink) deliver(f basicFrame) *fault.Fault {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case f.refused != nil:
		return fault.Violation("%s", f.refused.Message)
	case f.typ != wire.BasicResponse && f.typ != wire.Exception:
		return fault.Violation("unexpected %v", f.typ)
	case len(l.line) == 0:
		return unasked(f, l.settings.MaxErrorText)
	}
	k := popFirst(&l.line)
	l.ahead -= k.size
	l.wake() // there is room in the line
	if !k.abandoned {
		k.reply = f
		close(k.answered)
	}
	return nil
}

// unasked is why a connection ends on which an answer comes to no call: a
// server of the package says so that it shuts down.
func unasked(f basicFrame, maxText int) *fault.Fault {
	if f.typ != wire.Exception {
		return fault.Violation("%v that answers no call", f.typ)
	}
	name, text, err := wire.ReadException(f.payload)
	if err != nil || name != serverShutdown {
		return fault.Violation("%v %q that answers no call", f.typ, fault.Cut(name, maxName))
	}
	e := errorOfException(name, text, maxText)
	e.Outcome = fault.OutcomeUnknown
	return e
}

// What may be written and unanswered; other calls wait. A server of the package
// takes nothing while it serves, and a socket whose buffers stay full is given
// up, by the system if not by Limits.WriteStall. So they are not filled: a long
// request waits until those before it are answered.
const (
	maxLine  = defaultMaxInflight // calls
	maxAhead = 64 << 10           // bytes of the requests of more than one call
)

// write writes the calls of the queue.
func (l *basicLink) write() {
	defer l.running.Done()
	for {
		k := l.nextCall()
		if k == nil {
			select {
			case <-l.more:
				continue
			case <-l.done:
				return
			}
		}
		if err := writeBasic(l.nc, net.Buffers{k.request}, l.settings.WriteStall, func() bool { return l.isBusy(k) }); err != nil {
			netconn.AwaitEnd(l.done) // the server may say why it takes no more
			l.fail(fault.Lost("writing", err))
			return
		}
		k.request = nil // it is in the line for long, maybe
	}
}

// nextCall moves a call from the queue into the line.
func (l *basicLink) nextCall() *basicCall {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil || len(l.queue) == 0 || !l.hasRoomLocked(l.queue[0]) {
		return nil
	}
	k := popFirst(&l.queue)
	l.line = append(l.line, k)
	l.ahead += k.size
	return k
}

// hasRoomLocked says whether a call may be written now.
func (l *basicLink) hasRoomLocked(k *basicCall) bool {
	return len(l.line) == 0 || len(l.line) < maxLine && l.ahead+k.size <= maxAhead
}

// isBusy says whether the server has a call to serve before k.
func (l *basicLink) isBusy(k *basicCall) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.line) > 0 && l.line[0] != k
}

// wake makes the writer look for a call.
func (l *basicLink) wake() {
	select {
	case l.more <- struct{}{}:
	default:
	}
}

// fail ends the connection: every call gets why. Only the first reason counts.
func (l *basicLink) fail(why *fault.Fault) {
	if l.failCalls(why) {
		l.nc.Close() // which may take its time, with TLS
	}
}

// failCalls does that to the calls. It reports whether the reason counts.
func (l *basicLink) failCalls(why *fault.Fault) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		l.err = l.err.Then(why)
		return false
	}
	l.err = why
	close(l.done)
	for _, k := range l.line {
		k.end(l.endedLocked(fault.OutcomeUnknown))
	}
	for _, k := range l.queue {
		k.end(l.endedLocked(fault.NotRun))
	}
	l.line, l.queue = nil, nil
	return true
}

// endedLocked returns the error of a call on a connection that has ended.
func (l *basicLink) endedLocked(outcome fault.Outcome) *fault.Fault {
	e := *l.err
	e.Outcome = outcome
	return &e
}

func (l *basicLink) close(why *fault.Fault) {
	l.fail(why)
	l.running.Wait()
}

func (l *basicLink) callTimeout() time.Duration { return l.settings.defaultCallTimeout }

func (l *basicLink) ended() <-chan struct{} { return l.done }

// Err returns why the connection has ended, nil if it has not.
func (l *basicLink) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		return nil
	}
	return l.err
}
