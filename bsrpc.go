// Package bsrpc calls ordinary Go methods of another process through an
// ordinary Go struct of functions. It needs no schema file and no generated
// code: the bytes on the wire follow from the Go types, and [Bind] verifies
// that both ends agree on every type.
//
// A [Server] serves methods. A [Client] is a connection to a server. [Bind]
// creates a proxy, a struct of funcs, each calling one method of the server.
//
// # Methods
//
// A method has any parameters and any results. Its first parameter may be a
// context.Context, and its last result an error. The context is done as soon as
// the caller cancels the call, disconnects or runs out of time.
//
// [Server.Register] and [Server.RegisterName] register all exported methods of a
// value, [Server.RegisterFunc] registers one func. All problems of a service are
// reported in one error. Register everything before serving.
//
// The calls of a connection run concurrently, in no particular order, and a
// method may block. A method owns its arguments. Results must not change after
// the method has returned them.
//
// # Streams, callbacks, and calls without waiting
//
// A parameter iter.Seq2[T, error] or io.Reader, and a result iter.Seq2[T, error] or
// io.ReadCloser, is a stream: its parts travel while the handler runs. Breaking out of
// a range cancels the call.
//
// A parameter func is a callback: the handler calls it, and it runs at the caller,
// until the call is over. A [Server] in ClientOptions.Handlers has methods for calls
// at any time: a server binds them with [Bind] over a [*Session].
//
// A func returning a [*Future], or with the word oneway in its tag, returns once its
// request is in the send queue. docs/calls.md compares all kinds of calls.
//
// # Metadata
//
// [Metadata] is values beside the arguments and results of a call. [WithMetadata]
// sends them, [MetadataFrom] reads them in a handler. [SetReplyMetadata] and
// [WithReplyMetadata] do the same for the reply, with results or an error. Nothing
// is passed on by itself.
//
// # Sessions
//
// A [Session] is one client of a server, from its admission until its last
// handler has returned. [SessionFrom] returns the session of a handler's context.
// ServerOptions.OnConnect and OnDisconnect run at its beginning and end, and
// [PerSession] creates a receiver for each session. ServerOptions.MaxSessions
// limits the number of sessions; further clients wait, first come, first served.
//
// # Contracts
//
// A contract is a struct of exported func fields, each returning an error last. A
// stream or a [*Future] may be its only result, and contains the error then:
//
//	type Greeter struct {
//		Hello func(ctx context.Context, name string) (string, error)
//	}
//
// Clients bind a contract with [Bind]. Servers do not need one, but with
// [RegisterAs] they register exactly the methods of a contract, in the formats of
// its tags. A contract may embed other contracts, and may describe only a part of
// a service.
//
// # Tags
//
// By default numbers have a fixed width and are little-endian, and strings and
// slices have a length before their content. Tags with the key bsrpc choose other
// formats: on a field of a struct, or on a func of a contract for its parameters
// and results.
//
//	Price int64  `bsrpc:"le4"`              // four bytes; a larger value is an error
//	Name  string `bsrpc:"len=le1,max=32"`   // a length of one byte
//	Raw   []int  `bsrpc:"list,elem=varint"` // a count, and varints
//
// docs/tags.md lists all words with their bytes. [Marshal] and [Unmarshal] use
// the codec without a connection, a [Decoder] and an [Encoder] for records one
// behind another, in files and on serial lines.
//
// # Handshake
//
// [Dial] and [NewClient] exchange the protocol version and the limits of both
// ends. [Bind] then compares the hash of every method's layout, a canonical text
// of its name and types. If any differ, Bind returns a [MismatchError] with every
// difference, together with a proxy; methods without a difference can be called.
// The hash detects mistakes. It does not authenticate the peer.
//
// # Errors
//
// Every failed call returns an [*Error], possibly wrapped, with a [Code], a
// message, and an [Outcome]: whether the handler ran. A handler chooses the code
// by returning an *Error. Any other error gets CodeUnknown and keeps its text. A
// panic fails only its own call: the caller gets CodeInternal and an id, and the
// server logs the stack with the same id.
//
// ServerOptions.Errors and ClientOptions.Errors list errors and error types by
// name. Those of a handler are then found by errors.Is and errors.As at the caller.
//
// Messages by the library begin with "bsrpc: " and name the method; all others
// are by a handler. errors.Is matches [context.Canceled] only if the caller's own
// context was cancelled, [context.DeadlineExceeded] only if the call's own time
// limit expired, and [ErrClosed] only if this end closed the client. A handler may
// return the error of a call to another server: its code, name, text and
// identities reach the caller as the handler's own.
//
// A call without a deadline ends after the timeout= tag of its method, or else
// after ClientOptions.DefaultCallTimeout. If the connection is lost, its calls
// fail with CodeUnavailable. A client from Dial then connects again, and its
// proxies go on working, if the sessions of the server hold nothing; elsewhere with
// ClientOptions.OnReconnect. A call is sent again only if it has surely not run, or
// if the tag of its method has idempotent.
//
// # The basic wire
//
// With ServerOptions.Basic a server also serves clients of the Python package
// basic-socket-rpc, and with ClientOptions.Basic a client also calls its servers.
// The id= tags of a contract number the methods there. An error with the method
// ExceptionName() string chooses the name of its exception. docs/migrating.md
// explains how to migrate from that package.
//
// # Description
//
// Every server has the service bsrpc.v1, in which it describes its methods and says whether
// they are ready for calls, see [Server.SetHealth]. Package introspect has its contract.
//
// # Limits
//
// [ServerOptions], [ClientOptions] and [Limits] limit the memory, time and number
// of everything a peer can cause. In each option zero means the default, and
// [NoLimit] removes a limit if its documentation allows that. An error caused by a
// limit names it. A call refused because of a limit has not run.
package bsrpc
