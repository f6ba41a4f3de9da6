// Package describe serves bsrpc.v1, the contract of package introspect, from what a server tells
// it about itself. It knows neither servers nor sessions.
package describe

import (
	"context"
	"iter"
	"slices"
	"sync"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/health"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/introspect"
)

// A Source is a server. Its funcs have no types of the server: the linker would keep their
// methods in every program.
type Source struct {
	Methods  func(ctx context.Context) []Entry // those that the caller may call, in the order of registration
	Health   *health.Board
	Draining <-chan struct{} // closed when the server begins to shut down
	Hides    bool            // there are no lists

	Sessions func() []introspect.Session
	Groups   func() []introspect.Group
	Counters func() introspect.Counters

	mu    sync.Mutex
	about map[*method.Func]introspect.Method // those described before: a client may ask often
}

// describe returns the description of a method.
func (s *Source) describe(e Entry) introspect.Method {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.about[e.Func]
	if !ok {
		m = introspect.Method{Name: e.Func.Name, Layout: e.Func.Layout, Hash: e.Func.Hash, Kind: e.Kind}
		m.Params, m.Options, m.Secrets = method.About(e.Func)
		if s.about == nil {
			s.about = make(map[*method.Func]introspect.Method)
		}
		s.about[e.Func] = m
	}
	return m
}

// An Entry is a method of a server.
type Entry struct {
	Func *method.Func
	Kind string
}

// service returns the service of a method.
func (e Entry) service() string {
	service, _, _ := method.SplitName(e.Func.Name)
	return service
}

// Most is the number of methods of bsrpc.v1.
const Most = 7

// Funcs returns the methods of bsrpc.v1. Those for operators have the role.
func Funcs(s *Source, role string) []*method.Func {
	funcs, problems := method.FuncsOf(introspect.Service, &receiver{s})
	if problems != nil {
		panic(method.ServiceError("register", introspect.Service, problems)) // of the library's own types
	}
	return slices.DeleteFunc(funcs, func(f *method.Func) bool {
		var names, roles = []string{"service"}, []string{"*"}
		switch f.Name[len(introspect.Service)+1:] {
		case "Services":
			names = nil
		case "Sessions", "Groups", "Counters":
			names, roles[0] = nil, role
		}
		method.Annotate(f, names, roles)
		return s.Hides && (f.Name == introspect.Service+".Services" || f.Name == introspect.Service+".Methods")
	})
}

// A receiver has the methods of introspect.Contract. Not its contract is registered, because
// the code for contracts would then be in every server; a test binds it.
type receiver struct{ source *Source }

// of returns the methods of a service that the caller may call, all of them for "".
func (r *receiver) of(ctx context.Context, service string) ([]Entry, error) {
	list := r.source.Methods(ctx)
	if service == "" {
		return list, nil
	}
	list = slices.DeleteFunc(list, func(e Entry) bool { return e.service() != service })
	if len(list) == 0 {
		return nil, fault.New(fault.NotFound, fault.OutcomeUnknown, "unknown service %s", fault.Cut(service, 64))
	}
	return list, nil
}

// Services is introspect.Contract.Services.
func (r *receiver) Services(ctx context.Context) (names []string) {
	for _, e := range r.source.Methods(ctx) {
		if s := e.service(); !slices.Contains(names, s) {
			names = append(names, s)
		}
	}
	return names
}

// Methods is introspect.Contract.Methods.
func (r *receiver) Methods(ctx context.Context, service string) iter.Seq2[introspect.Method, error] {
	return func(yield func(introspect.Method, error) bool) {
		list, err := r.of(ctx, service)
		if err != nil {
			yield(introspect.Method{}, err)
		}
		for _, e := range list {
			if !yield(r.source.describe(e), nil) {
				return
			}
		}
	}
}

// Health is introspect.Contract.Health.
func (r *receiver) Health(ctx context.Context, service string) (introspect.Health, error) {
	h, _, err := r.health(ctx, service)
	return h, err
}

// WatchHealth is introspect.Contract.WatchHealth.
func (r *receiver) WatchHealth(ctx context.Context, service string) iter.Seq2[introspect.Health, error] {
	return func(yield func(introspect.Health, error) bool) {
		var last introspect.Health
		for first := true; ; first = false {
			h, changed, err := r.health(ctx, service)
			if (first || h != last) && !yield(h, err) || h.Draining || err != nil {
				return
			}
			last = h
			select {
			case <-changed:
			case <-r.source.Draining:
			case <-ctx.Done():
				return
			}
		}
	}
}

// health returns the state of a service, and a channel closed at the next change.
func (r *receiver) health(ctx context.Context, service string) (h introspect.Health, changed <-chan struct{}, err error) {
	if _, err = r.of(ctx, service); err != nil {
		return h, nil, err
	}
	h.Serving, changed = r.source.Health.Get(service)
	select {
	case <-r.source.Draining:
		return introspect.Health{Draining: true}, changed, nil
	default:
		return h, changed, nil
	}
}

// Sessions is introspect.Contract.Sessions.
func (r *receiver) Sessions() []introspect.Session { return r.source.Sessions() }

// Groups is introspect.Contract.Groups.
func (r *receiver) Groups() []introspect.Group { return r.source.Groups() }

// Counters is introspect.Contract.Counters.
func (r *receiver) Counters() introspect.Counters { return r.source.Counters() }
