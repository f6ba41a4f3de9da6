// Package hello reads the first frames of a connection, at either end, and explains why a
// handshake has failed: a peer may speak TLS, HTTP, the basic wire, or nothing that it
// knows. It knows neither sessions nor methods.
package hello
