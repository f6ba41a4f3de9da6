// Package basic implements the basic wire, the protocol of the Python package
// basic-socket-rpc, at both ends: a Client makes calls over a connection, a Conn serves
// the calls of a client. It knows frames, exceptions and polls, and no method, Go type
// or session.
package basic
