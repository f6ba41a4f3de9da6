package basic

import (
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"slices"
	"sync"
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
	w := &stallTimer{excuse: excused()}
	w.timer = time.AfterFunc(math.MaxInt64, func() { w.expire(nc, stall, excused) })
	w.timer.Reset(stall)
	_, err := nc.Write(chunk)
	if w.end() && (err == nil || errors.Is(err, os.ErrDeadlineExceeded)) {
		return stalled(stall)
	}
	return err
}

// A stallTimer ends a write that takes too long.
type stallTimer struct {
	timer *time.Timer

	mu     sync.Mutex // guards the rest
	excuse bool       // at the beginning of the time
	ended  bool       // the write is over
	late   bool       // the time was over before
}

// expire ends the write after a time without an excuse.
func (w *stallTimer) expire(nc net.Conn, stall time.Duration, excused func() bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.ended:
	case w.excuse:
		w.excuse = excused()
		w.timer.Reset(stall)
	default:
		w.late = true
		nc.SetWriteDeadline(netconn.LongAgo)
	}
}

// end ends the timer after the write, and reports whether it was late. The timer may fire at this
// moment: an excuse holds then as well.
func (w *stallTimer) end() (late bool) {
	w.timer.Stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	return w.late
}

// stalled is the error of a peer that does not read.
func stalled(stall time.Duration) error {
	return fmt.Errorf("the peer has taken nothing for this end's Limits.WriteStall (%v)", stall)
}

// neverExcused is for a server: a client can read at any time.
func neverExcused() bool { return false }
