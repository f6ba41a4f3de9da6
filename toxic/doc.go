// Package toxic has tests of bsrpc over networks that fail in the ways of toxiproxy: slow,
// narrow, silent, cut, reset. It is a module of its own, so that the core does not depend on
// toxiproxy.
package toxic
