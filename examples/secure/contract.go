package main

import (
	"context"
	"sync"
)

// Supply is a power supply. All users may read it, operators and admins may set it.
type Supply struct {
	Voltage    func(ctx context.Context) (float64, error)     `bsrpc:"roles=*"`
	SetVoltage func(ctx context.Context, volts float64) error `bsrpc:"roles=operator|admin"`
	Reset      func(ctx context.Context) error                `bsrpc:"roles=admin"`
}

// supply implements the contract.
type supply struct {
	mu    sync.Mutex
	volts float64
}

func (s *supply) Voltage() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.volts
}

func (s *supply) SetVoltage(volts float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.volts = volts
}

func (s *supply) Reset() { s.SetVoltage(0) }
