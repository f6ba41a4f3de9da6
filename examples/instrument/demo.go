package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// demonstrate lets Ann measure while Bob watches and then waits. Afterwards Bob finds the
// instruments without any settings of Ann's.
func demonstrate(ctx context.Context, dial dialFunc, says *transcript) error {
	ann, bob := says.as("Ann"), says.as("Bob")
	b, err := connect(ctx, dial)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := b.take(ctx, ann, nil); err != nil {
		return err
	}
	if err := mistakes(ctx, b.scope, ann); err != nil {
		return err
	}
	if err := b.prepare(ctx, ann); err != nil {
		return err
	}

	waits := make(chan int, 10) // Bob's places in line; the buffer is larger than needed
	left := make(chan error, 1)
	go func() { left <- takeOver(ctx, dial, bob, func(place int) { waits <- place }) }()
	select {
	case <-waits:
	case err := <-left:
		return err
	}

	if err := giveUp(ctx, b.scope, ann); err != nil {
		return err
	}
	if err := b.measure(ctx, ann); err != nil {
		return err
	}
	ann("I leave, and forget to switch the outputs off")
	b.Close()
	return <-left
}

// mistakes makes invalid calls. Each fails alone: the session continues.
func mistakes(ctx context.Context, scope *Scope, say sayFunc) error {
	wild, wide := defaultSettings, defaultSettings
	wild.Drive, wild.Rate = 9000, 44
	wide.Range = 70_000
	for _, mistake := range []struct {
		what string
		err  error
	}{
		{"arming before anything is set", scope.Arm(ctx)},
		{"settings out of range", scope.Configure(ctx, wild)},
		{"a range that two bytes can't hold, which is not even sent", scope.Configure(ctx, wide)},
	} {
		if mistake.err == nil {
			return fmt.Errorf("%s: no error", mistake.what)
		}
		say("%s:\n  %s", mistake.what, describe(mistake.err))
	}
	return nil
}

// giveUp ends an acquisition by a deadline. The instrument stops and the session
// continues.
func giveUp(ctx context.Context, scope *Scope, say sayFunc) error {
	s, err := scope.Settings(ctx)
	if err != nil {
		return err
	}
	say("acquiring %q, but I have no patience", s.Label)
	hasty, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	switch _, err := scope.Acquire(hasty, 1); {
	case err == nil: // with a very short -acquisition
		say("  and need none")
	case errors.Is(err, context.DeadlineExceeded):
		say("  given up; the converter is free again")
	default:
		return err
	}
	return nil
}

// takeOver is Bob's part: he watches, and sets the load, which is free. Then he waits for
// what Ann has, and looks for settings of hers.
func takeOver(ctx context.Context, dial dialFunc, say sayFunc, onWait func(place int)) error {
	b, err := connect(ctx, dial)
	if err != nil {
		return err
	}
	defer b.Close()
	users, err := b.rack.Users(ctx)
	if err != nil {
		return err
	}
	for _, u := range users {
		if u.Session != 0 {
			say("session %d has the %s", u.Session, u.Instrument)
		}
	}
	level, err := b.supply.Level(ctx)
	if err != nil {
		return err
	}
	say("the supply is at %d mV; I set the load, which is free", level)
	if err := b.load.Set(ctx, 250); err != nil {
		return err
	}
	if err := b.take(ctx, say, onWait); err != nil {
		return err
	}
	say("it is my turn; are there settings?")
	if _, err = b.scope.Settings(ctx); err == nil {
		return errors.New("the second user found the first one's settings")
	}
	say("  %s", describe(err))
	return b.rack.Give(ctx, []string{"scope", "supply"})
}
