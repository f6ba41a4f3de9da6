package bsrpc

// Methods as the compiler makes them, called by way of a server: without reflection
// in a build with thunks. internal/method tests every shape.

import (
	"context"
	"maps"
	"math"
	"net"
	"reflect"
	"runtime"
	"slices"
	"testing"
)

type (
	shapedName string
	shapedSet  map[string]int16
	shapedNode struct {
		X, Y int32
		Next *shapedNode
		Tags []string
	}
	shapedRow struct {
		A int8
		B string
		C float64
		D [2]uint16
	}
)

// churn makes the stack grow and move, and then the collector run.
func churn(depth int) byte {
	var block [256]byte
	block[depth%len(block)] = byte(depth)
	if depth > 0 {
		return churn(depth-1) + block[depth%len(block)]
	}
	runtime.GC()
	return block[0]
}

// shaped is a service compiled by Go. Each method grows its stack and runs the
// collector, before it reads its arguments and again after it has set its results.
type shaped struct{ calls []string }

func (s *shaped) called(name string) {
	churn(1000)
	s.calls = append(s.calls, name)
}

func (s *shaped) Nothing() { s.called("Nothing") }

func (s *shaped) Link(_ context.Context, p *shapedNode, name shapedName) (*shapedNode, error) {
	s.called("Link")
	defer churn(1000)
	return &shapedNode{X: -p.X, Y: p.Y, Next: p, Tags: append(p.Tags, string(name))}, nil
}

func (s *shaped) Count(words []string) shapedSet {
	s.called("Count")
	defer churn(1000)
	set := make(shapedSet)
	for i, word := range words {
		set[word] = int16(-i)
	}
	return set
}

func (s *shaped) Words(ctx context.Context, set shapedSet) ([]string, error) {
	s.called("Words")
	defer churn(1000)
	return slices.Sorted(maps.Keys(set)), ctx.Err()
}

func (s *shaped) Join(a, b, c shapedName) shapedName {
	s.called("Join")
	defer churn(1000)
	return a + b + c
}

func (s *shaped) Third(a, b, c float64) (float64, error) {
	s.called("Third")
	defer churn(1000)
	return a*0 + b*0 + c, nil
}

func (s *shaped) Part(_ context.Context, raw []byte, n int32) []byte {
	s.called("Part")
	defer churn(1000)
	return raw[n:]
}

func (s *shaped) Pair(a, b uint32) uint32      { s.called("Pair"); return a - b }
func (s *shaped) Trio(a, b, c int32) int32     { s.called("Trio"); return a - b - c }
func (s *shaped) Bits(a int8, b uint64) uint64 { s.called("Bits"); return b + uint64(a) }
func (s *shaped) Flag(a uint64, b bool) bool   { s.called("Flag"); return a == 1 && b }
func (s *shaped) Less(v int8) (int8, error)    { s.called("Less"); return v - 1, nil }
func (s *shaped) Half(v float32) float32       { s.called("Half"); return v / 2 }
func (s *shaped) Not(v bool) bool              { s.called("Not"); return !v }
func (s *shaped) Twice(v uint16) uint16        { s.called("Twice"); return 2 * v }
func (s *shaped) Sum(v ...int64) int64         { s.called("Sum"); return v[0] + v[1] }

func (s *shaped) Wide(_ context.Context, w shapedRow, a int8, b string, c *shapedNode) (shapedRow, string, error) {
	s.called("Wide")
	defer churn(1000)
	w.A, w.B = a, b+c.Tags[0]
	return w, w.B, nil
}

type shapedContract struct {
	Nothing func() error
	Link    func(context.Context, *shapedNode, shapedName) (*shapedNode, error)
	Count   func(context.Context, []string) (shapedSet, error)
	Words   func(shapedSet) ([]string, error)
	Join    func(context.Context, shapedName, shapedName, shapedName) (shapedName, error)
	Third   func(a, b, c float64) (float64, error)
	Part    func([]byte, int32) ([]byte, error)
	Pair    func(a, b uint32) (uint32, error)
	Trio    func(ctx context.Context, a, b, c int32) (int32, error)
	Bits    func(a int8, b uint64) (uint64, error)
	Flag    func(ctx context.Context, a uint64, b bool) (bool, error)
	Less    func(context.Context, int8) (int8, error)
	Half    func(float32) (float32, error)
	Not     func(context.Context, bool) (bool, error)
	Twice   func(uint16) (uint16, error)
	Sum     func(context.Context, ...int64) (int64, error)
	Wide    func(context.Context, shapedRow, int8, string, *shapedNode) (shapedRow, string, error)
}

// Each line is a call and its results.
var shapedCalls = []struct {
	call func(ctx context.Context, p *shapedContract) []any
	want []any
}{
	{func(_ context.Context, p *shapedContract) []any { return list(p.Nothing()) }, []any{nil}},
	{func(ctx context.Context, p *shapedContract) []any {
		return list(p.Link(ctx, &shapedNode{X: 5, Y: math.MinInt32, Tags: []string{"a"}}, "b"))
	}, []any{&shapedNode{X: -5, Y: math.MinInt32, Next: &shapedNode{X: 5, Y: math.MinInt32, Tags: []string{"a"}}, Tags: []string{"a", "b"}}, nil}},
	{func(ctx context.Context, p *shapedContract) []any { return list(p.Count(ctx, []string{"x", "y"})) }, []any{shapedSet{"x": 0, "y": -1}, nil}},
	{func(_ context.Context, p *shapedContract) []any { return list(p.Words(shapedSet{"x": 0, "y": -1})) }, []any{[]string{"x", "y"}, nil}},
	{func(ctx context.Context, p *shapedContract) []any { return list(p.Join(ctx, "a", "", "c")) }, []any{shapedName("ac"), nil}},
	{func(_ context.Context, p *shapedContract) []any { return list(p.Third(1, 2, math.MaxFloat64)) }, []any{math.MaxFloat64, nil}},
	{func(_ context.Context, p *shapedContract) []any { return list(p.Part([]byte{1, 2, 3}, 1)) }, []any{[]byte{2, 3}, nil}},
	{func(_ context.Context, p *shapedContract) []any { return list(p.Pair(1, 2)) }, []any{uint32(math.MaxUint32), nil}},
	{func(ctx context.Context, p *shapedContract) []any { return list(p.Trio(ctx, 1, 2, math.MinInt32)) }, []any{int32(math.MaxInt32), nil}},
	{func(_ context.Context, p *shapedContract) []any { return list(p.Bits(-1, 1<<63)) }, []any{uint64(1<<63 - 1), nil}},
	{func(ctx context.Context, p *shapedContract) []any { return list(p.Flag(ctx, 1, true)) }, []any{true, nil}},
	{func(ctx context.Context, p *shapedContract) []any { return list(p.Less(ctx, -127)) }, []any{int8(-128), nil}},
	{func(_ context.Context, p *shapedContract) []any { return list(p.Half(-3)) }, []any{float32(-1.5), nil}},
	{func(ctx context.Context, p *shapedContract) []any { return list(p.Not(ctx, false)) }, []any{true, nil}},
	{func(_ context.Context, p *shapedContract) []any { return list(p.Twice(0x8001)) }, []any{uint16(2), nil}},
	{func(ctx context.Context, p *shapedContract) []any { return list(p.Sum(ctx, 1<<62, -1)) }, []any{int64(1<<62 - 1), nil}},
	{func(ctx context.Context, p *shapedContract) []any {
		return list(p.Wide(ctx, shapedRow{C: -0.5, D: [2]uint16{3, 4}}, -1, "b", &shapedNode{Tags: []string{"t"}}))
	}, []any{shapedRow{-1, "bt", -0.5, [2]uint16{3, 4}}, "bt", nil}},
}

func list(results ...any) []any { return results }

// Compiled code is called on a small stack, by a new goroutine, and answered by a new
// leader.
func TestCompiledShapes(t *testing.T) {
	for i, test := range shapedCalls {
		service := new(shaped)
		srv := NewServer(&ServerOptions{Logger: quiet})
		if err := srv.RegisterName("Shaped", service); err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		go srv.ServeConn(far)
		client, err := NewClient(t.Context(), near, &ClientOptions{Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		proxy, err := Bind[shapedContract](t.Context(), client, "Shaped")
		if err != nil {
			t.Fatal(err)
		}
		answer := make(chan []any)
		go func() { answer <- test.call(t.Context(), proxy) }()
		got := <-answer
		churn(1000)
		if name := reflect.TypeFor[shapedContract]().Field(i).Name; !slices.Equal(service.calls, []string{name}) {
			t.Errorf("called were %q, want %s", service.calls, name)
		}
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("got %v, want %v", got, test.want)
		}
		client.Close()
		srv.Close()
	}
}
