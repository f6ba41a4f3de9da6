package bsrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A Server offers methods to clients. Register all of them first, then call
// Serve, ServeConn or ListenAndServe, any number of these at once. Make one with
// NewServer. All methods are safe for concurrent use.
type Server struct {
	dispatcher
	err error // the options are no good: what every way to serve returns

	mu        sync.Mutex // guards the rest
	listeners map[net.Listener]bool
	conns     map[connection]bool
	shaking   []net.Conn        // before the answer to INIT, oldest first
	present   map[*Session]bool // have a place, wait for one, or are leaving
	lastID    uint64            // of a session
	stopping  bool
	ended     sync.WaitGroup // handshakes and connections

	places places
	hooks  hooks
}

// A connection is one that a server has, on either wire.
type connection interface {
	start()         // reads until the connection ends
	drain()         // lets it end when what has been asked is answered
	fail(*Error)    // ends it at once
	join()          // waits until it has ended and its goroutines have, handlers apart
	awaitHandlers() // waits then until its handlers have returned
	logRunning()    // names the handlers that run
	Err() error     // why it has ended
}

// hooks are what the user wants to be called for.
type hooks struct {
	onConnect    func(context.Context, *Session) error
	onDisconnect func(*Session)
}

// NewServer returns a server without methods. It copies opts, which may be nil;
// values out of range are reported when it serves.
func NewServer(opts *ServerOptions) *Server {
	s := &Server{listeners: make(map[net.Listener]bool), conns: make(map[connection]bool), present: make(map[*Session]bool)}
	s.registry = new(registry)
	s.bounds, s.err = opts.resolve()
	s.log = slog.Default()
	if opts != nil {
		s.hooks = hooks{opts.OnConnect, opts.OnDisconnect}
		if opts.Logger != nil {
			s.log = opts.Logger
		}
	}
	s.registry.basic = s.bounds.basic
	s.places.max, s.places.room = s.bounds.maxSessions, s.bounds.maxWaiting
	return s
}

// Register offers every exported method of rcvr, but for Close, as a service
// with the name of rcvr's type, which must be exported. See RegisterName.
func (s *Server) Register(rcvr any) error {
	t := reflect.TypeOf(rcvr)
	if t == nil {
		return errors.New("bsrpc: register: nil receiver")
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name := t.Name()
	if first, _ := utf8.DecodeRuneInString(name); !unicode.IsUpper(first) {
		return fmt.Errorf("bsrpc: register %T: its type has no exported name; use RegisterName", rcvr)
	}
	if !isIdentifier(name) { // List[int]
		return fmt.Errorf("bsrpc: register %T: its type's name cannot be a service's; use RegisterName", rcvr)
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
	methods, problems := methodsOf(service, rcvr)
	return s.registry.add(service, methods, problems)
}

// RegisterFunc offers one func under a full name, as "Greeter.Hello". Funcs of
// one service may be registered one by one, and beside the methods of a receiver.
func (s *Server) RegisterFunc(name string, fn any) error {
	service, short, ok := cutLast(name)
	if !ok || !isIdentifier(short) {
		return fmt.Errorf("bsrpc: register %q: want service.Method", cut(name, 64))
	}
	v := reflect.ValueOf(fn)
	switch {
	case v.Kind() != reflect.Func:
		return fmt.Errorf("bsrpc: register %s: %T is no func", name, fn)
	case v.IsNil():
		return fmt.Errorf("bsrpc: register %s: nil %T", name, fn)
	}
	sig, problems := compileSignature(name, v.Type(), 0, new(codec.MethodTag))
	var methods []*method
	if len(problems) == 0 {
		methods = append(methods, newMethod(service, short, sig, v, owner{}))
	}
	return s.registry.add(service, methods, problems)
}

// RegisterAs offers those methods of impl that the contract C names, and no
// others. C is a struct of funcs, as for Bind, whose tags decide names and
// formats, or an interface, which impl must implement. Against a struct, a method
// of impl may leave out the context or the error and may be variadic for a slice;
// all other types must be the same. Errors are as RegisterName has them.
func RegisterAs[C any](s *Server, service string, impl any) error {
	methods, problems := methodsAs(service, reflect.TypeFor[C](), impl)
	return s.registry.add(service, methods, problems)
}

// Methods describes the registered methods, in the order of registration. The
// slice is the caller's.
func (s *Server) Methods() []Method { return s.registry.methods() }

// Panics returns how many handlers have ended by a panic or runtime.Goexit, each
// of which was one failed call.
func (s *Server) Panics() uint64 { return s.panics.Load() }

// ListenAndServe listens on a network as net.Listen does, and serves. See Serve.
func (s *Server) ListenAndServe(network, address string) error {
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
	defer l.Close()
	if err := s.begin(); err != nil {
		return err
	}
	if !s.track(l) {
		return ErrServerClosed
	}
	defer s.untrack(l)
	pause := time.Duration(0)
	for {
		nc, err := l.Accept()
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
		s.log.Warn("bsrpc: accept, trying again", "err", err, "in", pause)
		time.Sleep(pause)
	}
}

// ServeConn serves one connection, which may be any net.Conn, and closes it. It
// returns nil when the client has left, ErrServerClosed after Shutdown or Close,
// and otherwise why the connection has ended.
func (s *Server) ServeConn(nc net.Conn) error {
	if err := s.begin(); err != nil {
		nc.Close()
		return err
	}
	return s.serve(nc)
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

func (s *Server) track(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	s.listeners[l] = true
	return true
}

func (s *Server) untrack(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

// serve is the life of one connection.
func (s *Server) serve(nc net.Conn) error {
	c, err := s.shake(nc)
	if err == nil {
		return s.lead(c)
	}
	nc.Close()
	if s.isStopping() {
		return ErrServerClosed
	}
	if !errors.Is(err, io.EOF) {
		s.log.Info("bsrpc: client refused", "remote", nc.RemoteAddr(), "err", cut(err.Error(), 256))
	}
	return fmt.Errorf("bsrpc: handshake: %w", err)
}

// shake does the handshake and makes a connection of it.
func (s *Server) shake(nc net.Conn) (connection, error) {
	refuse, err := s.enter(nc)
	if err != nil {
		return nil, err
	}
	defer s.ended.Done()
	nc.SetDeadline(deadlineIn(s.bounds.handshakeTimeout))
	peer, init, err := greet(nc, s.bounds.basic)
	if err == nil && refuse != nil {
		err = &refusal{refuse, peer == nil}
	}
	if err != nil {
		s.shaken(nc, err)
		return nil, err
	}
	v := s.newSession(nc.RemoteAddr())
	if peer == nil {
		s.shaken(nc, nil)
		return s.openBasic(nc, v, init), nil
	}
	answer := s.bounds.hello()
	if err = s.receive(v, answer); err == nil {
		_, err = nc.Write(wire.AppendServerInit(nil, answer))
	}
	s.shaken(nc, err)
	if err != nil {
		s.dismiss(v)
		return nil, err
	}
	return s.open(nc, v, peer, answer.Waits), nil
}

// shaken ends a handshake. A refusal is told.
func (s *Server) shaken(nc net.Conn, err error) {
	var r *refusal
	if errors.As(err, &r) {
		refuseInit(nc, s.bounds, r)
	}
	nc.SetDeadline(time.Time{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shaking = remove(s.shaking, nc)
}

// receive gives a session a place or a position in the queue, and fills in what
// its client is told of that.
func (s *Server) receive(v *Session, answer *wire.Hello) error {
	position, refuse := s.seek(v)
	if refuse != nil {
		return &refusal{err: refuse}
	}
	answer.Waits, answer.Place = position > 0 || s.welcomes(), uint32(position)
	return nil
}

// lead serves c on this goroutine, and then on whichever leads it.
func (s *Server) lead(c connection) error {
	c.start()
	c.join()
	switch {
	case s.isStopping():
		return ErrServerClosed
	case errors.Is(c.Err(), io.EOF):
		return nil
	}
	return c.Err()
}

// enter counts a connection whose handshake begins. Where too many are
// unfinished, the oldest goes; where there are too many connections, it returns
// why this one is refused.
func (s *Server) enter(nc net.Conn) (refuse *Error, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return nil, ErrServerClosed
	}
	s.ended.Add(1)
	s.shaking = append(s.shaking, nc)
	if len(s.shaking) > s.bounds.maxHandshakes {
		s.shaking[0].Close()
		s.shaking = s.shaking[1:]
	}
	if len(s.conns) >= s.bounds.maxConns {
		return refusalf(CodeResourceExhausted, "the server has Limits.MaxConns (%d) connections", s.bounds.maxConns), nil
	}
	return nil, nil
}

// open makes a connection of a native client whose INIT has been answered, and
// lets its session in: at once, or if the client has been told to wait, as soon
// as there is a place.
func (s *Server) open(nc net.Conn, v *Session, peer *wire.Hello, waits bool) *conn {
	c := newConn(context.WithValue(context.Background(), sessionKey{}, v), nc, s.bounds, s.log, peer)
	v.ctx, v.end = c.ctx, c.dismiss
	c.served = &serving{dispatcher: &s.dispatcher, session: v, idle: make(chan struct{})}
	if n := s.bounds.maxConcurrentCalls; n < math.MaxInt {
		c.served.gate = &gate{free: n}
	}
	settled := make(chan struct{}) // closed when nothing more is done to admit it
	c.onEnd = func() { s.remove(c, v, settled) }
	s.enroll(c)
	if !waits {
		s.welcome(v) // runs no code of the user's: nothing refuses it
		close(settled)
		return c
	}
	go func() {
		defer close(settled)
		s.letIn(c, v)
	}()
	return c
}

// openBasic makes a connection of a basic client, whose INIT it answers.
func (s *Server) openBasic(nc net.Conn, v *Session, init basicFrame) *basicConn {
	c := s.newBasicConn(nc, v)
	settled := make(chan struct{})
	close(settled) // what admits it counts as a call
	c.onEnd = func() { s.remove(c, v, settled) }
	c.in.put(init)
	s.enroll(c)
	return c
}

// enroll makes c one of the server's connections. It ends at once if the server
// is stopping.
func (s *Server) enroll(c connection) {
	s.mu.Lock()
	s.conns[c] = true
	s.ended.Add(1)
	stopping := s.stopping
	s.mu.Unlock()
	if stopping {
		c.fail(serverClosed())
	}
}

func serverClosed() *Error {
	return &Error{Code: CodeUnavailable, Message: "server closed", Err: ErrServerClosed}
}

// letIn admits a session that has been told to wait.
func (s *Server) letIn(c *conn, v *Session) {
	moved := func(position int) { c.control(&wire.Frame{Type: wire.Waiting, ID: uint64(position)}) }
	if err := s.admit(v, moved, c.done); err != nil {
		if !v.connected {
			s.places.leave(v.visitor) // nothing of it is left that others must wait for
		}
		c.farewell(s.refused(err), farewellTime, c.awaitPeer)
		return
	}
	c.control(&wire.Frame{Type: wire.Admitted})
}

// remove ends what the server has of a connection that has ended, and lets its
// session leave when its last handler has returned.
func (s *Server) remove(c connection, v *Session, settled <-chan struct{}) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	go func() {
		c.join()
		s.ended.Done()
		<-settled
		c.awaitHandlers()
		s.dismiss(v)
	}()
}

// Shutdown stops the server gracefully: it closes the listeners, refuses those
// who wait and new calls, as not run, and closes each connection when no call of
// it is running and its last answers have been written. It returns nil when all
// sessions have left, OnDisconnect included. When ctx ends first, it does what
// Close does and returns ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	for _, c := range s.stop() {
		c.drain()
	}
	ended := make(chan struct{})
	go func() {
		s.ended.Wait()
		for _, v := range s.sessions() {
			<-v.left
		}
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		s.Close()
		return ctx.Err()
	}
}

// closeGrace is how long Close waits for handlers, whose contexts it has
// cancelled, to return.
const closeGrace = 500 * time.Millisecond

// Close stops the server at once: listeners and connections are closed, and the
// contexts of running handlers cancelled. It does not wait for handlers that
// ignore their context; it logs which those are. Where sessions have receivers of
// their own, or there is an OnDisconnect, it waits until these are closed and that
// has returned, for all sessions whose handlers return within half a second. It
// returns nil.
func (s *Server) Close() error {
	for _, c := range s.stop() {
		c.logRunning()
		c.fail(serverClosed())
	}
	s.ended.Wait()
	if !s.seesOff() {
		return nil
	}
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	for _, v := range s.sessions() {
		select {
		case <-v.quiet:
			<-v.left
		case <-grace.C:
			return nil
		}
	}
	return nil
}

// sessions returns all sessions, also those that wait or are leaving.
func (s *Server) sessions() []*Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.present))
}

// stop takes no new connections, and returns those that there are.
func (s *Server) stop() (conns []connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopping = true
	s.places.close()
	for l := range s.listeners {
		l.Close()
	}
	for _, nc := range s.shaking {
		nc.Close()
	}
	for c := range s.conns {
		conns = append(conns, c)
	}
	return conns
}

// cutLast splits a full name at its last dot.
func cutLast(name string) (service, method string, ok bool) {
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return "", "", false
	}
	return name[:i], name[i+1:], true
}
