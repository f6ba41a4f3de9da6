package transport

import (
	"net"

	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/sockio"
	"github.com/bsrpc/bsrpc/internal/tlsconn"
)

// A writeBatch is the bytes of one write: frames, and chunks of one message. Only the
// holder of the writer role changes it, and Conn.mu guards current and spare.
type writeBatch struct {
	left    net.Buffers     // not written yet, in order
	bufs    [][]byte        // memory of left
	spare   []byte          // the frames in the batch; alternates with sendQueue.frames
	own     []*ByteBuffer   // frames of streams, without chunks beside them
	current *chunkedMessage // the message with chunks in the batch
	headers []byte          // of its chunks after the first
	copied  []byte          // its chunk, if not written from the memory of the message

	// With TLS over a socket; otherwise nil. The bytes in sealed are before those in left.
	tls    *tlsconn.Conn
	sealed []byte // ciphertext not written yet
	piece  []byte // its memory, with what is written
}

// maxSpare is the largest frame buffer kept for reuse.
const maxSpare = 1 << 20

// unwritten returns how many bytes of the batch are left.
func (b *writeBatch) unwritten() (n int) {
	for _, buf := range b.left {
		n += len(buf)
	}
	return n + len(b.sealed)
}

// seal encrypts the next piece of the batch, once the one before is written. Without TLS it
// does nothing. Like writeTo, it is called without a lock.
func (b *writeBatch) seal() (err error) {
	if b.tls != nil && len(b.sealed) == 0 {
		b.left, b.sealed, err = b.tls.Seal(b.left)
		b.piece = b.sealed
	}
	return err
}

// writeTo writes the batch to a socket, with TLS the sealed piece of it. After an error, the
// rest stays in the batch.
func (b *writeBatch) writeTo(nc net.Conn) error {
	buf := b.single()
	if buf == nil {
		_, err := b.left.WriteTo(nc)
		return err
	}
	n, err := nc.Write(*buf)
	b.wrote(buf, n)
	return err
}

// tryWrite is writeTo without waiting, and only for a single buffer. It reports whether
// nothing is left; otherwise writeTo must follow.
func (b *writeBatch) tryWrite(w *sockio.Writer) (done bool) {
	buf := b.single()
	if buf == nil {
		return false
	}
	b.wrote(buf, w.TryWrite(*buf))
	return len(*buf) == 0
}

// single returns the buffer to be written to a socket, nil if there are several.
func (b *writeBatch) single() *[]byte {
	switch {
	case b.tls != nil:
		return &b.sealed
	case len(b.left) == 1:
		return &b.left[0]
	}
	return nil
}

// wrote removes the n bytes written from the single buffer.
func (b *writeBatch) wrote(buf *[]byte, n int) {
	*buf = (*buf)[n:]
	if b.tls != nil && len(b.sealed) == 0 {
		b.tls.Sent(b.piece)
		b.piece = nil
	}
}

// writeSome writes a part of the batch to any net.Conn. An interrupted write may be the
// last one there, so each write is short.
func (b *writeBatch) writeSome(nc net.Conn) error {
	buf := b.left[0]
	n, err := nc.Write(buf[:min(len(buf), netconn.SmallWrite)])
	if b.left[0] = buf[n:]; n == len(buf) {
		b.left = b.left[1:]
	}
	return err
}

// copyStoppedLocked copies the rest of the batch and releases the message, if its caller
// wants the memory back.
func (b *writeBatch) copyStoppedLocked() {
	if b.current == nil || !b.current.stopped || !b.current.inUse {
		return
	}
	rest := flatten(nil, b.left)
	clear(b.bufs)
	b.bufs = append(b.bufs[:0], rest)
	b.left = b.bufs
	b.current.releaseLocked()
}

// releaseLocked releases the message of a batch after the last write of a connection.
func (b *writeBatch) releaseLocked() {
	if b.current != nil {
		b.current.releaseLocked()
	}
}

// flatten appends all buffers to dst.
func flatten(dst []byte, bufs [][]byte) []byte {
	for _, b := range bufs {
		dst = append(dst, b...)
	}
	return dst
}
