package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bsrpc/bsrpc"
)

// demonstrate lets Ann measure while Bob waits. Afterwards Bob finds the instrument
// without any settings of Ann's.
func demonstrate(ctx context.Context, dial dialFunc, says *transcript) error {
	ann, bob := says.as("Ann"), says.as("Bob")
	client, scope, err := connect(ctx, dial, ann, nil)
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

	waits := make(chan int, 10) // Bob's positions in the queue; the buffer is larger than needed
	left := make(chan error, 1)
	go func() { left <- takeOver(ctx, dial, bob, func(position int) { waits <- position }) }()
	select {
	case <-waits:
	case err := <-left:
		return err // nil if he was refused
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

// takeOver is Bob's part: once admitted he looks for settings of Ann's. If the server
// refuses to let him wait, he only reports that.
func takeOver(ctx context.Context, dial dialFunc, say sayFunc, onWait func(position int)) error {
	client, scope, err := connect(ctx, dial, say, onWait)
	var e *bsrpc.Error
	if errors.As(err, &e) && e.Code == bsrpc.CodeResourceExhausted {
		say("refused: %s", describe(err))
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
	say("  %s", describe(err))
	return nil
}
