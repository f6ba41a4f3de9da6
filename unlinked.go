package bsrpc

import (
	"context"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/method"
)

// An unlinked is the link of a nil Client, as Dial returns beside its error, or
// of a zero one. To its users it has ended.
type unlinked struct{}

// errUnlinked says what is missing.
var errUnlinked = fault.New(fault.FailedPrecondition, fault.NotRun, "nil or zero Client; use Dial or NewClient, and check the error")

var ended = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

func (unlinked) agree(context.Context, string, []*boundMethod) error      { return errUnlinked }
func (unlinked) call(context.Context, *boundMethod, *method.Values) error { return errUnlinked }

func (unlinked) limits() *bounds {
	b, _ := (*ClientOptions)(nil).resolve()
	return b
}

func (unlinked) close(*fault.Fault)     {}
func (unlinked) ended() <-chan struct{} { return ended }
func (unlinked) Err() error             { return errUnlinked }

// link returns the connection, unlinked where there is none.
func (c *Client) link() link {
	if c == nil || c.via == nil {
		return unlinked{}
	}
	return c.via
}

// linkOf returns the connection of a caller.
func linkOf(caller Caller) link {
	if caller == nil {
		return unlinked{}
	}
	return caller.link()
}

// needContext refuses a nil context, which would panic far from who passed it.
func needContext(ctx context.Context, doing string) error {
	if ctx == nil {
		return fault.Refusal(fault.InvalidArgument, "%s: nil context; use context.Background()", doing)
	}
	return nil
}
