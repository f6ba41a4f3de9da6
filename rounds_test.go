package bsrpc

import "github.com/bsrpc/bsrpc/internal/rounds"

// LongTests makes stress tests run at full length: with the build tag bsrpc_long, as in
// CI.
const LongTests = rounds.Long

// Rounds returns quick. It is a number of rounds, or a size: quick without the build tag bsrpc_long.
func Rounds(quick, long int) int { return rounds.Of(quick, long) }
