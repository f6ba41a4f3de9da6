package main

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"
)

// A scope is the receiver of all methods of Scope but Configure: an oscilloscope with its
// settings and its last waveform.
type scope struct {
	instrument *instrument

	mu       sync.Mutex // guards the rest
	settings *Settings
	last     []float32
	abort    context.CancelCauseFunc // ends the running acquisition; nil before the first
}

func (s *scope) Identify() string { return identity }

// reset switches the output off, and changes the settings; nil for none.
func (s *scope) reset(settings *Settings) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.instrument.output(0)
	s.settings, s.last = settings, nil
}

func (s *scope) Settings() (Settings, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.settings == nil {
		return Settings{}, errNotConfigured
	}
	return *s.settings, nil
}

func (s *scope) Arm() error {
	settings, err := s.Settings()
	if err != nil {
		return err
	}
	s.instrument.output(settings.Drive)
	return nil
}

// Acquire blocks until the hardware is done. The context is canceled when the caller
// gives up or its connection is lost.
func (s *scope) Acquire(ctx context.Context, channel uint) ([]float32, error) {
	settings, err := s.Settings()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.mu.Lock()
	s.abort = cancel
	s.mu.Unlock()
	w, err := s.instrument.acquire(ctx, settings, channel)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = w
	return w, nil
}

func (s *scope) Statistics() (Statistics, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		return Statistics{}, errNoWaveform
	}
	return statistics(s.last), nil
}

func (s *scope) Abort() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.instrument.output(0)
	if s.abort != nil {
		s.abort(errAborted)
	}
}

// A source is a power supply or an electronic load, the receiver of Supply or Load.
type source struct {
	unit string
	say  sayFunc

	mu    sync.Mutex // guards level
	level uint
}

func (s *source) Set(level uint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if level != s.level {
		s.say("%d %s", level, s.unit)
	}
	s.level = level
}

func (s *source) Level() uint {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.level
}

// An instrument simulates the hardware of the oscilloscope: two channels, and a generator
// to drive the device under test.
type instrument struct {
	acquisition time.Duration // duration of an acquisition
	say         sayFunc

	mu    sync.Mutex // guards drive
	drive uint       // output in mV; 0 is off, the safe state
}

const (
	identity  = "bsrpc DSO-2, two channels, 1 kHz generator"
	frequency = 1000 // of the generator
)

// A fault is an error of the instrument. Clients receive its name together with its
// text. Python clients raise the exception of that name if they know it, or else a
// ServerError.
type fault struct{ name, text string }

func (f *fault) Error() string         { return f.text }
func (f *fault) ExceptionName() string { return f.name }

var (
	errNotConfigured = &fault{"NotConfigured", "no settings yet; call Configure"}
	errNotArmed      = &fault{"NotArmed", "the output is off; call Arm"}
	errNoWaveform    = &fault{"NoWaveform", "nothing acquired yet; call Acquire"}
	errAborted       = &fault{"Aborted", "the acquisition was aborted"}
)

// check returns all problems of s in one error.
func (s Settings) check() error {
	var wrong []string
	within := func(what string, value, least, most uint, unit string) {
		if value < least || value > most {
			wrong = append(wrong, fmt.Sprintf("%s: %d %s, want %d to %d", what, value, unit, least, most))
		}
	}
	within("Drive", s.Drive, 1, 5_000, "mV")
	within("Range", s.Range, 10, 10_000, "mV")
	within("Rate", s.Rate, 10*frequency, 1_000_000, "samples/s")
	within("Samples", s.Samples, 1, 1_000_000, "samples")
	if wrong != nil {
		return &fault{"ValueError", strings.Join(wrong, "; ")}
	}
	return nil
}

// output switches the generator to an amplitude in mV, 0 for off.
func (i *instrument) output(drive uint) {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case drive == i.drive:
	case drive == 0:
		i.say("output off")
	default:
		i.say("output on, %d mV", drive)
	}
	i.drive = drive
}

// acquire records a waveform. It returns early if ctx ends, with the cause of ctx.
func (i *instrument) acquire(ctx context.Context, s Settings, channel uint) ([]float32, error) {
	if channel < 1 || channel > 2 {
		return nil, &fault{"ValueError", fmt.Sprintf("channel %d, want 1 or 2", channel)}
	}
	i.mu.Lock()
	drive := i.drive
	i.mu.Unlock()
	if drive == 0 {
		return nil, errNotArmed
	}
	select {
	case <-time.After(i.acquisition):
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return waveform(s, channel, float64(drive)/1000), nil
}

// waveform returns the signal at a channel: the generator, triggered at its minimum, at
// channel 1, and the device under test, with half the amplitude and a delay of a
// quarter period, at channel 2. It is clipped to the range.
func waveform(s Settings, channel uint, volts float64) []float32 {
	late := 0.0
	if channel == 2 {
		volts, late = volts/2, 0.25
	}
	limit := float64(s.Range) / 1000
	w := make([]float32, s.Samples)
	for n := range w {
		periods := float64(n)*frequency/float64(s.Rate) - late
		v := -volts * math.Cos(2*math.Pi*periods)
		w[n] = microvolts(max(-limit, min(v, limit)))
	}
	return w
}

// microvolts rounds to the resolution of the converter, for the same waveforms on every
// platform.
func microvolts(v float64) float32 { return float32(math.Round(v*1e6)/1e6 + 0) } // + 0: no -0

// statistics returns the statistics of a waveform. A period starts at each rise through
// zero.
func statistics(w []float32) Statistics {
	st := Statistics{Samples: uint(len(w)), Min: w[0], Max: w[0]}
	sum := 0.0
	for n, v := range w {
		st.Min, st.Max = min(st.Min, v), max(st.Max, v)
		sum += float64(v)
		if n > 0 && w[n-1] < 0 && v >= 0 {
			st.Periods++
		}
	}
	st.Mean = microvolts(sum / float64(len(w)))
	return st
}
