package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/introspect"
)

// retryAfter is the time between two attempts of health --wait.
const retryAfter = 200 * time.Millisecond

func newHealth(t *target) *cobra.Command {
	var wait bool
	cmd := &cobra.Command{
		Use:   "health [ADDRESS] [SERVICE]",
		Short: "whether the server, or a service, is ready; exit code 1 if not",
		Long: `health asks whether the server is ready, or one of its services. The exit code is 1 if it
is not. With --wait it waits until then, also for a server that does not run yet, and says
on standard error what it waits for.`,
		ValidArgsFunction: t.complete(true, false),
		RunE: func(cmd *cobra.Command, args []string) error {
			args, err := t.split(args)
			if err != nil {
				return err
			}
			if len(args) > 1 {
				return tooMany(cmd, args)
			}
			ctx, cancel := t.limit(cmd.Context(), wait)
			defer cancel()
			service := append(args, "")[0]
			h, err := t.health(ctx, service)
			known := err == nil // the server has said it at least once
			said := ""
			for wait && (err == nil && !h.Serving || err != nil && mayPass(err)) {
				over := known && errors.Is(err, context.DeadlineExceeded) // the time of the wait, whose timer may come later
				if why := whyWaiting(h, err); why != said && !over && ctx.Err() == nil {
					said = why
					t.printLine(cmd.ErrOrStderr(), map[string]string{"event": "waiting", "text": why}, "waiting: "+why)
				}
				select {
				case <-ctx.Done():
					return notReady(ctx, known, err)
				case <-time.After(retryAfter):
				}
				h, err = t.watch(ctx, service)
				known = known || err == nil
			}
			if err != nil {
				return err
			}
			return t.printHealth(cmd, h)
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until it is ready, also for a server that is not there yet")
	return cmd
}

// whyWaiting returns what a wait waits for: a state that will pass, or an error.
func whyWaiting(h introspect.Health, err error) string {
	if err != nil {
		return clean(failureOf(err).Message, maxErrorText)
	}
	return "the service is " + stateOf(h)
}

// stateOf returns a state as a word.
func stateOf(h introspect.Health) string {
	switch {
	case h.Draining:
		return "shutting down"
	case h.Serving:
		return "ready"
	}
	return "not ready"
}

// mayPass reports whether an error may be that of a server that is not there yet.
func mayPass(err error) bool {
	f := failureOf(err)
	return f.Exit == exitNetwork && !f.flags
}

// printHealth prints a state, and returns an error if it is not ready.
func (t *target) printHealth(cmd *cobra.Command, h introspect.Health) (err error) {
	state := stateOf(h)
	err = t.printLine(cmd.OutOrStdout(), map[string]bool{"serving": h.Serving, "draining": h.Draining}, state)
	if err == nil && !h.Serving {
		err = &failure{Exit: exitApplication, Message: "the service is " + state + "; --wait waits for it"}
	}
	return err
}

// notReady returns the error of a wait that has ended. It is one of the application if the
// server has said so, and otherwise of the network, as the last one.
func notReady(ctx context.Context, known bool, last error) error {
	f := failureOf(ctx.Err())
	f.Message = "still not ready"
	if known {
		f.Exit = exitApplication
	} else if last != nil {
		f.Details = append(f.Details, failureOf(last).Message)
	}
	return f
}

// health returns the state of a service, or of the server for "".
func (t *target) health(ctx context.Context, service string) (introspect.Health, error) {
	s, err := t.connect(ctx)
	if err != nil {
		return introspect.Health{}, err
	}
	defer s.Close()
	ctx, cancel := t.limit(ctx, false)
	defer cancel()
	h, err := s.about.Health(ctx, service)
	return h, s.noHealth(ctx, err, service)
}

// watch returns the state of a service once it is ready, or the last one of its stream.
func (t *target) watch(ctx context.Context, service string) (introspect.Health, error) {
	s, err := t.connect(ctx)
	if err != nil {
		return introspect.Health{}, err
	}
	defer s.Close()
	var last introspect.Health
	seen := false
	for h, err := range s.about.WatchHealth(ctx, service) {
		if err != nil && seen && ctx.Err() != nil {
			break // it is not ready
		}
		if err != nil {
			return h, s.noHealth(ctx, err, service)
		}
		if last, seen = h, true; h.Serving {
			break
		}
	}
	return last, nil
}

// noHealth returns the error of a state.
func (s *server) noHealth(ctx context.Context, err error, service string) error {
	var e *bsrpc.Error
	if errors.As(err, &e) && e.Code == bsrpc.CodeNotFound {
		return s.noService(ctx, service)
	}
	return err
}
