package trace

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc/internal/errtree"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// NewConn returns a connection that writes the lines of all that is read from and written to
// nc to w, from either end. The Options may be nil; without a Name, lines begin with the
// remote address.
//
// Lines are decoded during Read and Write, and written by another goroutine, many in one
// Write. A w that is slow, fails or panics never affects the connection: up to 1 MiB of
// lines wait for it, and a line tells how many were dropped. Close waits for it for 100 ms at
// most. If connections share w, it must be safe for concurrent use, as *os.File is.
//
// Bytes are recorded before they are written: the lines have what this end has tried to send.
// Deadlines and half-close are those of nc, and a server finds the certificate or the unix user
// of its client as without a trace. Around a *tls.Conn the lines are those of the frames.
func NewConn(nc net.Conn, w io.Writer, opts *Options) net.Conn {
	var own Options
	if opts != nil {
		own = *opts
	}
	if addr := nc.RemoteAddr(); own.Name == "" && addr != nil {
		own.Name = word(addr.String(), 64)
	}
	c := &conn{Conn: nc, out: NewLines(w, nil), record: own.Record}
	c.decoder = NewDecoder(&own, c.print)
	if half, ok := nc.(halfCloser); ok {
		return &halfConn{c, half}
	}
	return c
}

// A halfCloser can close one direction.
type halfCloser interface{ CloseWrite() error }

// A halfConn is a conn with half-close. The methods of a connection tell what it can do, so
// a connection without half-close is another type.
type halfConn struct {
	*conn
	half halfCloser
}

// A conn is a traced connection. Its lock is not held while nc reads or writes.
type conn struct {
	net.Conn
	out    *Lines
	record func(*Piece) // nil for none

	mu      sync.Mutex // guards the rest; before lines.mu
	decoder *Decoder
	self    Direction // this end, once begun
	begun   bool
	failed  bool // a panic has ended the trace
}

// Inner returns the connection without the trace, in which servers look for TLS and for the
// user of a unix socket.
func (c *conn) Inner(netconn.Internal) net.Conn { return c.Conn }

// Read reads from the connection. A deadline is not an end: the library interrupts a Read by one
// and reads again. An invalid count is that of a faulty connection, and not traced.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && n <= len(b) {
		c.trace(false, b[:n], "")
	}
	if err = errtree.Bounded(err); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && !isClosed(err) {
		c.trace(false, nil, err.Error())
	}
	return n, err
}

// Write writes to the connection. The trace comes first: the answer may be read, by another
// goroutine, before Write returns.
func (c *conn) Write(b []byte) (int, error) {
	c.trace(true, b, "")
	n, err := c.Conn.Write(b)
	if err = errtree.Bounded(err); err != nil && !isClosed(err) {
		c.trace(true, nil, "write failed: "+err.Error())
	}
	return n, err
}

// isClosed reports whether this end has closed the connection, which Close traces.
func isClosed(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe)
}

// CloseWrite closes the direction of this end.
func (c *halfConn) CloseWrite() error {
	c.trace(true, nil, "half-closed")
	return c.half.CloseWrite()
}

// Close closes the connection, which ends both directions, and gives w a moment for the last
// lines.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.trace(true, nil, "closed")
	c.trace(false, nil, "closed by this end") // unless it has ended before
	c.out.Wait(100 * time.Millisecond)
	return err
}

// trace decodes bytes that this end writes or has read, or the end of a direction. Its lock puts
// the two directions in one order: that in which this end has seen them.
func (c *conn) trace(written bool, b []byte, end string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed || !c.begun && len(b) == 0 {
		return // nothing has been said on it
	}
	defer func() {
		// A fault of this package must not become one of the connection.
		if recover() != nil {
			c.failed = true
			c.out.Write([]byte("the trace has failed, and ends here\n"))
		}
	}()
	if !c.begun {
		c.begun, c.self = true, whoWrites(written, b)
	}
	p := Piece{Time: time.Now(), From: c.self, Bytes: b, End: end}
	if !written {
		p.From = c.self.other()
	}
	if c.record != nil {
		c.record(&p)
	}
	c.decoder.Feed(&p)
}

// whoWrites returns the role of this end from the first bytes of the connection. The client
// speaks first, but for a server that refuses a connection at once.
func whoWrites(written bool, b []byte) Direction {
	sender := FromClient
	if len(b) > wire.BasicHeaderSize && wire.Type(b[4]) == wire.Init {
		if h, err := wire.ReadServerInit(b[wire.BasicHeaderSize:]); err == nil && h.Version != 0 {
			sender = FromServer
		}
	} else if len(b) >= wire.BasicHeaderSize && wire.Type(b[4]) == wire.Exception {
		sender = FromServer
	}
	if written {
		return sender
	}
	return sender.other()
}

// print queues the lines of an event. It is called within Feed, while the frame is in the buffer
// of the Decoder.
func (c *conn) print(e *Event) {
	b, _ := e.AppendText(nil)
	c.out.Write(append(b, '\n'))
}
