package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
)

// The streams of the plain echo: a head that is no length, and a count. They need a
// connection with one caller.
const (
	plainDown = 1<<31 + iota
	plainUp
	plainRead
)

// servePlainStream serves one stream.
func servePlainStream(head uint32, r *bufio.Reader, w *bufio.Writer) error {
	count := make([]byte, 8)
	if _, err := io.ReadFull(r, count); err != nil {
		return err
	}
	n := int64(binary.LittleEndian.Uint64(count))
	switch head {
	case plainDown:
		for range n {
			w.Write(plainItem)
		}
	case plainUp:
		item := make([]byte, len(plainItem))
		for range n {
			if _, err := io.ReadFull(r, item); err != nil {
				return err
			}
		}
		w.Write(count)
	case plainRead:
		for n > 0 {
			k, err := w.Write(bulkBuffer[:min(n, bufferSize)])
			if err != nil {
				return err
			}
			n -= int64(k)
		}
	}
	return w.Flush()
}

// plainItem is an item behind its length.
var plainItem = func() []byte {
	b := appendSmall(make([]byte, 4), &small)
	binary.LittleEndian.PutUint32(b, uint32(len(b)-4))
	return b
}()

// begin sends the head of a stream.
func (c *plainClient) begin(head uint32, n int64) error {
	if !c.alone {
		return errors.New("a stream of the plain echo needs a connection with one caller")
	}
	b := binary.LittleEndian.AppendUint32(nil, head)
	_, err := c.out.nc.Write(binary.LittleEndian.AppendUint64(b, uint64(n)))
	return err
}

func (c *plainClient) down(n int, _ bool) call {
	item := make([]byte, len(plainItem))
	return func(int64) error {
		if err := c.begin(plainDown, int64(n)); err != nil {
			return err
		}
		for range n {
			if _, err := io.ReadFull(c.r, item); err != nil {
				return err
			}
		}
		return nil
	}
}

func (c *plainClient) up(n int, _ bool) call {
	w := bufio.NewWriterSize(c.out.nc, bufferSize)
	return func(int64) error {
		if err := c.begin(plainUp, int64(n)); err != nil {
			return err
		}
		for range n {
			w.Write(plainItem)
		}
		if err := w.Flush(); err != nil {
			return err
		}
		_, err := io.ReadFull(c.r, make([]byte, 8))
		return err
	}
}

// pingPong is as many calls.
func (c *plainClient) pingPong(n int) call { return repeat(c.small(small), n) }

func repeat(one call, n int) call {
	return func(seq int64) error {
		for i := range n {
			if err := one(seq + int64(i)); err != nil {
				return err
			}
		}
		return nil
	}
}

func (c *plainClient) read(n int64) call {
	return func(int64) error {
		if err := c.begin(plainRead, n); err != nil {
			return err
		}
		return drain(io.LimitReader(c.r, n), n)
	}
}
