package bsrpc

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/admission"
	"github.com/bsrpc/bsrpc/internal/method"
)

// A Method describes a method that a server offers.
type Method struct {
	Name   string   // service and method: "Greeter.Hello"
	Layout string   // canonical text of what travels, docs/protocol.md
	Hash   [32]byte // SHA-256 by which both ends check that they mean the same
}

// A servedMethod is a method of a server.
type servedMethod struct {
	*method.Func
	group        *admission.Group // nil if it is not exclusive
	factoryIndex int              // in registry.factories and Session.receivers; -1 for a shared receiver
	slow         atomic.Int32     // next requests to run on goroutines of their own, not inline
}

// A registry has the methods of a server.
type registry struct {
	mu        sync.RWMutex
	table     method.Table[*servedMethod]
	factories []*factory // of the receivers of each session
	groups    map[string]*admission.Group
	closed    bool // the server serves: too late to register
}

// add enters the methods of one service, all or none.
func (r *registry) add(service string, funcs []*method.Func, perSession *factory, problems []method.Problem) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		problems = append(problems, method.Problem{Path: service, Text: "the server is serving; register everything before"})
	}
	methods := make([]*servedMethod, len(funcs))
	for i, f := range funcs {
		methods[i] = &servedMethod{Func: f, factoryIndex: -1}
	}
	if err := r.table.Add(service, methods, problems); err != nil {
		return err
	}
	for _, m := range methods {
		m.factoryIndex = r.factoryIndexLocked(perSession)
		m.group = r.groupLocked(m.Exclusive)
	}
	return nil
}

// groupLocked returns the group of a name, nil for none.
func (r *registry) groupLocked(name string) *admission.Group {
	if name == "" {
		return nil
	}
	if r.groups == nil {
		r.groups = make(map[string]*admission.Group)
	}
	if r.groups[name] == nil {
		r.groups[name] = admission.NewGroup(name)
	}
	return r.groups[name]
}

// factoryIndexLocked returns the index of perSession among the makers, -1 for none.
func (r *registry) factoryIndexLocked(perSession *factory) int {
	if perSession == nil {
		return -1
	}
	i := slices.Index(r.factories, perSession)
	if i < 0 {
		i = len(r.factories)
		r.factories = append(r.factories, perSession)
	}
	return i
}

// close ends the time to register.
func (r *registry) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
}

// find returns the method of a full name, nil if there is none.
func (r *registry) find(name string) *servedMethod {
	r.mu.RLock()
	defer r.mu.RUnlock()
	m, _ := r.table.Find(name)
	return m
}

// service returns a service's methods by their names, nil if there is no such
// service. The map does not change while the server serves.
func (r *registry) service(name string) map[string]*servedMethod {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.table.Service(name)
}

// command returns the method that a basic client calls by id, nil if none.
func (r *registry) command(id uint16) *servedMethod {
	r.mu.RLock()
	defer r.mu.RUnlock()
	m, _ := r.table.Command(int(id))
	return m
}

func (r *registry) methods() []Method {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var list []Method
	for m := range r.table.All() {
		list = append(list, Method(m.Description))
	}
	return list
}
