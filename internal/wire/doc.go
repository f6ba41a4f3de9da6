// Package wire turns frames into bytes and back: the native frames, the INIT
// exchange, the body of BIND, and the two frames of the basic wire that every
// peer may meet. It knows bytes alone: no connections, no Go types.
//
// The formats are those of docs/protocol.md, which this package implements
// table by table.
package wire
