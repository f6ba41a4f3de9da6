package tlsconn

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// sealSize limits the bytes of one Seal: four records. While they travel, the next ones are
// encrypted, and the first ones decrypted at the peer.
const sealSize = 64 << 10

// bigSize is the size of a buffer for sealSize bytes, with headers and tags of the records.
// Buffers of up to smallSize stay with their connection, bigger ones are shared by all.
const (
	bigSize   = sealSize + 8<<10
	smallSize = 8 << 10
)

var bigBuffers = sync.Pool{New: func() any { return new([bigSize]byte) }}

// maxUnsent limits the answers of TLS that wait to be sealed. A peer that asks for them, and
// does not read, loses the connection.
const maxUnsent = 64 << 10

var errUnread = fmt.Errorf("the peer asks for answers of TLS and reads none; more than %d bytes of them wait", maxUnsent)

// An output is ciphertext on its way from tls.Conn to the goroutine that writes. tls.Conn
// adds it in the order of its sequence numbers, with a lock of its own held: in Seal, and in
// Read, where it answers the peer.
type output struct {
	unsent atomic.Bool // pending has bytes that are not of a Seal in progress
	full   atomic.Bool // an answer has exceeded maxUnsent

	mu      sync.Mutex // guards the rest; no other lock is taken with it held
	sealing bool
	pending []byte
	spare   []byte // memory for the next pending
}

// add appends p.
func (o *output) add(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.sealing {
		if len(o.pending) > maxUnsent {
			o.full.Store(true)
			return 0, errUnread
		}
		o.unsent.Store(true)
	}
	o.pending = append(o.pending, p...)
	return len(p), nil
}

// beginSeal prepares for the ciphertext of bufs.
func (o *output) beginSeal(bufs [][]byte) {
	n := 0
	for _, b := range bufs {
		n += len(b)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sealing = true
	if n <= smallSize {
		return
	}
	big := bigBuffers.Get().(*[bigSize]byte)
	o.pending, o.spare = append(big[:0], o.pending...), o.pending[:0]
}

// endSeal returns all ciphertext.
func (o *output) endSeal() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := o.pending
	o.pending, o.spare, o.sealing = o.spare, nil, false
	o.unsent.Store(false)
	return out
}

// sent takes the memory of out back.
func (o *output) sent(out []byte) {
	switch {
	case cap(out) == bigSize:
		bigBuffers.Put((*[bigSize]byte)(out[:bigSize]))
	case cap(out) <= smallSize+1<<10:
		o.mu.Lock()
		o.spare = out[:0]
		o.mu.Unlock()
	}
}
