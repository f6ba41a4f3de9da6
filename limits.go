package bsrpc

import (
	"time"

	"github.com/bsrpc/bsrpc/internal/option"
)

// NoLimit removes the limit of an option, if the documentation of its field allows
// that. Zero always means the default.
const NoLimit = -1

// Limits limit the memory, time and number of things a peer can cause at this end. In
// each field zero means the default, and a call refused because of a limit has not run.
type Limits struct {
	// MaxDepth limits the nesting of values: slices, maps and pointers count.
	// Zero means 64; the maximum is 10,000, as each level takes stack.
	MaxDepth int

	// DecodeBudget limits the Go memory in bytes for one decoded message. It is
	// charged before each allocation. Zero means 4 x MaxMessage, or 64 MiB if that
	// is more; NoLimit is allowed.
	DecodeBudget int64

	// MaxErrorText limits the bytes of an error text to be sent; longer texts are
	// cut. Zero means 4 KiB; the maximum is 32 KiB.
	MaxErrorText int

	// MaxHandshakes limits the connections to a server in their handshake. A
	// further connection replaces the oldest one of the address with the most of
	// them; an IPv6 network of 64 bits is one address, and so is a user at a unix
	// socket. Zero means 256; NoLimit is allowed.
	MaxHandshakes int

	// MaxConns limits the connections to a server; further ones are refused. A
	// connection counts until its last handler and its hooks have returned. Zero
	// means 10,000; NoLimit is allowed.
	MaxConns int

	// MaxHandlers limits the running handlers of a server, on all connections
	// together; further calls are refused. The last sixteenth is for connections
	// with at most five of them. Zero means 16,384; NoLimit is allowed.
	MaxHandlers int

	// ConnBytes limits the unfinished messages above 64 KiB on one connection: the
	// sum of their announced sizes, in each direction. It is sent to the peer, and
	// the peer's further long messages wait. This end refuses a call exceeding it.
	// Unfinished items of streams, above the window of their stream, have the same
	// limit again, and wait for each other. The minimum is 2 x MaxMessage. Zero
	// means 32 MiB, or the minimum if that is more; NoLimit is allowed.
	ConnBytes int64

	// ServerBytes limits the received bytes of the unfinished messages of all
	// connections to a server together. Above it one older than a second is refused, the
	// one that makes the least progress, and otherwise the one that has received the bytes.
	// Requests that wait to be decoded, for instance for an exclusive group, and
	// the bytes of streams that wait to be read, have the same limit again: one
	// connection may have what all of them leave free, so at most half, but always
	// 64 KiB, or a sixteenth of the limit if that is less. Above it
	// a request is refused, and a stream ends. So have the windows lent by ConnWindow, once
	// more; above it none grows. Everything that waits to be read by clients has four times the
	// limit: above it the connection with the most is closed, unless it is the only
	// one with more than 64 KiB. At a client it limits its one connection, or all clients
	// with the same Handlers, which set it. The minimum is MaxMessage, or 4 x StreamWindow if
	// that is set and more. Zero means 512 MiB, ConnBytes, or 4 x StreamWindow, the largest of
	// them; NoLimit is allowed.
	ServerBytes int64

	// StreamWindow limits the bytes of a stream that wait to be read at this end.
	// Each open stream has a window of its own, so a stream that nothing reads
	// delays no other. Zero means 64 KiB, or a quarter of ServerBytes if that is less; 1 KiB to
	// 1 GiB are allowed.
	StreamWindow int

	// ConnWindow limits the growth of the windows of all streams of a connection
	// together. A window grows while its reader waits for the peer, to at most a
	// quarter of ConnWindow above StreamWindow. Zero means 4 MiB; 1 GiB is the
	// maximum.
	ConnWindow int

	// OutQueue limits the encoded bytes waiting to be written to a connection.
	// Above it senders wait, results of running calls stay unencoded, and a server
	// starts no further calls of the connection. An empty queue accepts a message
	// of any length, and messages up to 64 KiB do not wait for the longest of the
	// others. Zero means 8 MiB; NoLimit is allowed.
	OutQueue int

	// WriteStall limits the time in which a peer reads nothing although bytes wait
	// to be written: not one byte of a socket, less than 64 KiB of another
	// net.Conn. Then the connection is closed. Zero means 10 s, the minimum is
	// 10 ms; NoLimit is allowed.
	WriteStall time.Duration

	// FrameTimeout limits the time between the beginning and the end of a frame,
	// and the time between two frames of a message above 64 KiB, or of an item above
	// the window of its stream. The first ends the connection, the others only the
	// call or stream. Zero means 60 s, the minimum is 10 ms;
	// NoLimit is allowed.
	FrameTimeout time.Duration

	// PingAfter is the time after which a PING is sent to a silent peer, and
	// PingTimeout limits the time to answer it; then the connection is lost. Zero
	// means 30 s and 20 s, the minimum is 10 ms; NoLimit is allowed.
	PingAfter   time.Duration
	PingTimeout time.Duration

	// SessionLease replaces PingAfter and PingTimeout at a server with MaxSessions,
	// because dead clients keep others waiting there: each is half of it. So it does at
	// every server while a session holds an exclusive group or waits for one. At every
	// server it also limits the time in which a client reads nothing of a stream
	// with a full window, if other calls wait for the place of the call in
	// MaxConcurrentCalls, or for its exclusive group: then the stream fails with
	// CodeAborted. Zero means 20 s, the minimum is 20 ms; NoLimit is allowed.
	SessionLease time.Duration

	// PeerConns limits the connections of one peer to a server, and PeerWaiting those that
	// wait for admission; further ones are refused. PeerCallRate limits the calls of a
	// peer in a second, and at once; further ones are refused. A peer is a name given by
	// Authenticate, the names of a verified certificate, a user at a unix socket, or else an
	// address; an IPv6 network of 64 bits is one. Zero and NoLimit mean no limit.
	PeerConns    int
	PeerWaiting  int
	PeerCallRate int
}

// settings are the options of an end, server or client, with every default filled in. They
// never change after resolve.
type settings struct {
	option.Settings
	chain    CallFunc // the interceptors; nil for none
	outgoing CallFunc // those of a server's calls to clients; nil for none
	access   access
}

// resolve returns the settings for o and the other options. of is their type, for the error.
func resolve(of string, o *option.Options, a access, chain, outgoing []Interceptor) (*settings, error) {
	var c option.Check
	s := &settings{Settings: *o.Resolve(&c), access: a}
	s.Owner = "the client's"
	if of == "ServerOptions" {
		s.Owner = "the server's"
	}
	s.chain = compose(&c, "Interceptors", chain)
	s.outgoing = compose(&c, "OutgoingInterceptors", outgoing)
	s.access.resolve(&c, of == "ServerOptions", s.Basic)
	return s, c.Err(of)
}

// compose returns the interceptors of all calls, one within the other, nil without any.
func compose(c *option.Check, name string, list []Interceptor) CallFunc {
	if len(list) == 0 {
		return nil
	}
	last := CallFunc(carryOut)
	for i := len(list) - 1; i >= 0; i-- {
		if list[i] == nil {
			c.Add("%s: element %d is nil", name, i)
			return nil
		}
		if last = list[i](last); last == nil {
			c.Add("%s: element %d returned nil; want a CallFunc that calls next", name, i)
			return nil
		}
	}
	return last
}
