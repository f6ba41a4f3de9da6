package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/bsrpc/bsrpc"
)

// usual are the settings of the measurement.
var usual = Settings{Label: "filter, batch 7", Drive: 1000, Range: 2000, Rate: 20_000, Samples: 2000}

// measureAt is one user from beginning to end. When ctx ends it, wherever it
// is then, the server cancels what it runs for it and switches the output off.
func measureAt(ctx context.Context, dial dialFunc, say sayFunc) error {
	client, scope, err := enter(ctx, dial, say, nil)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := prepare(ctx, scope, say); err != nil {
		return err
	}
	return measure(ctx, scope, say)
}

// enter connects, and waits for as long as somebody else has the instrument.
// waits, if not nil, is called with each place in the queue.
func enter(ctx context.Context, dial dialFunc, say sayFunc, waits func(place int)) (*bsrpc.Client, *Scope, error) {
	client, err := dial(ctx, &bsrpc.ClientOptions{OnWait: func(place int) {
		say("the instrument is in use; my place in the queue is %d", place)
		if waits != nil {
			waits(place)
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

// prepare sets the instrument up and arms it.
func prepare(ctx context.Context, scope *Scope, say sayFunc) error {
	name, err := scope.Identify(ctx)
	if err != nil {
		return err
	}
	say("this is %s", name)
	if err := scope.Configure(ctx, usual); err != nil {
		return err
	}
	s, err := scope.Settings(ctx)
	if err != nil {
		return err
	}
	say("configured %q: drive %d mV, range %d mV, %d samples at %d a second", s.Label, s.Drive, s.Range, s.Samples, s.Rate)
	return scope.Arm(ctx)
}

// measure acquires both channels and shows what they see.
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
		say("%s", plot(w[:min(60, len(w))], 7, float32(usual.Drive)/1000))
	}
	return nil
}

// told is an error in words. What an instrument refuses has a name, which
// programs look at, and a text for people.
func told(err error) string {
	var e *bsrpc.Error
	if errors.As(err, &e) && e.Name != "" {
		return fmt.Sprintf("%s: %v", e.Name, err)
	}
	return err.Error()
}
