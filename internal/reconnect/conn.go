// Package reconnect keeps a client connected: when it connects again, to which endpoints,
// which calls wait meanwhile, and how many are sent again. It knows connections as funcs
// and channels, and neither codecs nor methods.
//
// A Group has one keeper for each endpoint. A keeper is one goroutine with at most one
// connection: it connects, watches the connection until that ends or its server begins to
// drain, waits for the backoff, and connects again.
//
// Group.mu is taken last: nothing is called while it is held, except the func of Wait.
package reconnect

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/fault"
)

// A State is the state of a client. The numbers equal bsrpc.State.
type State uint8

// The states.
const (
	Connecting State = iota // an attempt is under way
	Waiting                 // ... and waits for admission
	Ready                   // there is a connection
	Lost                    // there is none, until the next attempt
	Closed                  // there will be none
)

// String returns the state in words.
func (s State) String() string {
	names := [...]string{"connecting", "waiting", "ready", "lost", "closed"}
	if int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// A Conn is one connection of a group. Create it with NewConn. The exported fields are set
// before Config.Connect returns it, Again and AgainHeld before Leave or Hold may be called.
// All methods are safe for concurrent use.
type Conn struct {
	Done  <-chan struct{}        // closed at its end
	Why   func() *fault.Fault    // the reason for the end
	Close func(why *fault.Fault) // ends it, and waits for its goroutines
	Open  func() int             // its open calls
	Made  func() int             // all its calls so far
	Value any                    // the user's own

	Again     bool // another connection may take its place, unless its session holds state
	AgainHeld bool // ... and then too

	// Calls is the number of open calls. Only the connection writes it, under its own lock.
	Calls int32

	away    atomic.Int32 // what Leave and Hold add to Load
	leaving signal       // new calls go elsewhere
	holding signal       // the session holds state
}

// NewConn returns a connection without its fields.
func NewConn() *Conn { return &Conn{leaving: newSignal(), holding: newSignal()} }

// Load orders the connections: a call goes to the one with the least. It is the number of open
// calls, far above for a connection that takes no calls, and far below for one whose session
// holds state.
//
// It reads Calls without the lock: two atomic additions would cost each call more than all the
// rest of the choice. Go reads some value of a word that was written, the order of calls made at
// the same moment is open anyway, and nothing else follows from the number.
//
//go:norace
func (c *Conn) Load() int32 { return c.Calls + c.away.Load() }

// What Leave and Hold change of a Load. Neither hides the other, nor the end.
const (
	leavingLoad = 1 << 29
	holdingLoad = 1 << 28
)

// Leave notes that the server takes no new calls on the connection. Without another one to
// take its place it has no effect: the server itself refuses the calls. It does not wait.
func (c *Conn) Leave() {
	if c.Replaceable() {
		c.leave()
	}
}

// leave makes new calls go elsewhere.
func (c *Conn) leave() {
	if c.leaving.set() {
		c.away.Add(leavingLoad)
	}
}

// Hold notes that the session of the connection holds state, so another one cannot take
// its place. It does not wait.
func (c *Conn) Hold() {
	if c.holding.set() {
		c.away.Add(-holdingLoad)
	}
}

// Replaceable reports whether another connection may take the place of c.
func (c *Conn) Replaceable() bool { return c.AgainHeld || c.Again && !c.holding.isSet() }

// Usable reports whether new calls may be made on the connection.
func (c *Conn) Usable() bool { return !c.Ended() && !c.leaving.isSet() }

// Ended reports whether the connection has ended.
func (c *Conn) Ended() bool {
	select {
	case <-c.Done:
		return true
	default:
		return false
	}
}

// A signal is an event that happens at most once.
type signal struct {
	once *sync.Once
	ch   chan struct{}
}

func newSignal() signal { return signal{new(sync.Once), make(chan struct{})} }

// set reports whether it is the first.
func (s signal) set() (first bool) {
	s.once.Do(func() { first = true; close(s.ch) })
	return first
}

func (s signal) isSet() bool {
	select {
	case <-s.ch:
		return true
	default:
		return false
	}
}
