package main

import "context"

// Scope is the contract shared by both ends. Clients with the Python package
// basic-socket-rpc call methods by id, so the ids never change. Methods in the exclusive
// group converter run one at a time. The others, above all Abort, do not wait for them.
type Scope struct {
	// Identify returns the model of the instrument.
	Identify func(ctx context.Context) (string, error) `bsrpc:"id=1"`
	// Configure checks and applies all settings, or none of them. It switches the
	// output off until the next call of Arm.
	Configure func(ctx context.Context, s Settings) error `bsrpc:"id=2,exclusive=converter"`
	// Settings returns the settings of this session.
	Settings func(ctx context.Context) (Settings, error) `bsrpc:"id=3"`
	// Arm switches the generator's output on.
	Arm func(ctx context.Context) error `bsrpc:"id=4,exclusive=converter"`
	// Acquire records channel 1 or 2, in volts. It takes 45 s, more than the default
	// timeout of calls, 20 s.
	Acquire func(ctx context.Context, channel uint) ([]float32, error) `bsrpc:"(le1) be4,id=5,timeout=60s,exclusive=converter"`
	// Statistics describes the last waveform of this session.
	Statistics func(ctx context.Context) (Statistics, error) `bsrpc:"id=6"`
	// Abort switches the output off and ends a running acquisition.
	Abort func(ctx context.Context) error `bsrpc:"id=7"`
}

// Settings configure the instrument. The numbers are wide in Go and narrow on the wire:
// a number out of range is an error at the sender.
type Settings struct {
	Label   string `bsrpc:"len=le1,max=32,utf8"` // shown on the instrument's display
	Drive   uint   `bsrpc:"le2"`                 // amplitude of the generator in mV
	Range   uint   `bsrpc:"le2"`                 // full scale of both channels in mV
	Rate    uint   `bsrpc:"be4"`                 // samples per second
	Samples uint   `bsrpc:"be4"`                 // per waveform
}

// Statistics describe a waveform.
type Statistics struct {
	Samples, Periods uint    `bsrpc:"be4"`
	Min, Max, Mean   float32 `bsrpc:"be4"` // in volts
}
