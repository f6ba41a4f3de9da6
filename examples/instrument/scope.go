package main

import "context"

// The contracts shared by both ends. Clients with the Python package basic-socket-rpc call
// methods by id, so the ids never change.
//
// Methods with exclusive= change an instrument. One session at a time may call those of each
// instrument: the one that has taken it, or any while it is free. The others do not wait: every
// client may watch, and stop.

// Rack hands the instruments out: "scope", "supply" and "load".
type Rack struct {
	// Take waits until the session has all of some instruments, and keeps them until Give, or
	// until the session ends.
	Take func(ctx context.Context, instruments []string) error `bsrpc:"timeout=10m"`
	// Give switches instruments off and gives them back.
	Give func(ctx context.Context, instruments []string) error
	// Users tells who has which instrument.
	Users func(ctx context.Context) ([]User, error)
}

// A User is who has an instrument.
type User struct {
	Instrument string
	Session    uint64 // 0 if the instrument is free
	Waiting    int    // how many wait for it
}

// Scope is an oscilloscope with a generator.
type Scope struct {
	// Identify returns the model of the instrument.
	Identify func(ctx context.Context) (string, error) `bsrpc:"id=1"`
	// Configure checks and applies all settings, or none of them. It switches the
	// output off until the next call of Arm. The session has the scope from then on, as
	// after Rack.Take.
	Configure func(ctx context.Context, s Settings) error `bsrpc:"id=2,exclusive=scope,timeout=10m"`
	// Settings returns the settings of the session that has the scope.
	Settings func(ctx context.Context) (Settings, error) `bsrpc:"id=3"`
	// Arm switches the generator's output on.
	Arm func(ctx context.Context) error `bsrpc:"id=4,exclusive=scope"`
	// Acquire records channel 1 or 2, in volts. It takes 45 s, more than the default
	// timeout of calls, 20 s.
	Acquire func(ctx context.Context, channel uint) ([]float32, error) `bsrpc:"(le1) be4,id=5,timeout=60s,exclusive=scope"`
	// Statistics describes the last waveform.
	Statistics func(ctx context.Context) (Statistics, error) `bsrpc:"id=6"`
	// Abort switches the output off and ends a running acquisition. Every client may call it.
	Abort func(ctx context.Context) error `bsrpc:"id=7"`
}

// Supply is a power supply, in mV, and Load an electronic load, in mA. A tag names one group, so they
// are two contracts.
type (
	Supply struct {
		Set   func(ctx context.Context, level uint) error `bsrpc:"(le2),id=8,exclusive=supply"`
		Level func(ctx context.Context) (uint, error)     `bsrpc:"() le2,id=9"`
	}
	Load struct {
		Set   func(ctx context.Context, level uint) error `bsrpc:"(le2),id=10,exclusive=load"`
		Level func(ctx context.Context) (uint, error)     `bsrpc:"() le2,id=11"`
	}
)

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
