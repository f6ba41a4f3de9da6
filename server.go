package bsrpc

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc/internal/admission"
	"github.com/bsrpc/bsrpc/internal/errtree"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/health"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/secure"
)

// A Server offers methods to clients. Create one with NewServer, register all methods, and
// then call Serve, ServeConn or ListenAndServe, any number of times and concurrently. All
// methods are safe for concurrent use.
type Server struct {
	dispatcher
	err error // invalid options; returned by Serve, ServeConn and ListenAndServe

	sessions    sessions
	health      health.Board
	started     time.Time
	proving     report.HookLimit // calls of Authenticate
	verifying   secure.Work      // of certificates
	warnExposed sync.Once        // of a listener without TLS, reachable from other machines
	handshakes  sync.WaitGroup   // Add only with mu held, while the server is not stopping
	closables
}

// closables are what a server closes at its end. The types of users' listeners and connections
// may not be comparable, so the keys are pointers of the server's own.
type closables struct {
	mu          sync.Mutex // guards the rest; locked before that of handshaking
	listeners   map[*net.Listener]bool
	handshaking admission.Handshakes[net.Conn] // before the answer to INIT
	conns       map[*serverConn]bool
	handled     int         // of conns, calls of Handle
	stopping    atomic.Bool // set with mu held
}

// NewServer returns a server without methods. It copies opts, which may be nil. Serve,
// ServeConn and ListenAndServe report values out of range.
func NewServer(opts *ServerOptions) *Server {
	s := &Server{closables: closables{listeners: make(map[*net.Listener]bool), conns: make(map[*serverConn]bool)}, started: time.Now()}
	s.registry = newRegistry()
	s.settings, s.err = opts.resolve()
	log := slog.Default()
	if opts != nil {
		s.sessions.hooks = hooks{opts.OnConnect, opts.OnDisconnect}
		s.onRefused, s.registry.authorize = opts.OnRefused, opts.Authorize
		log = cmp.Or(opts.Logger, log)
	}
	s.log = report.New(log)
	s.callEnd = callEnd{log: s.log, panics: &s.panics, carryOut: carryOutServed}
	s.refusals = report.NewHookQueue(s.log, "OnRefused")
	s.registry.table.ByID, s.registry.chain = s.settings.Basic, s.settings.chain
	s.registry.describe = introspection{s}.funcs
	s.registry.groups.MaxHold = s.settings.GroupMaxHold
	s.budget.Init(s.settings.ServerBytes)
	s.handshaking.Init(s.settings.MaxHandshakes)
	s.proving.Most = s.settings.MaxHandshakes
	s.sessions.init(&s.dispatcher)
	return s
}

// mustBeInitialized panics unless s comes from NewServer.
func (s *Server) mustBeInitialized() {
	if !s.isInitialized() {
		panic("bsrpc: nil or zero Server; use NewServer")
	}
}

// Register offers the exported methods of rcvr except Close, as a service with the name of
// rcvr's type, which must be exported. See RegisterName.
func (s *Server) Register(rcvr any) error {
	if rcvr == nil {
		return errors.New("bsrpc: register: nil receiver")
	}
	given := rcvr
	if f, ok := rcvr.(Factory); ok && f.factory != nil {
		given = method.Made{Type: f.factory.typ}
	}
	name, err := method.ServiceName(given)
	if err != nil {
		return err
	}
	return s.RegisterName(name, rcvr)
}

// RegisterName offers the exported methods of rcvr as a service. The name of the service
// consists of identifiers with dots between them, such as lab.v1.Scope. A method may have
// any parameters, with an optional context.Context first, and any results, with an
// optional error last. Close() and Close() error are not offered.
//
// The error lists all problems of the service: types without a wire form, names in use,
// methods that need a pointer to rcvr. Then no method of it is registered. Register
// everything before the server serves.
func (s *Server) RegisterName(service string, rcvr any) error {
	given, perSession, problems := splitFactory(service, rcvr)
	if problems != nil {
		return s.offer(service, nil, nil, problems)
	}
	funcs, problems := method.FuncsOf(service, given)
	return s.offer(service, funcs, perSession, problems)
}

// RegisterFunc offers one func under a full name, such as "Greeter.Hello". A service may
// consist of several funcs, and of the methods of a receiver as well. RegisterFunc knows no
// contract: use RegisterAs for a func of a proxy, or one that wraps it, to keep the tags.
func (s *Server) RegisterFunc(name string, fn any) error {
	service, funcs, problems, err := method.FuncNamed(name, fn)
	if err != nil {
		return err
	}
	return s.offer(service, funcs, nil, problems)
}

// RegisterAs offers only the methods of impl that the contract C names. C is either a
// struct of funcs, as for Bind, with tags for names and formats, or an interface that impl
// implements. A method of impl may omit the context or the error of the struct's func, and
// may be variadic instead of taking a slice. For a *Future[T] it returns a T and an error,
// and for an iter.Seq[T] it takes an iter.Seq2[T, error]. All other types must be equal.
// Errors are those of RegisterName.
//
// If C is a struct, impl may also be a *C without futures: a proxy of another server, from
// Bind, with some of its funcs wrapped if you like, or a literal. RegisterAs copies the
// funcs, so later assignments have no effect. A nil func is an error, unless its tag says
// optional. A forwarding proxy passes on context, deadline and the code of the error; a func
// without a context calls with context.Background.
func RegisterAs[C any](s *Server, service string, impl any) error {
	given, perSession, problems := splitFactory(service, impl)
	if problems != nil {
		return s.offer(service, nil, nil, problems)
	}
	funcs, problems := method.FuncsAs(service, reflect.TypeFor[C](), given)
	return s.offer(service, funcs, perSession, problems)
}

// Methods describes the registered methods, in the order of registration, without those of
// bsrpc.v1. The caller owns the slice.
func (s *Server) Methods() []Method {
	if s.isInitialized() {
		return s.registry.methods()
	}
	return nil
}

// Sessions returns the admitted sessions that have not left, in the order of their ids.
// The caller owns the slice.
func (s *Server) Sessions() []*Session {
	s.mustBeInitialized()
	return s.sessions.admitted()
}

// A GroupInfo describes an exclusive group at one moment.
type GroupInfo struct {
	Name     string
	Holder   *Session   // that has acquired the group, or whose call runs in it; nil if it is free
	Acquired bool       // by Holder, see Session.Acquire; otherwise only its call holds the group
	Since    time.Time  // of Acquired
	Waiting  []*Session // for each call of Session.Acquire or of a method in line, the next one first
}

// Groups returns the exclusive groups of the registered methods, in the order of their names:
// who holds them, and who waits. The caller owns the slices.
func (s *Server) Groups() []GroupInfo {
	s.mustBeInitialized()
	var list []GroupInfo
	for _, g := range s.registry.groups.Status() {
		i := GroupInfo{Name: g.Name, Acquired: g.Owned, Since: g.Since}
		i.Holder, _ = g.Holder.(*Session)
		for _, w := range g.Waiting {
			i.Waiting = append(i.Waiting, w.(*Session))
		}
		list = append(list, i)
	}
	return list
}

// SetHealth says whether a service is ready for calls, for the health checks of its clients: Health
// and WatchHealth of the service bsrpc.v1, see package introspect. "" stands for all services
// together. It has no effect on calls. Every service is ready until SetHealth says otherwise, or
// Shutdown begins. Health is the counterpart.
func (s *Server) SetHealth(service string, serving bool) {
	s.mustBeInitialized()
	s.health.Set(service, serving)
}

// Health reports whether a service is ready for calls, "" all of them together: as SetHealth says,
// before Shutdown and Close, with valid options. An unknown service is not ready. It is for health
// checks of other protocols, and needs neither a session nor rights. As with Serve, nothing can be
// registered afterwards.
func (s *Server) Health(service string) bool {
	s.mustBeInitialized()
	serving, _ := s.health.Get(service)
	return serving && s.begin() == nil && (service == "" || s.registry.Service(service) != nil)
}

// Panics returns the number of handlers and interceptors that ended in a panic or
// runtime.Goexit. Each was one failed call.
func (s *Server) Panics() uint64 {
	s.mustBeInitialized()
	return s.panics.Load()
}

// ListenAndServe listens on a network, as net.Listen does, and calls Serve. The address of a
// unix socket is a path. The socket has the permissions of SocketMode from the beginning, and
// is removed at the end. It replaces the socket of a server that has been killed. Any other
// file, and the socket of a running server, is an error.
func (s *Server) ListenAndServe(network, address string) error {
	s.mustBeInitialized()
	l, err := secure.Listen(network, address, s.settings.access.socketMode)
	if err != nil {
		return fmt.Errorf("bsrpc: %w", err)
	}
	return s.Serve(l)
}

// Serve accepts connections and serves each on new goroutines. It retries temporary errors
// of Accept. It returns ErrServerClosed after Shutdown or Close, otherwise the error of
// Accept, and closes l.
func (s *Server) Serve(l net.Listener) error {
	s.mustBeInitialized()
	if l == nil {
		return errors.New("bsrpc: Serve: nil listener")
	}
	defer l.Close()
	if err := s.begin(); err != nil {
		return err
	}
	if err := secure.CheckListener(l, s.settings.access.tls, s.log, &s.warnExposed); err != nil {
		return publicError(err)
	}
	if !s.track(&l) {
		return ErrServerClosed
	}
	defer s.untrack(&l)
	pause := time.Duration(0)
	for {
		nc, err := secure.Accept(l, s.settings.access.tls)
		if err == nil {
			pause = 0
			go s.serve(nc)
			continue
		}
		if s.isStopping() {
			return ErrServerClosed
		}
		var temporary interface{ Temporary() bool }
		if err = errtree.Sound(err); !errors.As(err, &temporary) || !temporary.Temporary() {
			return fmt.Errorf("bsrpc: accept: %w", err)
		}
		for _, h := range s.handshaking.Relieve() { // there are no descriptors left, probably
			s.interrupt(h)
		}
		pause = min(max(5*time.Millisecond, 2*pause), time.Second)
		s.log.Add(report.Accept, slog.LevelWarn, "bsrpc: accept, trying again", "err", err, "in", pause)
		select {
		case <-time.After(pause):
		case <-s.sessions.draining:
		}
	}
}

// ServeConn serves one connection, any net.Conn (see NewClient), and closes it. It returns
// nil when the client has left, ErrServerClosed after Shutdown or Close, otherwise the
// reason for the end.
func (s *Server) ServeConn(nc net.Conn) error {
	s.mustBeInitialized()
	if nc == nil {
		return errors.New("bsrpc: ServeConn: nil connection")
	}
	if err := s.begin(); err != nil {
		nc.Close()
		return err
	}
	return s.serveConn(nc)
}

// begin ends registration. It returns the error of invalid options.
func (s *Server) begin() error {
	if s.err != nil {
		return s.err
	}
	if s.isStopping() {
		return ErrServerClosed
	}
	return s.registry.close(&s.settings.access)
}

// isStopping reports whether Shutdown or Close has begun.
func (c *closables) isStopping() bool { return c.stopping.Load() }

// track enters a listener to close at the end, unless that has begun.
func (c *closables) track(l *net.Listener) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isStopping() {
		return false
	}
	c.listeners[l] = true
	return true
}

// untrack undoes track.
func (c *closables) untrack(l *net.Listener) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.listeners, l)
}

// connections returns the connections after their handshakes.
func (c *closables) connections() []*serverConn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.connectionsLocked()
}

// connectionsLocked is connections with mu held.
func (c *closables) connectionsLocked() []*serverConn { return slices.Collect(maps.Keys(c.conns)) }

// isInitialized reports whether s comes from NewServer.
func (s *Server) isInitialized() bool { return s != nil && s.registry != nil }

// offer registers the methods of one service. perSession makes their receivers if each session has
// its own.
func (s *Server) offer(service string, funcs []*method.Func, perSession *factory, problems []method.Problem) error {
	if !s.isInitialized() {
		return fmt.Errorf("bsrpc: register %s: nil or zero Server; use NewServer", fault.Cut(service, 64))
	}
	return s.registry.add(service, funcs, perSession, problems)
}

// OnewayErrors returns the number of failed calls of methods with oneway in their tag, those
// made to clients included. The callers do not see these errors. The log has one line a
// second at most.
func (s *Server) OnewayErrors() uint64 {
	s.mustBeInitialized()
	return s.onewayErrors.Load()
}
