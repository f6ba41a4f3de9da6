package natsbsrpc

import (
	"context"

	"github.com/bsrpc/bsrpc"
)

// LimitPending makes a client a slow consumer: it drops messages of more than these bytes.
func LimitPending(client *bsrpc.Client, bytes int) {
	connOf(context.Background(), client).sub.SetPendingLimits(-1, bytes)
}
