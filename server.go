package bsrpc

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/report"
)

// A Server offers methods to clients. Register all of them first, then call
// Serve, ServeConn or ListenAndServe, any number of these at once. Make one with
// NewServer. All methods are safe for concurrent use.
type Server struct {
	dispatcher
	err error // the options are no good: what every way to serve returns

	sessions   sessions
	handshakes sync.WaitGroup // Add with mu, while the server is not stopping

	// Users' listeners and connections may be of types that are not comparable:
	// what is kept of them are pointers of the server's own.
	mu        sync.Mutex // guards the rest
	listeners map[*net.Listener]bool
	shaking   []*net.Conn // before the answer to INIT, oldest first
	conns     map[*serverConn]bool
	stopping  bool
}

// NewServer returns a server without methods. It copies opts, which may be nil;
// values out of range are reported when it serves.
func NewServer(opts *ServerOptions) *Server {
	s := &Server{listeners: make(map[*net.Listener]bool), conns: make(map[*serverConn]bool)}
	s.registry = new(registry)
	s.settings, s.err = opts.resolve()
	log := slog.Default()
	if opts != nil {
		s.sessions.hooks = hooks{opts.OnConnect, opts.OnDisconnect}
		log = cmp.Or(opts.Logger, log)
	}
	s.log = report.New(log)
	s.registry.table.ByID = s.settings.basic
	s.budget.Init(s.settings.serverBytes)
	s.sessions.init(&s.dispatcher)
	return s
}

// mustBeMade panics with what is missing.
func (s *Server) mustBeMade() {
	if !s.isMade() {
		panic("bsrpc: nil or zero Server; use NewServer")
	}
}

// Register offers every exported method of rcvr, but for Close, as a service
// with the name of rcvr's type, which must be exported. See RegisterName.
func (s *Server) Register(rcvr any) error {
	if rcvr == nil {
		return errors.New("bsrpc: register: nil receiver")
	}
	name, err := serviceName(rcvr)
	if err != nil {
		return err
	}
	return s.RegisterName(name, rcvr)
}

// RegisterName offers every exported method of rcvr as a method of a service.
// The service's name is identifiers with dots between, as lab.v1.Scope. A method
// has any parameters, first a context.Context if it likes, and any results, last
// an error if it likes. Close() and Close() error are not offered.
//
// Everything that is wrong with the service is in the one error, and then
// nothing of it is registered: types without a wire form, names that are taken,
// methods that need a pointer to rcvr. Registering is over when the server serves.
func (s *Server) RegisterName(service string, rcvr any) error {
	given, perSession, problems := splitFactory(service, rcvr)
	if problems != nil {
		return s.offer(service, nil, nil, problems)
	}
	funcs, problems := method.FuncsOf(service, given)
	return s.offer(service, funcs, perSession, problems)
}

// RegisterFunc offers one func under a full name, as "Greeter.Hello". Funcs of
// one service may be registered one by one, and beside the methods of a receiver.
// It knows no contract, so the tags of one do not hold: a func of a proxy, or one
// around it, keeps them by RegisterAs.
func (s *Server) RegisterFunc(name string, fn any) error {
	service, short, ok := method.SplitName(name)
	if !ok || !method.IsIdentifier(short) {
		return fmt.Errorf("bsrpc: register %q: want service.Method", fault.Cut(name, 64))
	}
	v, err := funcOf(name, fn)
	if err != nil {
		return err
	}
	var funcs []*method.Func
	f, problems := method.FuncOf(service, short, v)
	if f != nil {
		funcs = append(funcs, f)
	}
	return s.offer(service, funcs, nil, problems)
}

// RegisterAs offers those methods of impl that the contract C names, and no
// others. C is a struct of funcs, as for Bind, whose tags decide names and
// formats, or an interface, which impl must implement. Against a struct, a method
// of impl may leave out the context or the error and may be variadic for a slice;
// all other types must be the same. Errors are as RegisterName has them.
//
// Where C is a struct, impl may also be a *C: the proxy of another server that
// Bind made, one with some of its funcs wrapped, or a literal. The funcs are
// copied when they are registered, so setting a field later changes nothing. A
// nil func is an error. What a proxy forwards keeps context, deadline and the
// error's code; a func without a context calls with context.Background.
func RegisterAs[C any](s *Server, service string, impl any) error {
	given, perSession, problems := splitFactory(service, impl)
	if problems != nil {
		return s.offer(service, nil, nil, problems)
	}
	funcs, problems := method.FuncsAs(service, contractType[C](), given)
	return s.offer(service, funcs, perSession, problems)
}

// Methods describes the registered methods, in the order of registration. The
// slice is the caller's.
func (s *Server) Methods() []Method {
	if s.isMade() {
		return s.registry.methods()
	}
	return nil
}

// Sessions returns the admitted sessions that have not left, in the order of their ids.
// The slice is the caller's.
func (s *Server) Sessions() []*Session {
	s.mustBeMade()
	return s.sessions.admitted()
}

// Panics returns how many handlers have ended by a panic or runtime.Goexit, each
// of which was one failed call.
func (s *Server) Panics() uint64 {
	s.mustBeMade()
	return s.panics.Load()
}

// ListenAndServe listens on a network as net.Listen does, and serves. See Serve.
func (s *Server) ListenAndServe(network, address string) error {
	s.mustBeMade()
	l, err := net.Listen(network, address)
	if err != nil {
		return fmt.Errorf("bsrpc: %w", err)
	}
	return s.Serve(l)
}

// Serve accepts connections and serves each on goroutines of its own. It returns
// ErrServerClosed after Shutdown or Close, and otherwise why it cannot accept
// any longer; what is temporary it tries again. It closes l.
func (s *Server) Serve(l net.Listener) error {
	s.mustBeMade()
	if l == nil {
		return errors.New("bsrpc: Serve: nil listener")
	}
	defer l.Close()
	if err := s.begin(); err != nil {
		return err
	}
	if !s.track(&l) {
		return ErrServerClosed
	}
	defer s.untrack(&l)
	pause := time.Duration(0)
	for {
		nc, err := l.Accept()
		if err == nil && nc == nil {
			err = errors.New("the listener returned neither a connection nor an error")
		}
		if err == nil {
			pause = 0
			go s.serve(nc)
			continue
		}
		if s.isStopping() {
			return ErrServerClosed
		}
		var temporary interface{ Temporary() bool }
		if !errors.As(err, &temporary) || !temporary.Temporary() {
			return fmt.Errorf("bsrpc: accept: %w", err)
		}
		pause = min(max(5*time.Millisecond, 2*pause), time.Second)
		s.log.Add(report.Accept, slog.LevelWarn, "bsrpc: accept, trying again", "err", err, "in", pause)
		select {
		case <-time.After(pause):
		case <-s.sessions.draining:
		}
	}
}

// ServeConn serves one connection, which may be any net.Conn (see NewClient), and closes it. It
// returns nil when the client has left, ErrServerClosed after Shutdown or Close,
// and otherwise why the connection has ended.
func (s *Server) ServeConn(nc net.Conn) error {
	s.mustBeMade()
	if nc == nil {
		return errors.New("bsrpc: ServeConn: nil connection")
	}
	if err := s.begin(); err != nil {
		nc.Close()
		return err
	}
	return s.serveConn(nc)
}

// begin ends the time to register.
func (s *Server) begin() error {
	if s.err != nil {
		return s.err
	}
	if s.isStopping() {
		return ErrServerClosed
	}
	s.registry.close()
	return nil
}

func (s *Server) isStopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping
}

func (s *Server) track(l *net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	s.listeners[l] = true
	return true
}

func (s *Server) untrack(l *net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

// isMade reports whether s comes from NewServer.
func (s *Server) isMade() bool { return s != nil && s.registry != nil }

// offer adds the methods of one service to those of the server. perSession makes their
// receivers, if each session has its own.
func (s *Server) offer(service string, funcs []*method.Func, perSession *factory, problems []method.Problem) error {
	if !s.isMade() {
		return fmt.Errorf("bsrpc: register %s: nil or zero Server; use NewServer", fault.Cut(service, 64))
	}
	return s.registry.add(service, funcs, perSession, problems)
}
