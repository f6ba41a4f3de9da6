package bsrpc

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/bsrpc/bsrpc/internal/admission"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/option"
	"github.com/bsrpc/bsrpc/internal/streams"
	"github.com/bsrpc/bsrpc/internal/tally"
	"github.com/bsrpc/bsrpc/internal/weakcache"
	"github.com/bsrpc/bsrpc/introspect"
	"github.com/bsrpc/bsrpc/layout"
)

// A Method describes a registered method.
type Method struct {
	Name   string   // service and method: "Greeter.Hello"
	Layout string   // canonical text of the name and the wire format, see docs/protocol.md
	Hash   [32]byte // SHA-256 of the layout; equal at both ends if they agree
}

// A servedMethod is a registered method with its state at the server.
type servedMethod struct {
	*method.Func
	group        *admission.Group // exclusive group; nil for none
	factoryIndex int              // in registry.factories and Session.receivers; -1 for a shared receiver
	kind         Kind
	streams      *streams.Plan // nil without streams
	chain        CallFunc      // the server's interceptors around the handler; nil for none
	authorize    authorizer    // the server's Authorize; nil for none
	forbidden    *servedMethod // stands for it where a session has none of its roles
	denied       bool          // it is such a stand-in: every call is refused
	tally        *tally.Method // counts its calls; nil for a callback
	slow         atomic.Int32  // number of next requests to run on goroutines of their own, not inline
}

// kindOf returns the kind of a method.
func kindOf(sig *method.Signature) (k Kind) {
	if sig.ParamStreams() != nil {
		k |= KindClientStream
	}
	if sig.ResultStream() != nil {
		k |= KindServerStream
	}
	if k == KindUnary && sig.Oneway() {
		k = KindOneway
	}
	return k
}

// A registry contains the methods of a server. It may be changed until close, and is
// safe for concurrent use.
type registry struct {
	mu        sync.RWMutex // guards the rest
	table     method.Table[*servedMethod]
	factories []*factory        // of receivers for each session, each once
	groups    *admission.Groups // exclusive groups; have a lock of their own
	closed    atomic.Bool       // the server is serving: too late to register; set with mu held
	roles     error             // mistakes in the roles, found before
	chain     CallFunc          // of all methods; never changed, as authorize
	authorize authorizer

	describe func() []*method.Func // makes the methods of bsrpc.v1; nil at a client
	selfOnce sync.Once             // its first use
	self     method.Table[*servedMethod]

	unknown       *servedMethod // stands for all methods that the server does not have: a client chooses their names
	tallies, made tally.Set     // count the calls by clients, and those to clients; have locks of their own

	versions *weakcache.Cache[version, servedMethod] // of methods, for clients with other texts; has a lock of its own
}

// newRegistry returns a registry without methods.
func newRegistry() *registry {
	r := &registry{groups: admission.NewGroups(), versions: weakcache.New[version, servedMethod](maxVersions)}
	f := &method.Func{Description: method.Description{Name: "unknown"}}
	r.unknown = &servedMethod{Func: f, tally: r.tallies.Method(f.Name)}
	return r
}

// A version is a method for peers with another text, of which this is the hash. The server
// computes the hash: a peer must not choose the key of what others use.
type version struct {
	method *servedMethod
	hash   [32]byte
}

// maxVersions limits the memory of versions while no connection uses them.
const maxVersions = 16 << 20

// versionOf compares and compiles once for all connections with this text. It returns m for a peer with another text of the method, nil if the two do not fit.
// The error is for a text that is not a layout. peer names the peer in errors of calls.
func (r *registry) versionOf(m *servedMethod, text string, hash [32]byte, peer string) (*servedMethod, error) {
	k := version{m, hash}
	if known := r.versions.Get(k); known != nil {
		return known, nil
	}
	l, err := layout.ParseMethod(text)
	if err != nil {
		return nil, err
	}
	service, name, _ := method.SplitName(m.Name)
	if len(layout.Compare(l, m.Sig.Layout(service, name))) > 0 {
		return nil, nil
	}
	sig, err := m.Sig.ForPeer(l, false, peer)
	if err != nil {
		return nil, nil
	}
	f := *m.Func
	f.Sig = sig
	made := &servedMethod{Func: &f, group: m.group, factoryIndex: m.factoryIndex, kind: m.kind, streams: streams.PlanOf(sig), chain: m.chain, authorize: m.authorize, tally: m.tally}
	return r.versions.Add(k, made, 4<<10+64*len(text)), nil
}

// add adds the methods of one service. With problems, or those found here, it adds
// nothing and returns an error listing all of them. perSession is nil for a shared
// receiver.
func (r *registry) add(service string, funcs []*method.Func, perSession *factory, problems []method.Problem) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if strings.HasPrefix(service+".", "bsrpc.") {
		problems = append(problems, method.Problem{Path: service, Text: "names that begin with bsrpc. are the library's; choose another one"})
	}
	if r.closed.Load() {
		problems = append(problems, method.Problem{Path: service, Text: "the server is already serving; register everything before Serve"})
	}
	methods := make([]*servedMethod, len(funcs))
	for i, f := range funcs {
		methods[i] = r.served(f)
	}
	if err := r.table.Add(service, methods, problems); err != nil {
		return err
	}
	for _, m := range methods {
		m.factoryIndex = r.factoryIndexLocked(perSession)
		m.group = r.groups.Add(m.Exclusive)
	}
	return nil
}

// served returns the method of f, with a shared receiver and without a group.
func (r *registry) served(f *method.Func) *servedMethod {
	t := r.tallies.Method(f.Name)
	return &servedMethod{Func: f, factoryIndex: -1, kind: kindOf(f.Sig), streams: streams.PlanOf(f.Sig), chain: r.chain, authorize: r.authorize, forbidden: &servedMethod{Func: f, denied: true, tally: t}, tally: t}
}

// own returns the methods of bsrpc.v1. They are made at their first use, since few clients ask
// for them, and do not change any more.
func (r *registry) own() *method.Table[*servedMethod] {
	r.selfOnce.Do(func() {
		var list []*servedMethod
		for _, f := range r.describe() {
			list = append(list, r.served(f))
		}
		r.self.Add(introspect.Service, list, nil)
	})
	return &r.self
}

// factoryIndexLocked returns the index of f in r.factories, appending it at the first
// use, or -1 for a nil f.
func (r *registry) factoryIndexLocked(f *factory) int {
	if f == nil {
		return -1
	}
	i := slices.Index(r.factories, f)
	if i < 0 {
		i = len(r.factories)
		r.factories = append(r.factories, f)
	}
	return i
}

// close makes further registrations fail. The error lists mistakes in the roles of methods.
func (r *registry) close(a *access) error {
	if r.closed.Load() { // most calls of Handle need no lock
		return r.roles
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed.Load() {
		if problems := r.table.ResolveRoles(a.roles, a.authenticate != nil); len(problems) > 0 {
			r.roles = option.Error("ServerOptions", problems)
		}
		r.closed.Store(true)
	}
	return r.roles
}

// restricted reports whether some method has roles, or Authorize is set.
func (r *registry) restricted() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.authorize != nil || r.table.WithRoles() != ""
}

// Len returns the number of methods.
func (r *registry) Len() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.table.Len()
}

// find returns the method with a full name, or nil.
func (r *registry) find(name string) *servedMethod {
	r.mu.RLock()
	defer r.mu.RUnlock()
	m, _ := r.table.Find(name)
	return m
}

// Service returns the methods of a service by name, or nil if it is not registered. The
// map may be read without a lock, because it does not change while the server serves.
func (r *registry) Service(name string) map[string]*servedMethod {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.table.Service(name)
}

// command returns the method with an id= tag, for basic clients, or nil.
func (r *registry) command(id uint16) *servedMethod {
	r.mu.RLock()
	defer r.mu.RUnlock()
	m, _ := r.table.Command(int(id))
	return m
}

// all returns the methods in the order of registration, and those of bsrpc.v1.
func (r *registry) all() []*servedMethod {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.AppendSeq(slices.Collect(r.table.All()), r.own().All())
}

// methods returns the descriptions of all methods, in the order of registration.
func (r *registry) methods() []Method {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var list []Method
	for m := range r.table.All() {
		list = append(list, Method(m.Description))
	}
	return list
}
