package main

import (
	"context"
	"fmt"
)

// Alarms is what the server has, and clients call.
type Alarms struct {
	// Subscribe makes the server call the Operator of the client until the client leaves. It
	// returns the alarms that are active now.
	Subscribe func(ctx context.Context, name string) ([]Alarm, error)
}

// Operator is what a client has, and the server calls.
type Operator struct {
	// Raise and Clear have no answer to wait for. exclusive= lets a client run them one
	// after another, in the order of the calls.
	Raise func(ctx context.Context, a Alarm) error `bsrpc:"oneway,exclusive=display"`
	Clear func(ctx context.Context, a Alarm) error `bsrpc:"oneway,exclusive=display"`

	// Acknowledge asks a person to look after an alarm. ctx ends when the answer is not needed
	// any more: another operator has answered, or the alarm is over.
	Acknowledge func(ctx context.Context, a Alarm) (note string, err error) `bsrpc:"timeout=5m"`
}

// An Alarm is a sensor above its limit.
type Alarm struct {
	ID           int64
	Sensor       string
	Value, Limit float64
}

func (a Alarm) String() string {
	return fmt.Sprintf("alarm %d, %s at %.1f, limit %.0f", a.ID, a.Sensor, a.Value, a.Limit)
}
