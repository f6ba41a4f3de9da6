package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/bsrpc/bsrpc"
)

// defaultSettings are the settings of the measurement.
var defaultSettings = Settings{Label: "filter, batch 7", Drive: 1000, Range: 2000, Rate: 20_000, Samples: 2000}

// A bench is a client with proxies for the rack and its instruments.
type bench struct {
	*bsrpc.Client
	rack   *Rack
	scope  *Scope
	supply *Supply
	load   *Load
}

// runClient runs one client from start to end. If ctx ends, at any time, the server
// cancels the running calls and switches the instruments off.
func runClient(ctx context.Context, dial dialFunc, say sayFunc) error {
	b, err := connect(ctx, dial)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := b.take(ctx, say, nil); err != nil {
		return err
	}
	if err := b.prepare(ctx, say); err != nil {
		return err
	}
	return b.measure(ctx, say)
}

// connect connects and binds everything. It does not wait for instruments.
func connect(ctx context.Context, dial dialFunc) (*bench, error) {
	client, err := dial(ctx, nil)
	if err != nil {
		return nil, err
	}
	b := &bench{Client: client}
	var errs [4]error
	b.rack, errs[0] = bsrpc.Bind[Rack](ctx, client, "Rack")
	b.scope, errs[1] = bsrpc.Bind[Scope](ctx, client, "Scope")
	b.supply, errs[2] = bsrpc.Bind[Supply](ctx, client, "Supply")
	b.load, errs[3] = bsrpc.Bind[Load](ctx, client, "Load")
	if err := errors.Join(errs[:]...); err != nil {
		client.Close()
		return nil, err
	}
	return b, nil
}

// take waits until the session has the scope and the supply. If onWait is not nil, it is
// called with every new place in line.
func (b *bench) take(ctx context.Context, say sayFunc, onWait func(place int)) error {
	ctx = bsrpc.WithPosition(ctx, func(instrument string, place int) {
		say("the %s is in use; my place in line is %d", instrument, place)
		if onWait != nil {
			onWait(place)
		}
	})
	return b.rack.Take(ctx, []string{"scope", "supply"})
}

// prepare sets the supply, and configures and arms the scope.
func (b *bench) prepare(ctx context.Context, say sayFunc) error {
	scope := b.scope
	if err := b.supply.Set(ctx, 5000); err != nil {
		return err
	}
	name, err := scope.Identify(ctx)
	if err != nil {
		return err
	}
	say("this is %s", name)
	if err := scope.Configure(ctx, defaultSettings); err != nil {
		return err
	}
	s, err := scope.Settings(ctx)
	if err != nil {
		return err
	}
	say("configured %q: drive %d mV, range %d mV, %d samples at %d a second", s.Label, s.Drive, s.Range, s.Samples, s.Rate)
	return scope.Arm(ctx)
}

// measure acquires and plots both channels.
func (b *bench) measure(ctx context.Context, say sayFunc) error {
	for channel := uint(1); channel <= 2; channel++ {
		say("acquiring channel %d", channel)
		w, err := b.scope.Acquire(ctx, channel)
		if err != nil {
			return err
		}
		st, err := b.scope.Statistics(ctx)
		if err != nil {
			return err
		}
		say("%d samples, %d periods, %.3f V to %.3f V, mean %.3f V; the first 60:", st.Samples, st.Periods, st.Min, st.Max, st.Mean)
		say("%s", plot(w[:min(60, len(w))], 7, float32(defaultSettings.Drive)/1000))
	}
	return nil
}

// describe returns the text of an error. Errors of the instrument also have a name, for
// programs.
func describe(err error) string {
	var e *bsrpc.Error
	if errors.As(err, &e) && e.Name != "" {
		return fmt.Sprintf("%s: %v", e.Name, err)
	}
	return err.Error()
}
