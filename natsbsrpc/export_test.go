package natsbsrpc

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
)

func TestMain(m *testing.M) {
	pingEvery = 500 * time.Millisecond
	os.Exit(m.Run())
}

// LimitPending makes a client a slow consumer: it drops messages of more than these bytes.
func LimitPending(client *bsrpc.Client, bytes int) {
	connOf(context.Background(), client).sub.SetPendingLimits(-1, bytes)
}
