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

// LimitArrivals makes new instances drop messages if so many wait, until restore.
func LimitArrivals(n int) (restore func()) {
	before := maxArrivals
	maxArrivals = n
	return func() { maxArrivals = before }
}

// Stall makes an instance take no messages until release.
func Stall(i *Instance) (release func()) {
	i.mu.Lock()
	return i.mu.Unlock
}

// Dropped returns the number of messages that an instance has dropped.
func Dropped(i *Instance) int { return i.dropped() }
