package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
)

// typed is an echo of values with the codec by hand at both ends, a goroutine
// for each request at the server, and at the client a reader that finds the
// caller in a map: what an RPC library with a perfect codec and no bookkeeping
// reaches in the usual way. Writes are batched at both ends.
//
// A frame is a length, an id of 8 bytes, a kind, and the value.
type typed struct{ universal }

const (
	kindSmall = iota
	kindBulk
	kindItems
	kindHold

	typedHead = 9 // id and kind
)

func (typed) name() string                       { return "typed" }
func (typed) serve(l net.Listener) (stop func()) { return serveConns(l, serveTyped) }

// A typedReader reads frames. The body of all but bulk is in a buffer that the
// next frame uses again.
type typedReader struct {
	r    *bufio.Reader
	head [4 + typedHead]byte
	buf  []byte
}

func newTypedReader(nc net.Conn) *typedReader {
	return &typedReader{r: bufio.NewReaderSize(nc, bufferSize)}
}

func (r *typedReader) next() (id uint64, kind byte, body []byte, err error) {
	if _, err = io.ReadFull(r.r, r.head[:]); err != nil {
		return
	}
	n := int(binary.LittleEndian.Uint32(r.head[:])) - typedHead
	if n < 0 || n > maxMessage {
		return 0, 0, nil, errors.New("frame of a wrong length")
	}
	id, kind = binary.LittleEndian.Uint64(r.head[4:]), r.head[12]
	if kind == kindBulk {
		body = make([]byte, n)
	} else {
		r.buf = resize(r.buf, n)
		body = r.buf
	}
	_, err = io.ReadFull(r.r, body)
	return
}

func writeTyped(out *batch, id uint64, kind byte, body []byte) error {
	var head [typedHead]byte
	binary.LittleEndian.PutUint64(head[:], id)
	head[8] = kind
	out.mu.Lock()
	out.addLocked(head[:], body)
	return out.flushUnlock()
}

// scratch has buffers to encode into.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

func serveTyped(nc net.Conn) {
	r, out := newTypedReader(nc), &batch{nc: nc}
	for {
		id, kind, body, err := r.next()
		if err != nil {
			return
		}
		switch kind {
		case kindSmall, kindHold:
			var v Small
			if readSmall(body, &v) != nil {
				return
			}
			if kind == kindHold {
				go holdSmall(out, id, v)
			} else {
				go echoSmall(out, id, v)
			}
		case kindItems:
			items, err := readItems(body)
			if err != nil {
				return
			}
			go echoItems(out, id, items)
		case kindBulk:
			go writeTyped(out, id, kindBulk, body)
		}
	}
}

func echoSmall(out *batch, id uint64, v Small) {
	b := scratch.Get().(*[]byte)
	*b = appendSmall((*b)[:0], &v)
	writeTyped(out, id, kindSmall, *b)
	scratch.Put(b)
}

func holdSmall(out *batch, id uint64, v Small) {
	held.wait()
	echoSmall(out, id, v)
}

func echoItems(out *batch, id uint64, items []Item) {
	b := scratch.Get().(*[]byte)
	*b = appendItems((*b)[:0], items)
	writeTyped(out, id, kindItems, *b)
	if len(*b) < bigBody { // a bigger one may not have been written yet
		scratch.Put(b)
	}
}

type typedClient struct {
	out batch

	mu      sync.Mutex // guards the rest
	id      uint64
	pending map[uint64]*typedCall
	err     error
}

// A typedCall is a caller, and what it gets.
type typedCall struct {
	c     *typedClient
	buf   []byte
	wake  chan error
	small *Small
	items []Item
	bulk  []byte
}

func (typed) dial(d dialer) (client, error) {
	nc, err := d.dial()
	if err != nil {
		return nil, err
	}
	c := &typedClient{out: batch{nc: nc}, pending: make(map[uint64]*typedCall)}
	go c.read(newTypedReader(nc))
	return c, nil
}

func (c *typedClient) read(r *typedReader) {
	for {
		id, kind, body, err := r.next()
		c.mu.Lock()
		if err != nil {
			c.err = err
			for _, t := range c.pending {
				t.wake <- err
			}
			c.mu.Unlock()
			return
		}
		t := c.pending[id]
		delete(c.pending, id)
		c.mu.Unlock()
		if t != nil {
			t.wake <- t.read(kind, body)
		}
	}
}

func (t *typedCall) read(kind byte, body []byte) (err error) {
	switch kind {
	case kindSmall:
		t.small = new(Small)
		err = readSmall(body, t.small)
	case kindItems:
		t.items, err = readItems(body)
	case kindBulk:
		t.bulk = body
	}
	return err
}

func (t *typedCall) do(kind byte, body []byte) error {
	c := t.c
	c.mu.Lock()
	if c.err != nil {
		defer c.mu.Unlock()
		return c.err
	}
	c.id++
	id := c.id
	c.pending[id] = t
	c.mu.Unlock()
	if err := writeTyped(&c.out, id, kind, body); err != nil {
		return err
	}
	return <-t.wake
}

func (c *typedClient) prepare() *typedCall { return &typedCall{c: c, wake: make(chan error, 1)} }

func (c *typedClient) small(v Small) call { return c.smallBy(kindSmall, v) }
func (c *typedClient) hold(v Small) call  { return c.smallBy(kindHold, v) }

func (c *typedClient) smallBy(kind byte, v Small) call {
	t := c.prepare()
	return func(seq int64) error {
		v.ID = seq
		t.buf = appendSmall(t.buf[:0], &v)
		if err := t.do(kind, t.buf); err != nil {
			return err
		}
		return checkSmall(*t.small, v)
	}
}

func (c *typedClient) items(items []Item) call {
	t := c.prepare()
	return func(seq int64) error {
		items[0].ID = seq
		t.buf = appendItems(t.buf[:0], items)
		if err := t.do(kindItems, t.buf); err != nil {
			return err
		}
		return checkItems(t.items, items)
	}
}

func (c *typedClient) bulk(b []byte) call {
	t := c.prepare()
	return func(seq int64) error {
		stamp(b, seq)
		if err := t.do(kindBulk, b); err != nil {
			return err
		}
		return checkBulk(t.bulk, b, seq)
	}
}

func (c *typedClient) close() { c.out.nc.Close() }
