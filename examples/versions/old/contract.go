package main

import (
	"context"
	"iter"
)

// Station is the contract of the first release.
type Station struct {
	Report    func(ctx context.Context, r Reading) (id int32, err error)
	Find      func(ctx context.Context, place string) ([]Reading, error)
	Watch     func(ctx context.Context, place string) iter.Seq2[Reading, error]
	Calibrate func(ctx context.Context, ask Ask) (result string, err error)
	Count     func(ctx context.Context, since int32) (int32, error)
}

// An Ask asks the person at the station for a reading.
type Ask func(ctx context.Context, s Step) (Answer, error)

// A Reading is one measurement.
type Reading struct {
	Place   string
	Degrees float64
}

// A Step is one step of a calibration.
type Step struct {
	Text string
}

// An Answer ends a step.
type Answer struct {
	Degrees float64
}
