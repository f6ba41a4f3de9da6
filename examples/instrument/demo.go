package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bsrpc/bsrpc"
)

// demonstrate lets Ann measure while Bob waits, and then Bob find the
// instrument as if Ann had never been there.
func demonstrate(ctx context.Context, dial dialFunc, says *script) error {
	ann, bob := says.as("Ann"), says.as("Bob")
	client, scope, err := enter(ctx, dial, ann, nil)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := mistakes(ctx, scope, ann); err != nil {
		return err
	}
	if err := prepare(ctx, scope, ann); err != nil {
		return err
	}

	waits := make(chan int, 10) // Bob's place, which changes less often than that
	left := make(chan error, 1)
	go func() { left <- takeOver(ctx, dial, bob, func(place int) { waits <- place }) }()
	select {
	case <-waits:
	case err := <-left:
		return err // or nil, if he was refused and all is said
	}

	if err := giveUp(ctx, scope, ann); err != nil {
		return err
	}
	if err := measure(ctx, scope, ann); err != nil {
		return err
	}
	ann("I leave, and forget to switch the output off")
	client.Close()
	return <-left
}

// mistakes are answered with errors, after which everything goes on.
func mistakes(ctx context.Context, scope *Scope, say sayFunc) error {
	wild, wide := usual, usual
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
		say("%s:\n  %s", mistake.what, told(mistake.err))
	}
	return nil
}

// giveUp ends an acquisition by ending its context. The instrument stops, and
// the session goes on.
func giveUp(ctx context.Context, scope *Scope, say sayFunc) error {
	s, err := scope.Settings(ctx)
	if err != nil {
		return err
	}
	say("acquiring %q, but I have no patience", s.Label)
	hasty, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	switch _, err := scope.Acquire(hasty, 1); {
	case err == nil: // with an -acquisition of next to nothing
		say("  and need none")
	case errors.Is(err, context.DeadlineExceeded):
		say("  given up; the converter is free again")
	default:
		return err
	}
	return nil
}

// takeOver is Bob: as soon as the instrument is his he looks what Ann has left.
// If nobody may wait, he only says so.
func takeOver(ctx context.Context, dial dialFunc, say sayFunc, waits func(place int)) error {
	client, scope, err := enter(ctx, dial, say, waits)
	var e *bsrpc.Error
	if errors.As(err, &e) && e.Code == bsrpc.CodeResourceExhausted {
		say("refused: %s", told(err))
		return nil
	}
	if err != nil {
		return err
	}
	defer client.Close()
	say("it is my turn; are there settings?")
	if _, err = scope.Settings(ctx); err == nil {
		return errors.New("the second user found the first one's settings")
	}
	say("  %s", told(err))
	return nil
}
