// Package tally counts the calls of a server or a client, by method and code, and how long they
// take. Counting never waits and allocates nothing, except at the first call of a method.
package tally

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/stats"
)

// maxLanes bounds the memory of a method: each lane has a cell of a kilobyte for it.
const maxLanes = 64

// A Lane is the counters of some connections. Processors that serve different connections
// then rarely write to the same memory. A nil Lane
// counts no bytes, and its calls in the first one.
type Lane struct {
	Received, Sent atomic.Uint64 // bytes

	index int
	_     [128 - 24]byte // an allocation of its own cache lines
}

// Receive counts received bytes.
func (l *Lane) Receive(n int) {
	if l != nil {
		l.Received.Add(uint64(n))
	}
}

// Send counts sent bytes.
func (l *Lane) Send(n int) {
	if l != nil {
		l.Sent.Add(uint64(n))
	}
}

// A Set is the counters of a server or a client. It is safe for concurrent use. The methods of
// a nil Set return nil or nothing.
type Set struct {
	mu      sync.Mutex // guards the rest
	methods map[string]*Method
	lanes   []*Lane
	next    int // the lane of the next connection
}

// lanesOf returns the number of lanes.
func lanesOf(procs int) int { return min(4*procs, maxLanes) }

// NewLane returns the lane of a new connection, the next one in turn.
func (s *Set) NewLane() *Lane {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lanes == nil {
		s.lanes = make([]*Lane, lanesOf(runtime.GOMAXPROCS(0)))
	}
	i := s.next % len(s.lanes)
	s.next++
	if s.lanes[i] == nil {
		s.lanes[i] = &Lane{index: i}
	}
	return s.lanes[i]
}

// Method returns the counters of a method.
func (s *Set) Method(name string) *Method {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.methods[name]
	if m == nil {
		if s.methods == nil {
			s.methods = make(map[string]*Method)
		}
		m = new(Method)
		s.methods[name] = m
	}
	return m
}

// Bytes returns the numbers of bytes so far.
func (s *Set) Bytes() (received, sent uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lanes {
		if l != nil {
			received += l.Received.Load()
			sent += l.Sent.Load()
		}
	}
	return received, sent
}

// Connections returns the number of lanes given out so far.
func (s *Set) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next
}

// Methods returns the figures of the methods with calls, in the order of their names.
func (s *Set) Methods() (list []stats.Method) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name, m := range s.methods {
		if m.cells.Load() != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if f := s.methods[name].figures(); f.Calls != nil || f.Refused != nil {
			f.Name = name
			list = append(list, f)
		}
	}
	return list
}

// codes is the number of codes; greater ones count as Unknown.
const codes = int(fault.Unauthenticated) + 1

// A cell is the counters of a method in one lane.
type cell struct {
	sum     atomic.Int64
	failed  [codes]atomic.Uint64 // calls by code; the rest of the calls were successful
	refused [codes]atomic.Uint64
	calls   [buckets]atomic.Uint64 // by latency
}

// A Method is the counters of a method. A nil Method counts nothing. Its memory comes with its
// calls, because a server may have many methods that are never called.
type Method struct {
	cells atomic.Pointer[[maxLanes]atomic.Pointer[cell]] // by lane
}

// cell returns the cell of a lane.
func (m *Method) cell(l *Lane) *cell {
	if cells := m.cells.Load(); cells != nil && l != nil {
		if c := cells[l.index&(maxLanes-1)].Load(); c != nil {
			return c
		}
	}
	return m.firstCell(l)
}

// firstCell is cell for the first calls, and those without a lane.
func (m *Method) firstCell(l *Lane) *cell {
	i := 0
	if l != nil {
		i = l.index
	}
	if m.cells.Load() == nil {
		m.cells.CompareAndSwap(nil, new([maxLanes]atomic.Pointer[cell]))
	}
	cells := m.cells.Load()
	if cells[i].Load() == nil {
		cells[i].CompareAndSwap(nil, new(cell))
	}
	return cells[i].Load()
}

// Add counts n calls with the same code, which have taken the same time.
func (m *Method) Add(l *Lane, n int, code fault.Code, took time.Duration) {
	if m == nil {
		return
	}
	m.cell(l).add(uint64(n), code, took)
}

// add counts n calls.
func (c *cell) add(n uint64, code fault.Code, took time.Duration) {
	c.calls[bucketOf(took)].Add(n)
	c.sum.Add(int64(n) * int64(took))
	if code != fault.OK {
		c.failed[known(code)].Add(n)
	}
}

// Refuse counts a call that does not run.
func (m *Method) Refuse(l *Lane, code fault.Code) {
	if m != nil {
		m.cell(l).refused[known(code)].Add(1)
	}
}

// Recode makes a call that was counted as successful a failed one.
func (m *Method) Recode(l *Lane, code fault.Code) {
	if m != nil {
		m.cell(l).failed[known(code)].Add(1)
	}
}

// known returns a code, or Unknown for one without a name.
func known(code fault.Code) fault.Code {
	if int(code) >= codes {
		return fault.Unknown
	}
	return code
}

// figures returns the figures of a method with cells, without its name.
func (m *Method) figures() stats.Method {
	var latency [buckets]uint64
	var calls, refused [codes]uint64
	var sum time.Duration
	cells := m.cells.Load()
	for i := range cells {
		c := cells[i].Load()
		if c == nil {
			continue
		}
		sum += time.Duration(c.sum.Load())
		for i := range c.failed {
			calls[i] += c.failed[i].Load()
			refused[i] += c.refused[i].Load()
		}
		for i := range c.calls {
			latency[i] += c.calls[i].Load()
		}
	}
	f := stats.Method{Latency: histogramOf(&latency, sum)}
	failed := uint64(0)
	for _, n := range calls {
		failed += n
	}
	calls[fault.OK] = max(f.Latency.Count, failed) - failed
	f.Calls, f.Refused = countsOf(&calls), countsOf(&refused)
	return f
}

// countsOf returns the codes with calls.
func countsOf(calls *[codes]uint64) (list []stats.Count) {
	for code, n := range calls {
		if n > 0 {
			list = append(list, stats.Count{Code: fault.Code(code).String(), Calls: n})
		}
	}
	return list
}
