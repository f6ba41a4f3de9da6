package bsrpc

import (
	"context"
	"crypto/tls"
	"io/fs"
	"log/slog"
	"maps"
	"strings"
	"time"

	"github.com/bsrpc/bsrpc/internal/option"
	"github.com/bsrpc/bsrpc/internal/strictmap"
)

// ServerOptions are the options of a [Server]. The zero value has the defaults.
// NewServer copies the options. Values out of range are reported by Serve, ServeConn
// and ListenAndServe.
type ServerOptions struct {
	// MaxMessage limits the size in bytes of a message to this end: the arguments
	// or the results of one call. Outgoing messages are limited by the peer's
	// MaxMessage, or by this value if the peer advertises none (Basic). Zero means
	// 16 MiB; the maximum is 1 GiB.
	MaxMessage int

	// MaxInflight limits the open calls of one connection, from request to answer.
	// It is sent to clients, and their further callers wait. The server refuses
	// a call exceeding it. Zero means 1,024; NoLimit is allowed.
	MaxInflight int

	// HandshakeTimeout limits the time between accepting a connection and
	// answering its first frame. Zero means 10 s; NoLimit is allowed.
	HandshakeTimeout time.Duration

	// MaxSessions limits the sessions at a time; 1 gives exclusive access. Further
	// clients wait, first come, first served, and learn their positions. The queue
	// does not survive a restart of the server. Zero means no limit: clients never
	// wait, and only Limits.MaxConns applies.
	MaxSessions int

	// MaxWaiting limits the clients waiting because of MaxSessions; further
	// clients are refused. Zero means 64; NoLimit is allowed.
	MaxWaiting int

	// RefuseWhenFull makes the server refuse clients exceeding MaxSessions instead
	// of letting them wait.
	RefuseWhenFull bool

	// SessionMaxHold limits the time of a session while other clients wait: for each
	// of them the server closes one session of this age, the oldest first. Zero
	// means NoLimit: a session lasts until its client disconnects or is found dead
	// (Limits.SessionLease).
	SessionMaxHold time.Duration

	// GroupMaxHold limits the time for which a session holds an exclusive group, see
	// Session.Acquire, while others wait for it: then the group is taken from the session as
	// soon as none of its calls runs in the group. Further calls fail with CodeAborted until
	// the session has acquired the group again. Zero means NoLimit.
	GroupMaxHold time.Duration

	// MaxConcurrentCalls limits the calls of one connection running at a time; the
	// others wait in order of arrival. 1 runs the calls of a client one after
	// another. Zero means NoLimit.
	MaxConcurrentCalls int

	// DefaultCallTimeout limits the time of a call to a client, over its Session,
	// without a deadline in its context and without a timeout= tag. Zero means 20 s;
	// NoLimit is allowed.
	DefaultCallTimeout time.Duration

	// MaxStreams limits the open streams of one connection. They count from the
	// request of their call to their own end, apart from MaxInflight. A further call
	// with streams fails at once and has not run. Zero means 1,024; NoLimit is
	// allowed.
	MaxStreams int

	// Basic makes the server serve clients of the Python package basic-socket-rpc
	// too. They call methods by their id= tags; each id must then be unique. Types
	// are not compared with such a client, and it is not authenticated. False
	// refuses them.
	Basic bool

	// OnConnect is called for each admitted session, before its first call. An
	// error refuses the client and is sent to it, with CodePermissionDenied unless
	// it is an *Error. ctx is the context of the session, see SessionFrom. Nil
	// accepts every client. Calls of OnConnect may run concurrently.
	OnConnect func(ctx context.Context, s *Session) error

	// OnDisconnect is called once for each session accepted by OnConnect, after
	// its connection has ended and its last handler has returned. The next waiting
	// client is admitted only after OnDisconnect has returned.
	OnDisconnect func(s *Session)

	// TLS makes the server speak TLS on each connection. NewServer copies it. MinVersion
	// zero means TLS 1.3; tls.VersionTLS12 is allowed. With ClientCAs, clients need a
	// certificate of these authorities, unless ClientAuth says otherwise. A listener or
	// connection that is TLS already is an error then. Nil means without TLS.
	TLS *tls.Config

	// Authenticate decides who a client is: from p, the credentials it has sent, or both. It
	// is called for each connection, after the TLS handshake and before anything else of
	// the client is read; without ClientOptions.Credentials c is the zero value. It sets
	// the Name and Roles of p. With an error the client is refused and learns only that
	// it is unauthenticated: the text is for the log, where it has the id that the client
	// gets. Do not put a token into it; compare tokens with Credentials.HasToken. Calls
	// may run concurrently, Limits.MaxHandshakes of them at most, half of that for one
	// address, each within HandshakeTimeout, the deadline of ctx. Clients of the basic wire are refused. Nil
	// admits every client, without a name and roles.
	Authenticate func(ctx context.Context, p *Peer, c Credentials) error

	// Roles are the roles that may call methods, in addition to those in tags:
	// {"Greeter.Hello": "admin|operator", "Greeter.*": "*"}. A key is a method, or a service
	// with ".*"; a value has names separated by |, or is * for every client. An entry for
	// a method replaces its tag, and the tag replaces the entry for the service. If any
	// method has roles, all methods need some, and Serve returns an error with the list
	// of the others. A client without one of the roles can bind a method, but its calls
	// fail with CodePermissionDenied. Clients of the basic wire are refused. NewServer
	// copies the map.
	Roles map[string]string

	// Authorize is called for each call of a method that the roles allow, before it waits
	// for an exclusive group or reaches an interceptor. Its error denies the call, which
	// has not run, and is sent, with CodePermissionDenied unless it is an *Error. ctx is
	// the context of the call, with its metadata. Calls run concurrently. Clients of the
	// basic wire are refused. Nil denies nothing.
	Authorize func(ctx context.Context, s *Session, m Method) error

	// OperatorRole is the role that may call Sessions, Groups and Counters of the service
	// bsrpc.v1, see package introspect. Processes of the same user may, over a unix socket,
	// and without OperatorRole and Authenticate also clients on the same machine, by a
	// loopback address. Empty means no role.
	OperatorRole string

	// HideDescription makes the server describe no methods: Services and Methods of
	// bsrpc.v1 are absent, Client.Call finds no method, and errors suggest no similar names.
	// Bind still compares contracts: a client that knows the name of a method can learn its
	// layout unless Roles deny it the method. False describes to each client the methods
	// that it may call.
	HideDescription bool

	// SocketMode has the permissions of the unix sockets made by ListenAndServe; everybody
	// with permission to write may connect. Zero means 0600: only the user of the server,
	// and root.
	SocketMode fs.FileMode

	// Errors gives errors an identity at both ends. A key is a name of letters, digits,
	// ".", "_" and "-", such as "shop.no_stock"; it becomes Error.Name. A value is an
	// error, found at the caller by errors.Is, or a type, found by errors.As and
	// written as a nil pointer or a zero value: (*shop.LimitError)(nil). The exported
	// fields of a type travel like those of a parameter, and its other fields are zero
	// at the caller. The errors may be wrapped and joined; the first eight travel.
	// fs.ErrNotExist, ErrExist, ErrPermission, ErrInvalid and ErrClosed,
	// io.ErrUnexpectedEOF and errors.ErrUnsupported need no entry, and neither does
	// io.EOF, returned as it is. NewServer copies the map.
	Errors map[string]error

	// Interceptors wrap the handlers of all methods, on both wires; the first is
	// the outermost. They run after the wait for an exclusive group and for
	// MaxConcurrentCalls, with the context of the call, see Interceptor. NewServer
	// calls each Interceptor once. Nil means none.
	Interceptors []Interceptor

	// OutgoingInterceptors wrap the calls of the server to its clients, over their
	// sessions, as ClientOptions.Interceptors do at a client. Nil means none.
	OutgoingInterceptors []Interceptor

	// OnRefused is called for each call that the server refuses before it reaches the
	// interceptors: of an unknown method, above a limit, with arguments that cannot be
	// decoded, canceled while it waits. ctx is the context of the session. The Method of
	// an unknown method has the name "unknown". Calls of OnRefused do not overlap, and
	// may come after the answer; if 1,024 of them wait, further ones are dropped and
	// counted in the log. Nil means that nothing is called.
	OnRefused func(ctx context.Context, s *Session, m Method, err *Error)

	// Limits are further limits, seldom changed.
	Limits Limits

	// Logger receives events outside calls, and the stacks of panics: at Debug the
	// beginning and end of connections, at Info and above everything for an
	// operator. Events repeatable by clients are logged at most ten times a second, at
	// Debug a hundred times; the next line counts the suppressed ones. Nil means slog.Default(). If its
	// slog.Handler panics, the line is lost. If it hangs for a second, further
	// lines are dropped until it returns.
	Logger *slog.Logger
}

// ClientOptions are the options of a [Client]. The zero value has the defaults. Dial
// and NewClient copy the options, and report values out of range.
type ClientOptions struct {
	// MaxMessage limits the size in bytes of a message to this end: the arguments
	// or the results of one call. Outgoing messages are limited by the peer's
	// MaxMessage, or by this value if the peer advertises none (Basic). Zero means
	// 16 MiB; the maximum is 1 GiB.
	MaxMessage int

	// DialTimeout limits the time to connect, up to the server's answer to the first
	// frame. It does not include the wait for admission. Zero means 10 s; NoLimit
	// leaves the limit to the context of Dial.
	DialTimeout time.Duration

	// DefaultCallTimeout limits the time of a call without a deadline in its
	// context and without a timeout= tag. Zero means 20 s; NoLimit is allowed.
	DefaultCallTimeout time.Duration

	// NoReconnect makes the client end with its first connection. False replaces a lost
	// connection where its server says that a new session lacks nothing that the old one
	// had, and always with OnReconnect. A client from NewClient does not reconnect.
	NoReconnect bool

	// OnReconnect prepares a new connection of a client from Dial, before its calls. The
	// *Client given is that connection alone: bind proxies on it to log in or to set
	// state, and do not close it. ctx ends with the client. Meanwhile the calls of all
	// other proxies wait, within their time. An error closes the connection, and the
	// client goes on trying. With OnReconnect, connections of all servers are replaced,
	// also with Handlers, on the basic wire, and after a call has stored something in its
	// session. Nil means that nothing is called.
	OnReconnect func(ctx context.Context, c *Client) error

	// OnState is called with each change of the state of a client from Dial. Calls do not
	// overlap and may come late; if 16 of them wait, the oldest are dropped. Nil means
	// that nothing is called.
	OnState func(state State)

	// WaitForReady makes calls without a connection wait for one, within their time.
	// False fails them at once, with the reason of the last failed attempt to connect;
	// only while an attempt is under way they wait. WithWaitForReady is the same for the
	// calls of a context. At most 1,024 calls wait, with 8 MiB of arguments.
	WaitForReady bool

	// Endpoints returns the addresses of servers with the same methods; DNS makes one. The
	// client keeps a connection to each, at most MaxEndpoints, and a call goes to the one
	// with fewest open calls. Once a call has stored something in its session, the client
	// uses that connection alone. Endpoints is called by Dial, whose network and address
	// must be empty, when a connection is lost, and every 30 s; an error or an empty
	// list changes nothing. Each call has DialTimeout, 30 s at most. Nil means the address
	// given to Dial.
	Endpoints func(ctx context.Context) ([]Endpoint, error)

	// MaxEndpoints limits the endpoints used at a time. Of more, those with a connection stay,
	// and then the first ones count. Zero means 8; the maximum is 64.
	MaxEndpoints int

	// Handlers has the methods that the server may call at this client, over the same
	// connection. It is registered like the methods of any server, and need not
	// serve. A Session in its handlers stands for the server. Its options MaxInflight,
	// MaxStreams and Limits.MaxHandlers limit the calls of the server. Options for
	// sessions, such as OnConnect, are errors there. Its Shutdown refuses further calls and waits
	// for the running ones; the connection stays. Nil means none.
	Handlers *Server

	// Basic makes the client accept servers of the Python package basic-socket-rpc
	// too. Methods are called there by their id= tags, and types are not compared
	// with such a server. False refuses them.
	Basic bool

	// PollInterval is the time between two polls of a client waiting for admission
	// by a basic server. Zero means 250 ms; the maximum is 30 s, because the server
	// may remove a client from its queue after a longer silence.
	PollInterval time.Duration

	// OnWait is called if the client has to wait for admission, and then for changes
	// of its position in the queue: 1 is next, 0 means unknown. Calls do not
	// overlap, and all begin before Dial or NewClient returns. During a call only
	// the newest position is kept. A panic in OnWait becomes the error of Dial.
	// After admission, Dial waits at most half a second for the last call to return.
	// Nil means that positions are ignored.
	OnWait func(position int)

	// TLS makes the client speak TLS. Dial and NewClient copy it. MinVersion zero means
	// TLS 1.3; tls.VersionTLS12 is allowed. The certificate of the server must have
	// ServerName as a name; Dial sets an empty one to the host of the address. A
	// connection given to NewClient must not be TLS already. Nil means without TLS.
	TLS *tls.Config

	// Credentials returns the credentials of the client, for ServerOptions.Authenticate. It
	// is called for each connection, after the TLS handshake and within DialTimeout; its
	// error becomes that of Dial. They are sent to a server verified by TLS, and over a
	// unix socket to a server of the same user or of root. Nil sends none.
	Credentials func(ctx context.Context) (Credentials, error)

	// InsecureCredentials allows to send Credentials to every server, without TLS too:
	// others may read them. For connections in memory, and for networks that only
	// trusted machines can reach.
	InsecureCredentials bool

	// Errors are the identities of errors from the server, as ServerOptions.Errors. Both
	// ends list the same names and errors. An error listed at one end only is not found,
	// and neither is a type that differs between the ends. The list is that of the calls
	// which the client makes, with their streams and callbacks. The options of Handlers
	// have the list of the calls to it.
	Errors map[string]error

	// Interceptors wrap all calls of the client, those of Client.Call included, on both
	// wires; the first is the outermost. A call without a deadline in its context gets
	// one before them, from its timeout= or DefaultCallTimeout. Dial and NewClient call
	// each Interceptor once. Nil means none.
	Interceptors []Interceptor

	// Limits are further limits, seldom changed. MaxHandshakes, MaxConns, MaxHandlers,
	// SessionLease, and those of one peer have an effect only at servers.
	Limits Limits

	// Logger receives events outside calls, as ServerOptions.Logger. Nil means
	// slog.Default().
	Logger *slog.Logger
}

// DecodeServerOptions returns the options described by a map, for example the content
// of a configuration file. Keys are names of fields, in any case, with or without a -
// or _ between words; Limits is a map of its own. Durations are strings with a unit,
// sizes are numbers or strings, and "NoLimit" is [NoLimit]:
//
//	map[string]any{
//		"max-message":       "64MiB",
//		"handshake_timeout": "5s",
//		"limits":            map[string]any{"MaxConns": 100, "WriteStall": "NoLimit"},
//	}
//
// The error lists all unknown, repeated and unsuitable keys, with the expected and
// the given kind of value, but never the value itself. Numbers out of range are
// reported later, by Serve. Logger and hooks cannot be in the map.
func DecodeServerOptions(m map[string]any) (*ServerOptions, error) {
	o := new(ServerOptions)
	if err := strictmap.Decode(m, o); err != nil {
		return nil, option.Error("ServerOptions", strings.Split(err.Error(), "\n"))
	}
	return o, nil
}

// DecodeClientOptions returns the options described by a map, like
// [DecodeServerOptions].
func DecodeClientOptions(m map[string]any) (*ClientOptions, error) {
	o := new(ClientOptions)
	if err := strictmap.Decode(m, o); err != nil {
		return nil, option.Error("ClientOptions", strings.Split(err.Error(), "\n"))
	}
	return o, nil
}

// resolve returns the settings for o, and an error listing all values out of range.
// The settings are valid even then: they have the defaults in place of such values. A
// nil o means the zero value.
func (o *ServerOptions) resolve() (*settings, error) {
	if o == nil {
		o = new(ServerOptions)
	}
	return resolve("ServerOptions", &option.Options{
		MaxMessage: o.MaxMessage, MaxInflight: o.MaxInflight, HandshakeTimeout: o.HandshakeTimeout, Limits: option.Limits(o.Limits),
		MaxSessions: o.MaxSessions, MaxWaiting: o.MaxWaiting, RefuseWhenFull: o.RefuseWhenFull,
		SessionMaxHold: o.SessionMaxHold, GroupMaxHold: o.GroupMaxHold, MaxConcurrentCalls: o.MaxConcurrentCalls, MaxStreams: o.MaxStreams, Basic: o.Basic,
		DefaultCallTimeout: o.DefaultCallTimeout, Errors: o.Errors,
	}, access{tls: o.TLS, authenticate: o.Authenticate, roles: maps.Clone(o.Roles), socketMode: o.SocketMode, operatorRole: o.OperatorRole, hides: o.HideDescription}, o.Interceptors, o.OutgoingInterceptors)
}

// resolve returns the settings for o, like ServerOptions.resolve.
func (o *ClientOptions) resolve() (*settings, error) {
	if o == nil {
		o = new(ClientOptions)
	}
	return resolve("ClientOptions", &option.Options{
		MaxMessage: o.MaxMessage, DialTimeout: o.DialTimeout, DefaultCallTimeout: o.DefaultCallTimeout, Limits: option.Limits(o.Limits),
		Basic: o.Basic, PollInterval: o.PollInterval, MaxEndpoints: o.MaxEndpoints, Errors: o.Errors,
	}, access{tls: o.TLS, credentials: o.Credentials, insecure: o.InsecureCredentials}, o.Interceptors, nil)
}
