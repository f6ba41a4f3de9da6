package basic

import (
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"slices"
	"time"

	"github.com/bsrpc/bsrpc/internal/netconn"
)

// write writes the parts of a frame; without an error it has written all of them. Within
// stall the peer must accept one byte, or on a connection other than a socket
// netconn.SmallWrite bytes. Otherwise it loses the connection, unless it was excused at
// the beginning of that time.
func write(nc net.Conn, parts net.Buffers, stall time.Duration, excused func() bool) error {
	if netconn.IsSocket(nc) {
		return writeSocket(nc, parts, stall, excused)
	}
	for _, part := range parts {
		for chunk := range slices.Chunk(part, netconn.SmallWrite) {
			if err := writeChunk(nc, chunk, stall, excused); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeSocket writes to a socket, which can continue after a deadline.
func writeSocket(nc net.Conn, parts net.Buffers, stall time.Duration, excused func() bool) error {
	for {
		excuse := excused()
		nc.SetWriteDeadline(netconn.DeadlineIn(stall))
		n, err := parts.WriteTo(nc)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case n == 0 && !excuse:
			return stalled(stall)
		}
	}
}

// writeChunk writes a chunk to any other connection. There a deadline ends the last
// write, so it is set only to end the connection.
func writeChunk(nc net.Conn, chunk []byte, stall time.Duration, excused func() bool) error {
	excuse := excused()
	var timer *time.Timer
	timer = time.AfterFunc(math.MaxInt64, func() {
		if excuse {
			excuse = excused()
			timer.Reset(stall)
			return
		}
		nc.SetWriteDeadline(netconn.LongAgo)
	})
	timer.Reset(stall)
	_, err := nc.Write(chunk)
	if !timer.Stop() && (err == nil || errors.Is(err, os.ErrDeadlineExceeded)) {
		return stalled(stall)
	}
	return err
}

// stalled is the error of a peer that does not read.
func stalled(stall time.Duration) error {
	return fmt.Errorf("the peer has taken nothing for this end's Limits.WriteStall (%v)", stall)
}

// neverExcused is for a server: a client can read at any time.
func neverExcused() bool { return false }
