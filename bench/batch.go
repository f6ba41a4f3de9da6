package main

import (
	"encoding/binary"
	"net"
	"runtime"
	"sync"
)

const bigBody = 64 << 10 // bodies from here on are not copied into a batch

// A batch joins the frames of many writers into one write: whoever finds
// nobody writing writes for all.
type batch struct {
	nc net.Conn

	mu      sync.Mutex // guards the rest; lock it, add, flush
	buf     []byte     // frames without big bodies
	from    int        // where in buf that begins which is not in bufs
	bufs    net.Buffers
	spare   []byte // buf and bufs of the last write
	spares  net.Buffers
	writing bool
	err     error
}

// addLocked adds a frame: the length of what follows it, head, body. A big
// body must stay as it is until it is written.
func (b *batch) addLocked(head, body []byte) {
	b.buf = binary.LittleEndian.AppendUint32(b.buf, uint32(len(head)+len(body)))
	b.buf = append(b.buf, head...)
	if len(body) < bigBody {
		b.buf = append(b.buf, body...)
		return
	}
	b.bufs = append(b.bufs, b.buf[b.from:], body)
	b.from = len(b.buf)
}

// flushUnlock unlocks mu, and writes unless somebody does.
func (b *batch) flushUnlock() error {
	if b.writing || b.err != nil {
		defer b.mu.Unlock()
		return b.err
	}
	b.writing = true
	for len(b.buf) > 0 && b.err == nil {
		b.mu.Unlock()
		runtime.Gosched() // others may join
		b.mu.Lock()
		buf, bufs := b.buf, append(b.bufs, b.buf[b.from:])
		b.buf, b.bufs, b.from = b.spare[:0], b.spares[:0], 0
		b.mu.Unlock()
		err := writeAll(b.nc, bufs)
		b.mu.Lock()
		b.spare, b.spares, b.err = buf, bufs[:0], err
	}
	b.writing = false
	err := b.err
	b.mu.Unlock()
	return err
}

func writeAll(nc net.Conn, bufs net.Buffers) error {
	if len(bufs) == 1 {
		_, err := nc.Write(bufs[0])
		return err
	}
	return writeMany(nc, bufs)
}

// writeMany is on its own because its parameter moves to the heap.
//
//go:noinline
func writeMany(nc net.Conn, bufs net.Buffers) error {
	_, err := bufs.WriteTo(nc)
	return err
}
