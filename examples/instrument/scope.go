package main

import "context"

// Scope is the contract: what both ends share. Peers of the Python package
// basic-socket-rpc call the methods by their ids, which therefore never change.
// Calls that use the converter run one at a time; the others, Abort above all,
// don't wait for it.
type Scope struct {
	// Identify says what instrument this is.
	Identify func(ctx context.Context) (string, error) `bsrpc:"id=1"`
	// Configure checks the settings and takes them, wholly or not at all. The
	// output is off until Arm.
	Configure func(ctx context.Context, s Settings) error `bsrpc:"id=2,exclusive=converter"`
	// Settings returns what Configure has taken in this session.
	Settings func(ctx context.Context) (Settings, error) `bsrpc:"id=3"`
	// Arm switches the generator's output on.
	Arm func(ctx context.Context) error `bsrpc:"id=4,exclusive=converter"`
	// Acquire records channel 1 or 2, in volts. The instrument takes 45 s for it,
	// more than the 20 s that a call may take by default.
	Acquire func(ctx context.Context, channel uint) ([]float32, error) `bsrpc:"(le1) be4,id=5,timeout=60s,exclusive=converter"`
	// Statistics describes what Acquire has returned last.
	Statistics func(ctx context.Context) (Statistics, error) `bsrpc:"id=6"`
	// Abort switches the output off and ends the acquisition that is running.
	Abort func(ctx context.Context) error `bsrpc:"id=7"`
}

// Settings are what one user wants of the instrument. Numbers are narrow on the
// wire and comfortable in Go: one that does not fit is an error where it is sent.
type Settings struct {
	Label   string `bsrpc:"len=le1,max=32,utf8"` // for the instrument's display
	Drive   uint   `bsrpc:"le2"`                 // amplitude of the generator in mV
	Range   uint   `bsrpc:"le2"`                 // full scale of both channels in mV
	Rate    uint   `bsrpc:"be4"`                 // samples a second
	Samples uint   `bsrpc:"be4"`                 // of one waveform
}

// Statistics describe a waveform.
type Statistics struct {
	Samples, Periods uint    `bsrpc:"be4"`
	Min, Max, Mean   float32 `bsrpc:"be4"` // in volts
}
