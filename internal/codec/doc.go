// Package codec encodes Go values to bytes and decodes them.
//
// # Compilation
//
// [Compile] inspects a type and the tags on it once and builds a tree of nodes.
// A node describes the values of one type at one place: their size and kind in
// memory, their format on the wire, and the bounds set by tags. The tree has
// cycles where a type is recursive. All errors in a type are found at this time
// and reported together, each with its path. The layout, compared by both ends
// of a connection, is derived from the tree, so it always describes the actual
// bytes.
//
// After the tree is complete, finish derives what the executors need: minimum
// sizes, values with the same bytes in memory as on the wire, and the plan of
// each struct. A plan is a list of steps. It flattens nested structs and merges
// adjacent fields without any conversion into a run, copied in one step. Steps
// which need no check beyond the remaining space, such as copies, byte swaps
// and strings without bounds, are called simple, and a struct with simple steps
// only is a simple struct.
//
// # Executors
//
// Two executors follow the tree. The fast one works on memory through the
// operations in memory_unsafe.go. It executes plans, has special loops for
// common element types, and encodes simple values in a single pass without any
// state. The reflect executor uses reflect.Value and runs on every platform;
// the build tag bsrpc_safe selects it. It is also the reference: both must
// produce the same bytes, values and errors, verified by the tests for random
// types and by a self check when a program compiles its first type.
//
// Both share the writer and the reader, which hold the state of one Append or
// Read, and all code on values outside of memory: numbers, strings and their
// checks, lengths and counts, the order of map keys.
//
// # Versions
//
// A peer may have another version of a type. [Codec.ReadFrom] makes a codec from
// the node tree and the peer's layout: its tree has the fields of the peer in
// their order and formats, nodes that skip what this end does not have, and
// leaves zero what the peer lacks. Both executors run it as any other; its plans
// have steps of their own for numbers of another width and for what is skipped. [Codec.WriteTo] makes a codec that refuses
// values the peer would lose.
//
// # Ends and blank fields
//
// Most values say in front of them where they end. Four words of tags replace
// that: fixed= by a number of bytes, until= by a byte behind the value, rest by
// the end of the message, and bytes= by a length in bytes without a count. The
// formats Until and Rest, and NoFormat, stand for them in a node. An end
// without a count becomes one before the elements are read if all elements
// have the same size. Both executors then go on as with any list. Otherwise
// the list grows, in code shared by both.
//
// Blank fields are constants and padding. They have bytes, and no value.
//
// The words until=, rest and pad are for values that stand alone, outside of
// calls: [Codec.Standalone].
//
// # Limits
//
// A peer controls the bytes passed to Read. A count is checked against the
// remaining bytes before anything is allocated for it; elements without bytes
// on the wire are therefore refused at compile time. Without a count, each
// growth of a list is limited to the remaining bytes. Every allocation is
// charged to the budget of the Decoder first, and slices, maps and pointers are
// limited in depth. [Codec.MaxPerByte] bounds the memory per byte of input.
//
// Append is bounded, too: a cyclic value exceeds the depth, and a value with
// the same part many times exceeds Encoder.Max before it has taken the memory.
//
// # Invariants
//
//   - A value has one encoding: if Read succeeds, Append returns the same bytes.
//     The only exceptions are types with methods of their own, padding, and lenient
//     Decoders.
//   - After an error from Append the Encoder is unchanged. After an error from Read
//     the value is partly set, but valid.
//   - Errors contain the path and the offset, never a value.
//   - Decoded values never alias the input, except for a large []byte with
//     Decoder.Own.
package codec
