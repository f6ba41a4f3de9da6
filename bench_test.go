package bsrpc_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/rpc"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/bsrpc/bsrpc"
)

// The benchmarks of calls stand beside a plain echo, length-prefixed bytes
// without anything an RPC library does, and beside net/rpc: only ratios from
// one run mean anything. docs/benchmarks.md has the figures; bench/ has more of
// both, and other libraries.
//
//	go test -run '^$' -bench Call -count 6 . | benchstat -col /lib -

type BenchSmall struct {
	ID    int64
	Name  string
	Flags uint32
	Value float64
}

type benchService struct{}

func (benchService) Small(s *BenchSmall) *BenchSmall { return s }
func (benchService) Bytes(b []byte) []byte           { return b }
func (benchService) Value(s BenchSmall) BenchSmall   { return s }

type benchContract struct {
	Small func(ctx context.Context, s *BenchSmall) (*BenchSmall, error)
	Bytes func(ctx context.Context, b []byte) ([]byte, error)
	Value func(ctx context.Context, s BenchSmall) (BenchSmall, error)
}

// netRPC has the method of benchService in the form of net/rpc.
type netRPC struct{}

func (netRPC) Small(in *BenchSmall, out *BenchSmall) error { *out = *in; return nil }

var benchValue = BenchSmall{ID: 42, Name: "a name of 16 byt", Flags: 7, Value: 2.5}

// smallBytes is the size of benchValue on the wire, for the plain echo.
const smallBytes = 8 + 4 + 16 + 4 + 8

func BenchmarkCallSmall(b *testing.B) {
	for _, callers := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("lib=plain/callers=%d", callers), func(b *testing.B) {
			echo := dialPlain(b)
			if callers == 1 {
				benchCallers(b, 1, func() error { return echo.alone(make([]byte, smallBytes)) })
				return
			}
			go echo.read()
			benchCallers(b, callers, func() error { return echo.call(make([]byte, 0, smallBytes)[:smallBytes]) })
		})
		b.Run(fmt.Sprintf("lib=bsrpc/callers=%d", callers), func(b *testing.B) {
			proxy := dialBench(b)
			benchCallers(b, callers, func() error {
				s, err := proxy.Small(context.Background(), &benchValue)
				if err == nil && *s != benchValue {
					err = fmt.Errorf("got %v", *s)
				}
				return err
			})
		})
		b.Run(fmt.Sprintf("lib=netrpc/callers=%d", callers), func(b *testing.B) {
			client := dialNetRPC(b)
			benchCallers(b, callers, func() error {
				var s BenchSmall
				err := client.Call("Bench.Small", &benchValue, &s)
				if err == nil && s != benchValue {
					err = fmt.Errorf("got %v", s)
				}
				return err
			})
		})
	}
}

// A struct by value is copied once more at each end than a pointer.
func BenchmarkCallShape(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("param=pointer/callers=%d", callers), func(b *testing.B) {
			proxy := dialBench(b)
			benchCallers(b, callers, func() error {
				_, err := proxy.Small(context.Background(), &benchValue)
				return err
			})
		})
		b.Run(fmt.Sprintf("param=value/callers=%d", callers), func(b *testing.B) {
			proxy := dialBench(b)
			benchCallers(b, callers, func() error {
				_, err := proxy.Value(context.Background(), benchValue)
				return err
			})
		})
	}
}

func BenchmarkCallBulk(b *testing.B) {
	const size = 1 << 20
	b.Run("lib=plain", func(b *testing.B) {
		echo := dialPlain(b)
		body := make([]byte, size)
		b.SetBytes(size)
		benchCallers(b, 1, func() error { return echo.alone(body) })
	})
	b.Run("lib=bsrpc", func(b *testing.B) {
		proxy := dialBench(b)
		body := make([]byte, size)
		b.SetBytes(size)
		benchCallers(b, 1, func() error {
			got, err := proxy.Bytes(context.Background(), body)
			if err == nil && len(got) != size {
				err = fmt.Errorf("got %d bytes", len(got))
			}
			return err
		})
	})
}

// benchCallers makes b.N calls from several goroutines.
func benchCallers(b *testing.B, callers int, call func() error) {
	b.ReportAllocs()
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	b.ResetTimer()
	for range callers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for left.Add(-1) >= 0 {
				if err := call(); err != nil {
					b.Error(err)
					return
				}
			}
		}()
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

func dialBench(b *testing.B) *benchContract {
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: slog.New(slog.DiscardHandler)})
	if err := bsrpc.RegisterAs[benchContract](srv, "Bench", benchService{}); err != nil {
		b.Fatal(err)
	}
	l := listenBench(b)
	go srv.Serve(l)
	b.Cleanup(func() { srv.Close() })
	client, err := bsrpc.Dial(context.Background(), "tcp", l.Addr().String(), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { client.Close() })
	proxy, err := bsrpc.Bind[benchContract](context.Background(), client, "Bench")
	if err != nil {
		b.Fatal(err)
	}
	return proxy
}

func dialNetRPC(b *testing.B) *rpc.Client {
	srv := rpc.NewServer()
	if err := srv.RegisterName("Bench", netRPC{}); err != nil {
		b.Fatal(err)
	}
	l := listenBench(b)
	go func() {
		if nc, err := l.Accept(); err == nil {
			srv.ServeConn(nc)
		}
	}()
	client, err := rpc.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { client.Close() })
	return client
}

func listenBench(b *testing.B) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	return l
}

// A plainEcho is a client of the plain echo: frames of a length and bytes,
// answered in order. Writes are batched as bsrpc batches them, reads too.
type plainEcho struct {
	nc net.Conn
	r  *bufio.Reader

	mu      sync.Mutex
	batch   []byte
	spare   []byte
	writing bool
	waiting chan chan struct{}
	wake    sync.Pool
}

func dialPlain(b *testing.B) *plainEcho {
	l := listenBench(b)
	go func() {
		if nc, err := l.Accept(); err == nil {
			servePlain(nc)
		}
	}()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { nc.Close() })
	e := &plainEcho{nc: nc, r: bufio.NewReaderSize(nc, 64<<10), waiting: make(chan chan struct{}, 1024)}
	e.wake.New = func() any { return make(chan struct{}, 1) }
	return e
}

// servePlain answers everything in its buffer before it writes.
func servePlain(nc net.Conn) {
	r, w := bufio.NewReaderSize(nc, 64<<10), bufio.NewWriterSize(nc, 64<<10)
	body := make([]byte, 1<<20)
	for {
		var head [4]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return
		}
		n := binary.LittleEndian.Uint32(head[:])
		io.ReadFull(r, body[:n])
		w.Write(head[:])
		w.Write(body[:n])
		if r.Buffered() == 0 {
			w.Flush()
		}
	}
}

// alone makes a call while there are no others.
func (e *plainEcho) alone(body []byte) error {
	head := binary.LittleEndian.AppendUint32(e.batch[:0], uint32(len(body)))
	if len(body) < 1<<10 {
		e.batch = append(head, body...)
		e.nc.Write(e.batch)
	} else {
		e.batch = head
		bufs := net.Buffers{head, body}
		bufs.WriteTo(e.nc)
	}
	if _, err := io.ReadFull(e.r, head[:4]); err != nil {
		return err
	}
	_, err := io.ReadFull(e.r, body)
	return err
}

// call makes a call beside others.
func (e *plainEcho) call(body []byte) error {
	wake := e.wake.Get().(chan struct{})
	e.mu.Lock()
	e.batch = append(binary.LittleEndian.AppendUint32(e.batch, uint32(len(body))), body...)
	e.waiting <- wake
	if e.writing {
		e.mu.Unlock()
	} else {
		e.writing = true
		e.mu.Unlock()
		e.write()
	}
	<-wake
	e.wake.Put(wake)
	return nil
}

func (e *plainEcho) write() {
	for {
		runtime.Gosched()
		e.mu.Lock()
		if len(e.batch) == 0 {
			e.writing = false
			e.mu.Unlock()
			return
		}
		e.batch, e.spare = e.spare[:0], e.batch
		e.mu.Unlock()
		e.nc.Write(e.spare)
	}
}

func (e *plainEcho) read() {
	for {
		var head [4]byte
		if _, err := io.ReadFull(e.r, head[:]); err != nil {
			return
		}
		if _, err := e.r.Discard(int(binary.LittleEndian.Uint32(head[:]))); err != nil {
			return
		}
		<-e.waiting <- struct{}{}
	}
}
