package report

import "sync"

// A positions passes the newest position of a call in line to a func of the user.
type positions struct {
	log *Log
	f   func(group string, n int)

	mu      sync.Mutex // guards the rest
	group   string
	n       int // not yet passed on; 0 for none
	running bool
}

// Positions returns a func that passes positions in the line of a group, 1 and above, to f: one at
// a time, on a goroutine of its own while there are any. A position not yet passed on is
// replaced by the next one. The func never waits, and is safe for concurrent use.
func (l *Log) Positions(f func(group string, n int)) func(group string, n int) {
	p := &positions{log: l, f: f}
	return p.set
}

func (p *positions) set(group string, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.group, p.n = group, n
	if !p.running {
		p.running = true
		go p.run()
	}
}

// run calls f until there is no new position.
func (p *positions) run() {
	for group, n := p.next(); n > 0; group, n = p.next() {
		p.log.await("the func of WithPosition", func() { p.f(group, n) })
	}
}

// next takes the new position, 0 for none.
func (p *positions) next() (group string, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	group, n = p.group, p.n
	p.n, p.running = 0, n > 0
	return group, n
}
