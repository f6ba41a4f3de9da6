// Package health has what a server says about the health of its services. It knows neither
// servers nor connections.
package health

import "sync"

// A Board has the state of each service. The zero value is a board of healthy services. It is
// safe for concurrent use.
type Board struct {
	mu      sync.Mutex
	down    map[string]bool
	changed chan struct{} // closed at the next change; nil while nobody waits
}

// Set says whether a service is ready for calls; "" stands for all of them.
func (b *Board) Set(service string, serving bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down[service] == !serving {
		return
	}
	if b.down == nil {
		b.down = make(map[string]bool)
	}
	if serving {
		delete(b.down, service)
	} else {
		b.down[service] = true
	}
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
}

// Get reports whether a service, and all of them together, are ready for calls. The channel is
// closed at the next change of any service.
func (b *Board) Get(service string) (serving bool, changed <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	return !b.down[service] && !b.down[""], b.changed
}
