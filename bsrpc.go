// Package bsrpc calls ordinary Go methods of another process through an
// ordinary Go struct of functions. The bytes on the wire are derived from the
// types, and both ends prove at the handshake that they mean the same.
//
// A [Server] offers methods, a [Client] is a connection to one, and [Bind] makes
// a proxy: a struct whose funcs call the server.
//
// # Methods
//
// A method has any parameters and any results. It may begin with a
// context.Context, which is done when the caller has gone or its time is over,
// and may end in an error. [Server.Register] and [Server.RegisterName] offer all
// exported methods of a value, [Server.RegisterFunc] one func. Everything that is
// wrong with a service is in one error. Register everything first, then serve.
//
// Many calls of one connection run at once, in no particular order. A method may
// block for as long as it likes. It owns its arguments; what it returns must not
// change afterwards.
//
// # Sessions
//
// A connection that a server has admitted is a [Session]: [SessionFrom] finds it
// in a handler's context, ServerOptions.OnConnect and OnDisconnect see it come and
// go, and [PerSession] gives each a receiver of its own. ServerOptions.MaxSessions
// bounds how many there are: clients above it wait, first come first served.
//
// # Contracts
//
// A contract is a struct of exported func fields, each ending in error:
//
//	type Greeter struct {
//		Hello func(ctx context.Context, name string) (string, error)
//	}
//
// Clients bind it with [Bind]. Servers need none; with [RegisterAs] they offer
// exactly what it names, in the formats that its tags say. A contract may embed
// others, and may name a part of a service.
//
// # Tags
//
// Values travel as fixed-width little-endian numbers, strings and slices behind
// a length. The key bsrpc in the tag of a struct's field says otherwise, and so
// does the tag of a contract's func for its parameters and results:
//
//	Price int64  `bsrpc:"le4"`              // four bytes; what does not fit is an error
//	Name  string `bsrpc:"len=le1,max=32"`   // a length of one byte
//	Raw   []int  `bsrpc:"list,elem=varint"` // a count, and varints
//
// docs/tags.md has all words with their bytes. [Marshal] and [Unmarshal] are the
// codec alone.
//
// # Handshake
//
// [Dial] and [NewClient] exchange what each end is willing to take. [Bind] then
// compares the layout of every method of the contract, which is its canonical
// text, by a hash. Where they differ it returns a [MismatchError] that says
// where and how, and the proxy, whose methods can be called as far as they agree.
// The hash finds honest mistakes; it is not authentication.
//
// # Errors
//
// Every error of a call is, or wraps, an [Error]: a [Code], a message, and an
// [Outcome] that says whether the handler ran. A handler chooses the code by
// returning an *Error itself; any other error is CodeUnknown with its text. A
// panic is one failed call: the caller gets CodeInternal and an id, the server's
// log the stack under that id.
//
// A text that begins with "bsrpc: " is the library's and names the method, any
// other is a handler's. errors.Is finds [context.Canceled] only where the caller's
// own context was cancelled, [context.DeadlineExceeded] only where the call's own
// time was over, and [ErrClosed] where this end has closed the client. A handler
// may return the error of a call to a further server: its code, name and text
// reach the caller as the handler's own.
//
// A call whose context has no deadline ends after ClientOptions.DefaultCallTimeout,
// or after what the tag timeout= of its method says. When a connection is lost,
// its calls end with CodeUnavailable; a Client does not connect again.
//
// # The basic wire
//
// With ServerOptions.Basic a server also serves the clients of the Python package
// basic-socket-rpc, by the id= in the tags of a contract's funcs, and with
// ClientOptions.Basic a client also calls its servers. An error chooses the
// exception that it becomes there by a method ExceptionName() string.
// docs/migrating.md says how to come from that package to this one.
//
// # Limits
//
// What a peer can make this end hold or wait for is bounded by [ServerOptions],
// [ClientOptions] and their [Limits]. Zero is always the default, [NoLimit] no
// limit where that is possible, and the error of whoever meets a limit names it.
// A call that is refused for a limit has not run.
package bsrpc
