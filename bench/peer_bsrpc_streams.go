package main

import (
	"context"
	"fmt"
	"io"
	"iter"

	"github.com/bsrpc/bsrpc"
)

// bsrpcStreams is the contract of the streams, by pointer and by value.
type bsrpcStreams struct {
	Down       func(ctx context.Context, first int64, n int) iter.Seq2[*Small, error]
	DownValues func(ctx context.Context, first int64, n int) iter.Seq2[Small, error]
	Up         func(ctx context.Context, first int64, in iter.Seq2[*Small, error]) (int64, error)
	UpValues   func(ctx context.Context, first int64, in iter.Seq2[Small, error]) (int64, error)
	Both       func(ctx context.Context, in iter.Seq2[*Small, error]) iter.Seq2[*Small, error]
	Read       func(ctx context.Context, n int64) (io.ReadCloser, error)
	Idle       func(ctx context.Context) (iter.Seq2[*Small, error], error)
	Each       func(ctx context.Context, first int64, n int, item func(*Small)) error
}

func (bsrpcService) Down(first int64, n int) iter.Seq2[*Small, error] { return smallItems(first, n) }

func (bsrpcService) DownValues(first int64, n int) iter.Seq2[Small, error] {
	return smallValues(first, n)
}

// smallItems are items in memory of their own, as a user's are.
func smallItems(first int64, n int) iter.Seq2[*Small, error] {
	return func(yield func(*Small, error) bool) {
		v := small
		for i := range n {
			if v.ID = first + int64(i); !yield(&v, nil) {
				return
			}
		}
	}
}

func smallValues(first int64, n int) iter.Seq2[Small, error] {
	return func(yield func(Small, error) bool) {
		v := small
		for i := range n {
			if v.ID = first + int64(i); !yield(v, nil) {
				return
			}
		}
	}
}

func (bsrpcService) Up(first int64, in iter.Seq2[*Small, error]) (int64, error) {
	c := counter{first: first}
	err := checkAll(&c, in, itemID)
	return c.n, err
}

func (bsrpcService) UpValues(first int64, in iter.Seq2[Small, error]) (int64, error) {
	c := counter{first: first}
	err := checkAll(&c, in, valueID)
	return c.n, err
}

func (bsrpcService) Both(in iter.Seq2[*Small, error]) iter.Seq2[*Small, error] { return in }

func (bsrpcService) Read(n int64) (io.ReadCloser, error) {
	return io.NopCloser(&bulkReader{n}), nil
}

func (bsrpcService) Idle(ctx context.Context) (iter.Seq2[*Small, error], error) {
	return func(yield func(*Small, error) bool) {
		yield(&small, nil)
		<-ctx.Done()
	}, nil
}

func (bsrpcService) Each(first int64, n int, item func(*Small)) {
	v := small
	for i := range n {
		v.ID = first + int64(i)
		item(&v)
	}
}

// A bulkReader reads so many bytes.
type bulkReader struct{ left int64 }

func (r *bulkReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(int64(len(p)), r.left)], bulkBuffer)
	r.left -= int64(n)
	return n, nil
}

func (c *bsrpcClient) down(n int, byValue bool) call {
	ctx := context.Background()
	return func(seq int64) error {
		count := counter{first: seq}
		var err error
		if byValue {
			err = checkAll(&count, c.streams.DownValues(ctx, seq, n), valueID)
		} else {
			err = checkAll(&count, c.streams.Down(ctx, seq, n), itemID)
		}
		if err != nil {
			return err
		}
		return count.end(n)
	}
}

// checkAll checks the items of a stream.
func checkAll[T any](c *counter, in iter.Seq2[T, error], id func(T) int64) error {
	for v, err := range in {
		if err == nil {
			err = c.check(id(v))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func itemID(v *Small) int64 { return v.ID }
func valueID(v Small) int64 { return v.ID }

func (c *bsrpcClient) up(n int, byValue bool) call {
	ctx := context.Background()
	return func(seq int64) error {
		var got int64
		var err error
		if byValue {
			got, err = c.streams.UpValues(ctx, seq, smallValues(seq, n))
		} else {
			got, err = c.streams.Up(ctx, seq, smallItems(seq, n))
		}
		if err == nil && got != int64(n) {
			err = fmt.Errorf("%d items, want %d", got, n)
		}
		return err
	}
}

func (c *bsrpcClient) pingPong(n int) call {
	return func(seq int64) error {
		turn := make(chan struct{}, 1)
		turn <- struct{}{}
		items := func(yield func(*Small, error) bool) {
			v := small
			for i := range n {
				<-turn
				if v.ID = seq + int64(i); !yield(&v, nil) {
					return
				}
			}
		}
		count := counter{first: seq}
		for v, err := range c.streams.Both(context.Background(), items) {
			if err == nil {
				err = count.check(v.ID)
			}
			if err != nil {
				close(turn)
				return err
			}
			turn <- struct{}{}
		}
		return count.end(n)
	}
}

func (c *bsrpcClient) read(n int64) call {
	return func(int64) error {
		r, err := c.streams.Read(context.Background(), n)
		if err != nil {
			return err
		}
		defer r.Close()
		return drain(r, n)
	}
}

// each is a stream of items by a callback.
func (c *bsrpcClient) each(n int) call {
	return func(seq int64) error {
		count := counter{first: seq}
		var wrong error
		err := c.streams.Each(context.Background(), seq, n, func(v *Small) {
			if err := count.check(v.ID); err != nil {
				wrong = err
			}
		})
		if err == nil {
			err = wrong
		}
		if err != nil {
			return err
		}
		return count.end(n)
	}
}

// open implements idler.
func (c *bsrpcClient) open() (any, error) { return c.streams.Idle(context.Background()) }

// pass is an interceptor that does nothing.
func pass(next bsrpc.CallFunc) bsrpc.CallFunc {
	return func(ctx context.Context, call *bsrpc.Call) error { return next(ctx, call) }
}
