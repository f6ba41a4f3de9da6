package main

import (
	"context"
	"iter"
)

// Instruments is the contract of both releases, which differ in R, their reading. A program of
// one release needs no type parameter.
type Instruments[R any] struct {
	Names   func(ctx context.Context) ([]string, error)
	Measure func(ctx context.Context, name string) (R, error)                 `bsrpc:"idempotent,names=name"`
	Record  func(ctx context.Context, name string, n int) iter.Seq2[R, error] `bsrpc:"names=name n"`
	Release func(ctx context.Context) (string, error)
}

// An oldReading is a reading of release 1.
type oldReading struct {
	Server string // where the instrument was read
	Volts  float64
}

// A newReading is a reading of release 2. The temperature is optional, so both releases work
// together: a new client that has reached an old server finds nil, and an old client does not
// see it.
type newReading struct {
	Server  string
	Volts   float64
	Celsius *float64 `bsrpc:"optional"`
}
