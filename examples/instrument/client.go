package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/bsrpc/bsrpc"
)

// defaultSettings are the settings of the measurement.
var defaultSettings = Settings{Label: "filter, batch 7", Drive: 1000, Range: 2000, Rate: 20_000, Samples: 2000}

// runClient runs one client from start to end. If ctx ends, at any time, the server
// cancels the running calls and switches the output off.
func runClient(ctx context.Context, dial dialFunc, say sayFunc) error {
	client, scope, err := connect(ctx, dial, say, nil)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := prepare(ctx, scope, say); err != nil {
		return err
	}
	return measure(ctx, scope, say)
}

// connect connects and waits until the instrument is free. If onWait is not nil, it is
// called with every new position in the queue.
func connect(ctx context.Context, dial dialFunc, say sayFunc, onWait func(position int)) (*bsrpc.Client, *Scope, error) {
	client, err := dial(ctx, &bsrpc.ClientOptions{OnWait: func(position int) {
		say("the instrument is in use; my position in the queue is %d", position)
		if onWait != nil {
			onWait(position)
		}
	}})
	if err != nil {
		return nil, nil, err
	}
	scope, err := bsrpc.Bind[Scope](ctx, client, "Scope")
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	return client, scope, nil
}

// prepare configures and arms the instrument.
func prepare(ctx context.Context, scope *Scope, say sayFunc) error {
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
func measure(ctx context.Context, scope *Scope, say sayFunc) error {
	for channel := uint(1); channel <= 2; channel++ {
		say("acquiring channel %d", channel)
		w, err := scope.Acquire(ctx, channel)
		if err != nil {
			return err
		}
		st, err := scope.Statistics(ctx)
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
