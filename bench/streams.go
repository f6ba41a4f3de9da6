package main

import (
	"fmt"
	"io"
)

// A streamer is a client with streams. A call of its methods is one stream.
type streamer interface {
	down(n int, byValue bool) call // the server sends n small items
	up(n int, byValue bool) call   // the client does
	pingPong(n int) call           // n items there and back, one at a time
	read(n int64) call             // the server sends n bytes
}

// streamItems is how many items a stream of down and up has, roundTrips one of pingpong.
const (
	streamItems = 20_000
	roundTrips  = 500
	idleStreams = 10_000
)

// isStream reports whether a call of w is a stream.
func (w workload) isStream() bool {
	switch w.kind {
	case "down", "downvalues", "up", "upvalues", "pingpong", "read":
		return true
	}
	return false
}

// parts returns how many items a call of w has, 1 if it is no stream of items.
func (w workload) parts() int {
	switch w.kind {
	case "down", "downvalues", "up", "upvalues", "each":
		return streamItems
	case "pingpong":
		return roundTrips
	}
	return 1
}

// prepareStream makes the call of one caller.
func prepareStream(c client, w workload) call {
	s, ok := c.(streamer)
	if !ok {
		return func(int64) error { return fmt.Errorf("%s: no streams", w) }
	}
	switch w.kind {
	case "down", "downvalues":
		return s.down(streamItems, w.kind == "downvalues")
	case "up", "upvalues":
		return s.up(streamItems, w.kind == "upvalues")
	case "pingpong":
		return s.pingPong(roundTrips)
	}
	return s.read(int64(w.size))
}

// A counter checks the items of a stream: their ids rise from that of the first on.
type counter struct{ first, n int64 }

func (c *counter) check(id int64) error {
	if id != c.first+c.n {
		return fmt.Errorf("item %d has the id %d, want %d", c.n, id, c.first+c.n)
	}
	c.n++
	return nil
}

// end checks the number of items.
func (c *counter) end(n int) error {
	if c.n != int64(n) {
		return fmt.Errorf("%d items, want %d", c.n, n)
	}
	return nil
}

// drain reads bytes as long as they come, and checks their number and one of each buffer.
func drain(r io.Reader, n int64) error {
	buf := make([]byte, bufferSize)
	for total := int64(0); ; {
		k, err := r.Read(buf)
		if total += int64(k); k > 0 && buf[0] != bulkByte {
			return fmt.Errorf("byte %d is wrong", total)
		}
		if err == io.EOF || err == nil && total == n {
			if total != n {
				return fmt.Errorf("%d bytes, want %d", total, n)
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// bulkByte is each byte of read.
const bulkByte = 0x5a

// bulkBuffer is what servers send for read.
var bulkBuffer = func() []byte {
	b := make([]byte, bufferSize)
	for i := range b {
		b[i] = bulkByte
	}
	return b
}()

// An idler is a client that can open streams and leave them.
type idler interface {
	open() (stream any, err error)
}

// measureIdleStreams measures the memory of open streams that have sent one item each.
func measureIdleStreams(p peer, s *server, n int) (result, error) {
	c, err := s.connect(p, 2)
	if err != nil {
		return result{}, err
	}
	defer c.close()
	opener, ok := c.(idler)
	if !ok {
		return result{}, fmt.Errorf("%s: no idle streams", p.name())
	}
	clientBefore, serverBefore, err := idleUsage(s)
	if err != nil {
		return result{}, err
	}
	streams := make([]any, n)
	for i := range streams {
		if streams[i], err = opener.open(); err != nil {
			return result{}, err
		}
	}
	clientAfter, serverAfter, err := idleUsage(s)
	if err != nil {
		return result{}, err
	}
	clear(streams) // in use until here
	return memoryOfEach(n, clientAfter.since(clientBefore), serverAfter.since(serverBefore)), nil
}
