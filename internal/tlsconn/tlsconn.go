// Package tlsconn is TLS over a socket with encryption apart from writing. A write of a
// *tls.Conn that is interrupted must be the last one, so it can be made only by a goroutine
// that may wait. Seal never waits: any goroutine may encrypt, and then write the ciphertext
// to the socket as far as the socket takes it. The package has no cryptography of its own,
// and knows no frames.
package tlsconn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/sockio"
)

// A Conn is TLS over a net.Conn. It is a *tls.Conn like any other until Detach: handshake,
// Read and Write block, and deadlines apply. After Detach, Seal replaces Write, and whoever
// seals writes to the socket. Close and CloseWrite remain.
//
// After Detach, at most one goroutine may use Read, one Seal, and any others the rest.
type Conn struct {
	*tls.Conn
	below *below
}

// Client returns the client side of a connection over nc.
func Client(nc net.Conn, c *tls.Config) *Conn {
	b := newBelow(nc)
	return &Conn{tls.Client(b, c), b}
}

// Server returns the server side of a connection over nc. Verifying the certificates of a client is
// a part of w, that of a peer, unless w is nil or the user's code verifies too: that may wait.
func Server(nc net.Conn, c *tls.Config, w *Work, peer string) *Conn {
	b := newBelow(nc)
	if w != nil && c.ClientAuth >= tls.VerifyClientCertIfGiven && c.VerifyPeerCertificate == nil && c.VerifyConnection == nil && c.GetConfigForClient == nil {
		b.part = newPart(w, peer)
	}
	return &Conn{tls.Server(b, c), b}
}

// MaxHandshake is how many bytes a peer may send before the TLS handshake is complete: a dozen
// certificates with keys of common sizes. Verifying a long chain takes much memory and time, and
// crypto/tls allows 256 KiB.
const MaxHandshake = 32 << 10

// ErrLong is the error of a peer that exceeds MaxHandshake.
var ErrLong = fmt.Errorf("the peer's part of the TLS handshake, with its certificates, has more than %d bytes", MaxHandshake)

// HandshakeContext is that of tls.Conn, with at most MaxHandshake bytes of the peer.
func (c *Conn) HandshakeContext(ctx context.Context) error {
	defer c.below.part.end() // also if a func of the tls.Config panics
	err := c.Conn.HandshakeContext(ctx)
	c.below.shaken.Store(err == nil)
	return err
}

// NetConn returns the connection below TLS. After Detach it may be written, but only what
// Seal has returned, all of it, in this order.
func (c *Conn) NetConn() net.Conn { return c.below.Conn }

// Detach takes writing away from TLS, after the handshake and before concurrent use. nc is a
// connection of netconn.Wrap. The result is nil, and nc unchanged, unless nc is a Conn with
// TLS 1.3 over a socket: TLS 1.2 renegotiates and runs user code in Write, and any other
// connection cannot continue an interrupted write either.
//
// onOutput is called by the goroutine in Read, with a lock of tls.Conn held, before it waits
// for bytes after TLS has answered the peer. It must not wait; soon afterwards another
// goroutine must call Seal, without data if there is none.
func Detach(nc net.Conn, onOutput func()) *Conn {
	c, ok := netconn.Unwrap(nc).(*Conn)
	if !ok || !netconn.IsSocket(c.below.Conn) || c.ConnectionState().Version < tls.VersionTLS13 {
		return nil
	}
	b := c.below
	b.reads, b.onOutput = sockio.NewReader(b.Conn), onOutput
	b.shaken.Store(true)
	b.detached.Store(true)
	return c
}

// Read reads the available bytes, of several records after Detach. Otherwise each record
// would cost its reader a wake-up, and its answer a write.
func (c *Conn) Read(p []byte) (n int, err error) {
	b := c.below
	if !b.detached.Load() {
		return c.Conn.Read(p)
	}
	n, err = c.readOne(p)
	for b.dry = true; err == nil && b.records > 0 && n < len(p); {
		var k int
		k, err = c.readOne(p[n:])
		n += k
	}
	if b.dry = false; err == errDry && n > 0 {
		b.records, err = 0, nil
	}
	if err != nil && b.full.Load() {
		err = errUnread // otherwise tls.Conn has a consequence of it
	}
	return n, err
}

// readOne reads of one record with data.
func (c *Conn) readOne(p []byte) (n int, err error) {
	n, err = c.Conn.Read(p)
	b := c.below
	if n > 0 && !b.within {
		b.records--
	}
	b.within = n > 0 && n == len(p)
	return n, err
}

// HasOutput reports whether TLS has answered the peer, and Seal has not returned the answer
// yet. c may be nil.
func (c *Conn) HasOutput() bool { return c != nil && c.below.unsent.Load() }

// Seal encrypts bufs from the beginning, up to sealSize bytes, and returns the rest of bufs,
// which it changes. The ciphertext begins with the answers of TLS, if there are any, and
// belongs to the caller until Sent, which must come before the next Seal. An error is final.
func (c *Conn) Seal(bufs [][]byte) (rest [][]byte, out []byte, err error) {
	b := c.below
	b.beginSeal(bufs)
	for room := sealSize; room > 0 && len(bufs) > 0 && err == nil; {
		p := bufs[0]
		if p = p[:min(len(p), room)]; len(p) > 0 {
			_, err = c.Conn.Write(p)
		}
		room -= len(p)
		if bufs[0] = bufs[0][len(p):]; len(bufs[0]) == 0 {
			bufs = bufs[1:]
		}
	}
	return bufs, b.endSeal(), err
}

// Sent ends the use of the last result of Seal, once it has been written.
func (c *Conn) Sent(out []byte) { c.below.sent(out) }

// CloseWrite tells the peer that no more bytes come. After Detach it writes the alert itself,
// within netconn.CloseTime: nothing else may be written then or later.
func (c *Conn) CloseWrite() error {
	err := c.Conn.CloseWrite()
	if b := c.below; err == nil && b.detached.Load() {
		b.Conn.SetWriteDeadline(time.Now().Add(netconn.CloseTime))
		_, err = b.Conn.Write(b.endSeal())
	}
	return err
}

// Close closes the connection. It sends no alert: the last record may have been written in part,
// a peer that does not read must not delay Close, and the end of a bsrpc connection is its CLOSE
// frame, or a refusal, with CloseWrite.
func (c *Conn) Close() error { return c.below.Conn.Close() }

// The deadlines are those of the socket. tls.Conn sets some as well, see below.

func (c *Conn) SetDeadline(t time.Time) error      { return c.below.Conn.SetDeadline(t) }
func (c *Conn) SetReadDeadline(t time.Time) error  { return c.below.interruptible(t) }
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.below.Conn.SetWriteDeadline(t) }

// errDry is the error of a read that would have to wait. For tls.Conn it is temporary.
var errDry = os.ErrDeadlineExceeded

// below is the connection that tls.Conn reads and writes.
type below struct {
	net.Conn
	detached atomic.Bool
	onOutput func()
	output

	shaken   atomic.Bool // the handshake is complete
	part     *part       // of a Work; nil for none
	received int         // of the goroutine in HandshakeContext

	// of the goroutine in Read
	reads   io.Reader // of Conn
	dry     bool      // Read would not wait
	records int       // the most complete records that tls.Conn can have; some may be its own
	within  bool      // tls.Conn may have a part of a record that is not counted any more
	head    [recordHeader]byte
	have    int // bytes of head
	left    int // of the record behind head
}

func newBelow(nc net.Conn) *below { return &below{Conn: nc, reads: nc} }

// recordHeader is the size of the header of a record: its type, a version, the length of the
// rest in two bytes.
const recordHeader = 5

// Read reads ciphertext.
func (b *below) Read(p []byte) (int, error) {
	if b.dry {
		return 0, errDry
	}
	if b.unsent.Load() { // the peer may wait for it
		b.onOutput()
	}
	if b.shaken.Load() {
		n, err := b.reads.Read(p)
		b.follow(p[:max(n, 0)])
		return n, err
	}
	return b.readHandshake(p)
}

// readHandshake is Read before the end of the handshake.
func (b *below) readHandshake(p []byte) (int, error) {
	room := MaxHandshake - b.received // what follows the handshake remains in the socket
	if room <= 0 {
		return 0, ErrLong
	}
	b.part.end()
	n, err := b.reads.Read(p[:min(len(p), room)])
	b.received += max(n, 0)
	b.follow(p[:max(n, 0)])
	if err == nil {
		err = b.part.begin()
	}
	return n, err
}

// interruptible is SetReadDeadline. netconn.LongAgo also ends a wait for a part of a Work.
func (b *below) interruptible(t time.Time) error {
	if t.Equal(netconn.LongAgo) {
		b.part.abandon()
	}
	return b.Conn.SetReadDeadline(t)
}

// Close ends a wait as well. tls.Conn calls it at the end of the context of a handshake.
func (b *below) Close() error {
	b.part.abandon()
	return b.Conn.Close()
}

// follow counts the records that end in p.
func (b *below) follow(p []byte) {
	for len(p) > 0 {
		if b.have < recordHeader {
			n := copy(b.head[b.have:], p)
			b.have += n
			p = p[n:]
			b.left = int(b.head[3])<<8 | int(b.head[4])
			if b.have < recordHeader || b.left > 0 {
				continue
			}
		}
		n := min(b.left, len(p))
		b.left -= n
		if p = p[n:]; b.left == 0 {
			b.have = 0
			b.records++
		}
	}
}

// Write writes ciphertext, or after Detach keeps it until it is sealed.
func (b *below) Write(p []byte) (int, error) {
	if b.detached.Load() {
		return b.output.add(p)
	}
	if b.part != nil && !b.shaken.Load() {
		b.part.end()
		b.part.answered.Store(true)
	}
	return b.Conn.Write(p)
}

// CloseWrite half-closes the connection below, where a client without TLS has been refused.
func (b *below) CloseWrite() error {
	if !netconn.CloseWrite(b.Conn) {
		return errors.ErrUnsupported
	}
	return nil
}

// SetWriteDeadline is called by tls.Conn for its last alert, and then to make later writes
// fail. After Detach the deadline belongs to the goroutine that writes.
func (b *below) SetWriteDeadline(t time.Time) error {
	if b.detached.Load() {
		return nil
	}
	return b.Conn.SetWriteDeadline(t)
}
