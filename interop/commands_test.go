package interop

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
)

// Commands is python/commands.py once more. Python's sums do not wrap around:
// a result that is wider than its format is an overflow here, too.
type Commands struct {
	Hello      func(ctx context.Context, name string) (string, error)                        `bsrpc:"id=0"`
	Goodbye    func(ctx context.Context, name string) (string, error)                        `bsrpc:"id=1"`
	Add2Words  func(ctx context.Context, a, b uint64) (uint64, error)                        `bsrpc:"(le4,le4) le4,id=2"`
	FuncNoArgs func(ctx context.Context) error                                               `bsrpc:"id=3"`
	SumFixed   func(ctx context.Context, list [3]uint32) (uint32, error)                     `bsrpc:"id=4"`
	SumArray   func(ctx context.Context, list []uint32) (uint32, error)                      `bsrpc:"id=5"`
	SumAndText func(ctx context.Context, list []uint32, text string) (uint32, string, error) `bsrpc:"id=6"`
	Ints       func(ctx context.Context, n Ints) (Ints, error)                               `bsrpc:"id=7"`
	Flip       func(ctx context.Context, b bool) (bool, error)                               `bsrpc:"id=8"`
	Reverse    func(ctx context.Context, b []byte) ([]byte, error)                           `bsrpc:"id=9"`
	Words      func(ctx context.Context, words []string) ([]string, error)                   `bsrpc:"id=11"`
	Matrix     func(ctx context.Context, rows [][]uint32) ([][]uint32, error)                `bsrpc:"id=12"`
	Fail       func(ctx context.Context, name, text string) error                            `bsrpc:"id=13"`
	Overflow   func(ctx context.Context) (int, error)                                        `bsrpc:"() le2,id=14"`
	Pause      func(ctx context.Context, milliseconds uint32) (uint32, error)                `bsrpc:"id=15"`
	Grid       func(ctx context.Context, rows [2][3]uint16) ([2][3]uint16, error)            `bsrpc:"id=16"`
	Count      func(ctx context.Context, n uint32) ([]uint32, error)                         `bsrpc:"id=17"`
	Last       func(ctx context.Context) error                                               `bsrpc:"id=65535"`
}

// Ints are the numbers of the package.
type Ints struct {
	A uint8
	B uint16
	C uint32
	D uint64
}

type service struct {
	began   chan struct{} // gets a token as Pause begins
	release chan struct{} // closed: Pause(0) returns
}

func newService() *service {
	return &service{began: make(chan struct{}, 100), release: make(chan struct{})}
}

func (*service) Hello(name string) string     { return "hello " + name }
func (*service) Goodbye(name string) string   { return "goodbye " + name }
func (*service) Add2Words(a, b uint64) uint64 { return a + b }
func (*service) FuncNoArgs()                  {}
func (*service) Last()                        {}
func (*service) Ints(n Ints) Ints             { return n }
func (*service) Flip(b bool) bool             { return !b }
func (*service) Overflow() int                { return 70_000 }

func (*service) SumArray(list []uint32) (sum uint32) {
	for _, n := range list {
		sum += n
	}
	return sum
}

func (s *service) SumFixed(list [3]uint32) uint32 { return s.SumArray(list[:]) }

func (s *service) SumAndText(list []uint32, text string) (uint32, string) {
	return s.SumArray(list), text
}

func (*service) Reverse(b []byte) []byte {
	slices.Reverse(b)
	return b
}

func (*service) Words(words []string) []string {
	slices.Reverse(words)
	return words
}

func (*service) Matrix(rows [][]uint32) [][]uint32 {
	slices.Reverse(rows)
	return rows
}

func (*service) Grid(rows [2][3]uint16) [2][3]uint16 { return [2][3]uint16{rows[1], rows[0]} }

func (*service) Count(n uint32) []uint32 {
	list := make([]uint32, n)
	for i := range list {
		list[i] = uint32(i)
	}
	return list
}

// Pause waits to be released for 0.
func (s *service) Pause(ctx context.Context, milliseconds uint32) (uint32, error) {
	s.began <- struct{}{}
	var after <-chan time.Time
	if milliseconds > 0 {
		after = time.After(time.Duration(milliseconds) * time.Millisecond)
	}
	select {
	case <-after:
	case <-s.release:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	return milliseconds, nil
}

// A named error chooses its exception.
type named struct{ name, text string }

func (e named) Error() string         { return e.text }
func (e named) ExceptionName() string { return e.name }

func (*service) Fail(name, text string) error {
	switch name {
	case "panic":
		panic(text)
	case "":
		return errors.New(text)
	}
	return named{name, text}
}

// serve offers the commands on a port of this machine, until the test ends.
func serve(t testing.TB, s *service, opts bsrpc.ServerOptions) (*bsrpc.Server, string) {
	t.Helper()
	opts.Basic, opts.Logger = true, slog.New(slog.DiscardHandler)
	srv := bsrpc.NewServer(&opts)
	if err := bsrpc.RegisterAs[Commands](srv, "Commands", s); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return srv, l.Addr().String()
}

// receive waits for a value.
func receive[T any](t testing.TB, ch <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		t.Fatal("no ", what)
	}
	return v
}
