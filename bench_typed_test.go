package bsrpc_test

import (
	"bufio"
	"encoding/binary"
	"io"
	"math"
	"net"
	"runtime"
	"sync"
	"testing"
)

// The typed echo is what a hand-written library does in the usual way: a codec
// for its one type, ids, a map of pending calls, a reader, a goroutine for each
// request at the server, and writes that are batched at both ends.

// A batcher is a connection whose writes meet.
type batcher struct {
	nc      net.Conn
	mu      sync.Mutex
	batch   []byte
	spare   []byte
	writing bool
}

// send appends a frame by a function, and writes all that waits if nobody else
// does.
func (b *batcher) send(frame func([]byte) []byte) {
	b.mu.Lock()
	b.batch = frame(b.batch)
	if b.writing {
		b.mu.Unlock()
		return
	}
	b.writing = true
	b.mu.Unlock()
	for {
		runtime.Gosched()
		b.mu.Lock()
		if len(b.batch) == 0 {
			b.writing = false
			b.mu.Unlock()
			return
		}
		b.batch, b.spare = b.spare[:0], b.batch
		b.mu.Unlock()
		b.nc.Write(b.spare)
	}
}

func appendSmall(dst []byte, s *BenchSmall) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(s.ID))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(s.Name)))
	dst = append(dst, s.Name...)
	dst = binary.LittleEndian.AppendUint32(dst, s.Flags)
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(s.Value))
}

func readSmall(b []byte) *BenchSmall {
	n := binary.LittleEndian.Uint32(b[8:])
	rest := b[12+n:]
	return &BenchSmall{int64(binary.LittleEndian.Uint64(b)), string(b[12 : 12+n]), binary.LittleEndian.Uint32(rest), math.Float64frombits(binary.LittleEndian.Uint64(rest[4:]))}
}

// frame appends the length, the id and the value.
func (c typedCodec[T]) frame(dst []byte, id uint64, v T) []byte {
	start := len(dst)
	dst = binary.LittleEndian.AppendUint64(append(dst, 0, 0, 0, 0), id)
	dst = c.append(dst, v)
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}

// readTyped reads frames into memory of their own.
func readTyped(nc net.Conn, f func(id uint64, body []byte)) {
	r := bufio.NewReaderSize(nc, 64<<10)
	for {
		var head [12]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return
		}
		body := make([]byte, binary.LittleEndian.Uint32(head[:])-8)
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		f(binary.LittleEndian.Uint64(head[4:]), body)
	}
}

// A typedEcho is a client of the typed echo, for values of one type.
type typedEcho[T any] struct {
	codec typedCodec[T]
	out   batcher

	mu      sync.Mutex
	last    uint64
	pending map[uint64]chan T // the calls that wait
	wake    sync.Pool
}

// A typedCodec is two functions written by hand.
type typedCodec[T any] struct {
	append func([]byte, T) []byte
	read   func([]byte) T
}

var (
	smallCodec = typedCodec[*BenchSmall]{appendSmall, readSmall}
	bytesCodec = typedCodec[[]byte]{
		func(dst, b []byte) []byte { return append(binary.LittleEndian.AppendUint32(dst, uint32(len(b))), b...) },
		func(b []byte) []byte { return b[4:] },
	}
)

func dialTyped[T any](b *testing.B, codec typedCodec[T]) *typedEcho[T] {
	l := listenBench(b)
	go func() {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		out := &batcher{nc: nc}
		readTyped(nc, func(id uint64, body []byte) {
			go func() {
				v := codec.read(body)
				out.send(func(dst []byte) []byte { return codec.frame(dst, id, v) })
			}()
		})
	}()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { nc.Close() })
	e := &typedEcho[T]{codec: codec, out: batcher{nc: nc}, pending: make(map[uint64]chan T)}
	e.wake.New = func() any { return make(chan T, 1) }
	go readTyped(nc, func(id uint64, body []byte) {
		e.mu.Lock()
		wake := e.pending[id]
		delete(e.pending, id)
		e.mu.Unlock()
		wake <- codec.read(body)
	})
	return e
}

func (e *typedEcho[T]) call(v T) T {
	wake := e.wake.Get().(chan T)
	e.mu.Lock()
	e.last++
	id := e.last
	e.pending[id] = wake
	e.mu.Unlock()
	e.out.send(func(dst []byte) []byte { return e.codec.frame(dst, id, v) })
	got := <-wake
	e.wake.Put(wake)
	return got
}
