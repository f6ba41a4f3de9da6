package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
)

const bufferSize = 64 << 10

// plain echoes length-prefixed bytes: no method, no types, no limits. It is
// what the machine allows. Clients batch their writes, servers answer all
// that is in their buffer with one write, and answers come in order.
type plain struct{}

func (plain) name() string                       { return "plain" }
func (plain) serve(l net.Listener) (stop func()) { return serveConns(l, servePlain) }

func (plain) cannot(w workload) string {
	if w.kind == "inflight" {
		return "no handlers"
	}
	return streaming{}.cannot(w)
}

func servePlain(nc net.Conn) {
	r, w := bufio.NewReaderSize(nc, bufferSize), bufio.NewWriterSize(nc, bufferSize)
	var body []byte
	head := make([]byte, 4)
	for {
		if _, err := io.ReadFull(r, head); err != nil {
			return
		}
		n := binary.LittleEndian.Uint32(head)
		if n >= plainDown {
			if servePlainStream(n, r, w) != nil {
				return
			}
			continue
		}
		body = resize(body, int(n))
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		w.Write(head)
		w.Write(body)
		if r.Buffered() == 0 && w.Flush() != nil {
			return
		}
	}
}

func resize(b []byte, n int) []byte {
	if n > cap(b) {
		return make([]byte, n)
	}
	return b[:n]
}

func (plain) dial(d dialer) (client, error) {
	nc, err := d.dial()
	if err != nil {
		return nil, err
	}
	c := &plainClient{out: batch{nc: nc}, r: bufio.NewReaderSize(nc, bufferSize), waiting: make(chan *plainCall, d.callers)}
	c.alone = d.callers == 1
	if !c.alone {
		go c.readReplies()
	}
	return c, nil
}

type plainClient struct {
	alone   bool // the one caller reads for itself
	out     batch
	r       *bufio.Reader
	waiting chan *plainCall // in the order of their requests

}

// A plainCall is a caller and its reply, which has the size of the request.
type plainCall struct {
	c     *plainClient
	body  []byte
	reply []byte
	wake  chan error
}

func (c *plainClient) prepare(body []byte) *plainCall {
	return &plainCall{c: c, body: body, reply: make([]byte, len(body)), wake: make(chan error, 1)}
}

func (p *plainCall) do() error {
	c := p.c
	c.out.mu.Lock()
	c.out.addLocked(nil, p.body)
	if !c.alone {
		c.waiting <- p
	}
	if err := c.out.flushUnlock(); err != nil {
		return err
	}
	if c.alone {
		return c.readReply(p)
	}
	return <-p.wake
}

// readReplies answers the callers in their order; when the connection has ended, all
// get the error.
func (c *plainClient) readReplies() {
	for p := range c.waiting {
		p.wake <- c.readReply(p)
	}
}

func (c *plainClient) readReply(p *plainCall) error {
	head, err := c.r.Peek(4)
	if err != nil {
		return err
	}
	if n := binary.LittleEndian.Uint32(head); int(n) != len(p.reply) {
		return errors.New("reply of another length")
	}
	c.r.Discard(4)
	_, err = io.ReadFull(c.r, p.reply)
	return err
}

// echo is a call with opaque bytes, which the stamp makes different.
func (c *plainClient) echo(body []byte) call {
	p := c.prepare(body)
	return func(seq int64) error {
		stamp(body, seq)
		if err := p.do(); err != nil {
			return err
		}
		if !bytes.Equal(p.reply, body) {
			return errors.New("reply differs")
		}
		return nil
	}
}

func (c *plainClient) small(v Small) call      { return c.echo(appendSmall(nil, &v)) }
func (c *plainClient) items(items []Item) call { return c.echo(appendItems(nil, items)) }

func (c *plainClient) bulk(b []byte) call {
	p := c.prepare(b)
	return func(seq int64) error {
		stamp(b, seq)
		if err := p.do(); err != nil {
			return err
		}
		return checkBulk(p.reply, b, seq)
	}
}

// hold is never called: plain cannot.
func (c *plainClient) hold(Small) call { return nil }

func (c *plainClient) close() {
	c.out.nc.Close()
	close(c.waiting)
}
