package main

import (
	"context"
	"iter"
)

// Station is the contract of the second release. Compare it with that of the first: fields
// have moved, and what is new is optional, and so both releases work together.
//
// Only Count has changed in a way that needs new servers first: since was an int32.
type Station struct {
	Report    func(ctx context.Context, r Reading) (id int32, err error)
	Find      func(ctx context.Context, place string, most int32) ([]Reading, error) `bsrpc:"(,optional)"`
	Watch     func(ctx context.Context, place string) iter.Seq2[Reading, error]
	Calibrate func(ctx context.Context, ask Ask) (result string, err error)
	Count     func(ctx context.Context, since int64) (int32, error)
}

// An Ask asks the person at the station for a reading.
type Ask func(ctx context.Context, s Step) (Answer, error)

// A Reading is one measurement.
type Reading struct {
	Degrees float64
	Place   string
	Note    string `bsrpc:"optional"`
}

// A Step is one step of a calibration. A client that does not know Wait takes its time.
type Step struct {
	Wait int32 `bsrpc:"optional ignorable"` // seconds
	Text string
}

// An Answer ends a step.
type Answer struct {
	Degrees float64
	Drift   float64 `bsrpc:"optional"` // degrees a day
}
