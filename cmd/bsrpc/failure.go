package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/bsrpc/bsrpc"
)

// The exit codes, as the help says.
const (
	exitApplication = 1
	exitUsage       = 2
	exitNetwork     = 3
	exitMismatch    = 4
	exitInterrupted = 130 // as shells have it
)

// maxErrorText limits the bytes of an error's text, and maxErrorLines its lines.
const (
	maxErrorText  = 8 << 10
	maxErrorLines = 32
)

// A failure is an error as the user sees it.
type failure struct {
	Exit    int      `json:"exit"`
	Code    string   `json:"code,omitempty"` // of a call
	Name    string   `json:"name,omitempty"`
	Outcome string   `json:"outcome,omitempty"`
	Message string   `json:"message"`
	Details []string `json:"details,omitempty"` // further lines

	flags bool // of a connection: other flags are wanted, so waiting does not help
}

// Error implements error.
func (f *failure) Error() string { return f.Message }

// text returns the lines of f, without control characters.
func (f *failure) text() string {
	lines := []string{clean(f.Message, maxErrorText)}
	if f.Name != "" {
		lines[0] += " (" + clean(f.Name, maxWord) + ")"
	}
	for i, d := range f.Details {
		if i == maxErrorLines {
			lines = append(lines, fmt.Sprintf("and %d more", len(f.Details)-i))
			break
		}
		lines = append(lines, clean(d, maxErrorText))
	}
	return strings.Join(lines, "\n    ")
}

// usage returns a mistake in the arguments.
func usage(format string, args ...any) error {
	return &failure{Exit: exitUsage, Message: fmt.Sprintf(format, args...)}
}

// unknown returns the error for what the server does not have, or does not describe.
func unknown(format string, args ...any) error {
	return &failure{Exit: exitMismatch, Message: fmt.Sprintf(format, args...)}
}

// failureOf returns an error as a failure: which exit code it has, and what to do.
func failureOf(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	var mismatch *bsrpc.MismatchError
	if errors.As(err, &mismatch) {
		f = &failure{Exit: exitMismatch, Message: "the server and this command disagree about " + mismatch.Service}
		for _, d := range mismatch.Differences {
			f.Details = append(f.Details, d.String())
		}
		return f
	}
	var e *bsrpc.Error
	remote := errors.As(err, &e) && e.Remote
	f = &failure{Exit: exitUsage, Message: inFlags(err.Error(), remote)}
	switch {
	case e != nil:
		f.Exit, f.Code, f.Name, f.Outcome = exitOf(e), e.Code.String(), e.Name, e.Outcome.String()
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		f.Exit, f.Message = exitNetwork, plainTexts.Replace(f.Message)
	default:
		return f
	}
	switch {
	case errors.Is(err, context.Canceled): // the own context, so by a signal
		f.Exit = exitInterrupted
	case errors.Is(err, context.DeadlineExceeded): // the own time is over, at which end does not matter
		f.Exit = exitNetwork
		f.Details = append(f.Details, "allow more time with --timeout")
	}
	if e != nil && e.Outcome == bsrpc.OutcomeUnknown && (f.Exit == exitNetwork && !errors.Is(err, context.DeadlineExceeded) || f.Exit == exitInterrupted) {
		f.Details = append(f.Details, "the call may have run, or not")
	}
	return f
}

// interrupted returns the exit code of a signal, 0 for other errors.
func (f *failure) interrupted() int {
	if f.Exit == exitInterrupted {
		return exitInterrupted
	}
	return 0
}

// exitOf returns the exit code for the error of a call.
func exitOf(e *bsrpc.Error) int {
	switch {
	case e.Outcome == bsrpc.OutcomeAnswered:
		return exitApplication
	case e.Code == bsrpc.CodeUnimplemented, e.Code == bsrpc.CodeFailedPrecondition:
		return exitMismatch
	case e.Code == bsrpc.CodeInvalidArgument && !e.Remote:
		return exitUsage
	case e.Code == bsrpc.CodeUnavailable, e.Code == bsrpc.CodeDeadlineExceeded, e.Code == bsrpc.CodeCanceled, e.Code == bsrpc.CodeAborted:
		return exitNetwork
	}
	return exitApplication
}
