// Package wire encodes and decodes frames: the native frames, the INIT
// exchange, the body of BIND, and the frames of the basic wire. It works on
// bytes alone and knows neither connections nor Go types.
//
// docs/protocol.md specifies the formats table by table. Each one has an Append
// function and a Read function side by side, and Read accepts exactly the bytes
// that Append produces: every value has one encoding.
package wire
