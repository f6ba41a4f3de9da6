//go:build unix

package stress

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/bsrpc/bsrpc"
)

// What TestHour does to its servers.

// far is the end of what has not ended.
var far = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// freeze stops the process, without its knowledge.
func (p *serverProcess) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stalls = append(p.stalls, span{time.Now(), far})
	p.Process.Signal(syscall.SIGSTOP)
}

// thaw lets the process run again.
func (p *serverProcess) thaw() {
	p.Process.Signal(syscall.SIGCONT)
	p.mu.Lock()
	defer p.mu.Unlock()
	last := slices.IndexFunc(p.stalls, func(s span) bool { return s.to == far })
	p.stalls[last].to = time.Now()
}

// drain shuts the server down.
func (p *serverProcess) drain() {
	p.mu.Lock()
	p.drained = true
	p.mu.Unlock()
	p.end(func() { p.Process.Signal(syscall.SIGTERM) })
}

// faults makes faults until the end of the test, and says how many there were.
func (h *hour) faults() string {
	steps := []struct {
		name string
		run  func()
	}{
		{"kill", h.kill},
		{"upgrade", h.upgrade},
		{"freeze", h.freeze},
		{"move", h.move},
		{"incompatible", h.incompatible},
		{"long freeze", h.freezeLong},
		{"restart", h.restart},
		{"kill all", h.killAll},
		{"killed while frozen", h.freezeAndKill},
		{"kill and move", h.killAndMove},
		{"freeze all", h.freezeAll},
		{"no resolver", h.failResolver},
		{"one endpoint fewer", h.shrink},
		{"long outage", h.outage},
	}
	done := make([]int, len(steps))
	var worst time.Duration
	for n := 0; h.ctx.Err() == nil; n++ {
		i := n
		if i >= len(steps) {
			i = h.rand.IntN(len(steps))
		}
		steps[i].run()
		done[i]++
		worst = max(worst, h.back())
		pause(h.ctx, h.calm(h.rand))
	}
	var text strings.Builder
	for i, s := range steps {
		fmt.Fprintf(&text, "%d %s, ", done[i], s.name)
	}
	if left := h.left(); left > 30 {
		h.t.Errorf("a server that had shut down had %d goroutines", left)
	}
	return fmt.Sprintf("%sall clients back within %v", text.String(), worst.Round(time.Millisecond))
}

// left returns the most goroutines that a server had after it had shut down.
func (h *hour) left() (most int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.processes {
		p.mu.Lock()
		most = max(most, p.left)
		p.mu.Unlock()
	}
	return most
}

// back waits until each client has an answer, and returns how long that took. A client may be
// in the longest gap between attempts.
func (h *hour) back() time.Duration {
	since := time.Now()
	var all sync.WaitGroup
	for _, c := range h.clients {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(bsrpc.WithWaitForReady(context.Background()), 40*time.Second)
			defer cancel()
			var err error
			for try := 0; try < 50 && !errors.Is(err, errSold); try++ {
				err = c.Refuse(ctx, "") // may fail with a connection that has just been lost
			}
			if !errors.Is(err, errSold) {
				h.t.Errorf("client %s does not work again: %v", c.name, err)
			}
		})
	}
	all.Wait()
	return time.Since(since)
}

// some pauses for at most d.
func (h *hour) some(d time.Duration) { pause(h.ctx, upTo(0, d)(h.rand)) }

// any returns the index of any server.
func (h *hour) any() int { return h.rand.IntN(len(h.servers)) }

// renew starts server i again, where it was, in a version.
func (h *hour) renew(i, version int) { h.start(i, h.servers[i].address, version) }

func (h *hour) kill() {
	i := h.any()
	h.servers[i].kill()
	h.some(time.Second)
	h.renew(i, h.servers[i].version)
}

func (h *hour) killAll() {
	for _, p := range h.servers {
		p.kill()
	}
	h.some(2 * time.Second)
	for i, p := range h.servers {
		h.renew(i, p.version)
	}
}

// outage leaves clients in longer gaps.
func (h *hour) outage() {
	for _, p := range h.servers {
		p.kill()
	}
	pause(h.ctx, 10*h.pingAfter)
	for i, p := range h.servers {
		h.renew(i, p.version)
	}
}

func (h *hour) freeze() {
	p := h.servers[h.any()]
	p.freeze()
	h.some(h.pingAfter)
	p.thaw()
}

func (h *hour) freezeLong() {
	p := h.servers[h.any()]
	p.freeze()
	pause(h.ctx, 3*h.pingAfter)
	h.some(h.pingAfter)
	p.thaw()
}

func (h *hour) freezeAndKill() {
	i := h.any()
	h.servers[i].freeze()
	h.some(h.pingAfter)
	h.servers[i].kill()
	h.some(time.Second)
	h.renew(i, h.servers[i].version)
}

func (h *hour) freezeAll() {
	for _, p := range h.servers {
		p.freeze()
	}
	h.some(h.pingAfter)
	for _, p := range h.servers {
		p.thaw()
	}
}

func (h *hour) restart() {
	i := h.any()
	h.servers[i].drain()
	h.some(time.Second / 2)
	h.renew(i, h.servers[i].version)
}

// upgradeTo gives all servers a version, one after another.
func (h *hour) upgradeTo(version int) {
	for i := range h.servers {
		h.servers[i].drain()
		h.renew(i, version)
		h.back()
	}
}

func (h *hour) upgrade() { h.upgradeTo(newVersion - h.servers[0].version) }

// incompatible gives the servers a version that differs in one method, and takes it back.
func (h *hour) incompatible() {
	before := h.servers[0].version
	h.upgradeTo(otherVersion)
	for _, c := range h.clients {
		ctx, cancel := context.WithTimeout(context.Background(), hourTime)
		var differs *bsrpc.MismatchError
		if err := c.change(ctx, ""); !errors.As(err, &differs) || slices.ContainsFunc(differs.Differences, func(d bsrpc.Difference) bool { return d.Method != "Hour.Change" }) {
			h.t.Errorf("client %s, a method that differs at all servers: %v", c.name, err)
		}
		if err := c.order(ctx, "", "fragile"); err != nil {
			h.t.Errorf("client %s, another method of these servers: %v", c.name, err)
		}
		cancel()
	}
	pause(h.ctx, h.calm(h.rand))
	h.upgradeTo(before)
	for _, c := range h.clients {
		ctx, cancel := context.WithTimeout(context.Background(), hourTime)
		if err := c.change(ctx, ""); err != nil {
			h.t.Errorf("client %s, a method that fits again: %v", c.name, err)
		}
		cancel()
	}
}

// move moves a server but the first: the new one is there before the old one goes.
func (h *hour) move() {
	i := 1 + h.rand.IntN(len(h.servers)-1)
	old := h.servers[i]
	h.start(i, freeAddress(h.t), old.version)
	h.list()
	h.some(h.pingAfter)
	if h.rand.IntN(2) == 0 {
		old.drain()
	} else {
		old.kill()
	}
}

func (h *hour) killAndMove() {
	i := 1 + h.rand.IntN(len(h.servers)-1)
	h.servers[i].kill()
	h.some(time.Second)
	h.start(i, freeAddress(h.t), h.servers[i].version)
	h.list()
}

func (h *hour) failResolver() {
	h.setFailing(true)
	h.kill()
	h.setFailing(false)
}

func (h *hour) setFailing(failing bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failing = failing
}

// shrink leaves out one server. The loss of another one makes the clients ask.
func (h *hour) shrink() {
	h.list(1)
	h.servers[2].kill()
	h.renew(2, h.servers[2].version)
	h.back()
	h.list()
	h.servers[0].drain()
	h.renew(0, h.servers[0].version)
}
