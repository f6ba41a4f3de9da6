package interop

// The commands that the tests call: python/commands.py in Go. Only the tests
// compare the two.

import (
	"bytes"
	"context"
	"errors"
	"runtime"

	"github.com/bsrpc/bsrpc"
)

// Desk is the contract of both directions.
type Desk struct {
	Hello      func(ctx context.Context, name string) (string, error)                                `bsrpc:"id=0"`
	Goodbye    func(ctx context.Context, name string) (string, error)                                `bsrpc:"id=1"`
	Add2Words  func(ctx context.Context, a, b uint64) (uint64, error)                                `bsrpc:"(le4,le4) le4,id=2"`
	FuncNoArgs func(ctx context.Context) error                                                       `bsrpc:"id=3"`
	SumFixed   func(ctx context.Context, list [3]uint32) (uint64, error)                             `bsrpc:"() le4,id=4"`
	SumArray   func(ctx context.Context, list []uint32) (uint64, error)                              `bsrpc:"() le4,id=5"`
	SumAndText func(ctx context.Context, list []uint32, text string) (sum uint64, s string, e error) `bsrpc:"() (le4,),id=6"`

	EchoLe1   func(ctx context.Context, n uint8) (uint8, error)                `bsrpc:"id=11"`
	EchoLe2   func(ctx context.Context, n uint16) (uint16, error)              `bsrpc:"id=12"`
	EchoLe4   func(ctx context.Context, n uint32) (uint32, error)              `bsrpc:"id=13"`
	EchoLe8   func(ctx context.Context, n uint64) (uint64, error)              `bsrpc:"id=14"`
	EchoBool  func(ctx context.Context, b bool) (bool, error)                  `bsrpc:"id=15"`
	EchoStr   func(ctx context.Context, s string) (string, error)              `bsrpc:"id=16"`
	EchoBytes func(ctx context.Context, b []byte) ([]byte, error)              `bsrpc:"id=17"`
	Length    func(ctx context.Context, size uint32) (uint32, error)           `bsrpc:"id=18"`
	Stretch   func(ctx context.Context, b []byte, size uint32) ([]byte, error) `bsrpc:"id=19"`

	EchoWords   func(ctx context.Context, list []uint32) ([]uint32, error)       `bsrpc:"id=20"`
	EchoStrs    func(ctx context.Context, list []string) ([]string, error)       `bsrpc:"id=21"`
	EchoBlobs   func(ctx context.Context, list [][]byte) ([][]byte, error)       `bsrpc:"id=22"`
	EchoBools   func(ctx context.Context, list []bool) ([]bool, error)           `bsrpc:"id=23"`
	EchoRows    func(ctx context.Context, list [][]uint16) ([][]uint16, error)   `bsrpc:"id=24"`
	EchoPoints  func(ctx context.Context, list [][2]uint32) ([][2]uint32, error) `bsrpc:"id=25"`
	EchoMatrix  func(ctx context.Context, m [2][3]uint8) ([2][3]uint8, error)    `bsrpc:"id=26"`
	EchoPair    func(ctx context.Context, pair [2]string) ([2]string, error)     `bsrpc:"id=27"`
	EchoRecords func(ctx context.Context, list []Record) ([]Record, error)       `bsrpc:"id=28"`

	Mixed  func(ctx context.Context, n uint8, b bool, s string, p []byte, list []uint64) (uint8, bool, string, []byte, []uint64, error) `bsrpc:"id=30"`
	Narrow func(ctx context.Context, n uint64) (uint64, error)                                                                          `bsrpc:"() le2,id=31"`
	Fail   func(ctx context.Context, how, text string) error                                                                            `bsrpc:"id=32"`
	Hold   func(ctx context.Context) error                                                                                              `bsrpc:"id=33"`
	Last   func(ctx context.Context) error                                                                                              `bsrpc:"id=65535"`
}

// A Record is an element that has parts.
type Record struct {
	Number uint8
	Text   string
}

// A clerk serves Desk.
type clerk struct {
	began   chan struct{} // gets a token as Hold begins
	release chan struct{} // gets a token for each Hold that is to end
	names   chan string   // gets what Hello is told
}

func newClerk() *clerk {
	return &clerk{began: make(chan struct{}, 100), release: make(chan struct{}), names: make(chan string, 1000)}
}

func (c *clerk) Hello(name string) string {
	c.names <- name
	return "hello " + name
}

func (*clerk) Goodbye(name string) string              { return "goodbye " + name }
func (*clerk) Add2Words(a, b uint64) uint64            { return a + b }
func (*clerk) FuncNoArgs()                             {}
func (*clerk) Last()                                   {}
func (c *clerk) SumFixed(list [3]uint32) uint64        { return c.SumArray(list[:]) }
func (*clerk) EchoLe1(n uint8) uint8                   { return n }
func (*clerk) EchoLe2(n uint16) uint16                 { return n }
func (*clerk) EchoLe4(n uint32) uint32                 { return n }
func (*clerk) EchoLe8(n uint64) uint64                 { return n }
func (*clerk) EchoBool(b bool) bool                    { return b }
func (*clerk) EchoStr(s string) string                 { return s }
func (*clerk) EchoBytes(b []byte) []byte               { return b }
func (*clerk) Length(size uint32) uint32               { return size }
func (*clerk) EchoWords(list []uint32) []uint32        { return list }
func (*clerk) EchoStrs(list []string) []string         { return list }
func (*clerk) EchoBlobs(list [][]byte) [][]byte        { return list }
func (*clerk) EchoBools(list []bool) []bool            { return list }
func (*clerk) EchoRows(list [][]uint16) [][]uint16     { return list }
func (*clerk) EchoPoints(list [][2]uint32) [][2]uint32 { return list }
func (*clerk) EchoMatrix(m [2][3]uint8) [2][3]uint8    { return m }
func (*clerk) EchoPair(pair [2]string) [2]string       { return pair }
func (*clerk) EchoRecords(list []Record) []Record      { return list }
func (*clerk) Narrow(n uint64) uint64                  { return n }

func (*clerk) Mixed(n uint8, b bool, s string, p []byte, list []uint64) (uint8, bool, string, []byte, []uint64) {
	return n, b, s, p, list
}

func (*clerk) Stretch(b []byte, size uint32) []byte { return stretch(b, int(size)) }

// stretch repeats b up to a size.
func stretch(b []byte, size int) []byte { return bytes.Repeat(b, size/len(b)+1)[:size] }

func (*clerk) SumArray(list []uint32) (sum uint64) {
	for _, n := range list {
		sum += uint64(n)
	}
	return sum
}

func (c *clerk) SumAndText(list []uint32, text string) (uint64, string) {
	return c.SumArray(list), text
}

// pythonError is an error that chooses its exception.
type pythonError struct{ name, text string }

func (e pythonError) Error() string         { return e.text }
func (e pythonError) ExceptionName() string { return e.name }

// NotArmed is an error whose type's name is its exception's.
type NotArmed struct{ text string }

func (e NotArmed) Error() string { return e.text }

func (*clerk) Fail(how, text string) error {
	switch how {
	case "":
		return errors.New(text)
	case "type":
		return NotArmed{text}
	case "code":
		return &bsrpc.Error{Code: bsrpc.CodeNotFound, Message: text}
	case "panic":
		panic(text)
	case "goexit":
		runtime.Goexit()
	}
	return pythonError{how, text}
}

func (c *clerk) Hold(ctx context.Context) error {
	c.began <- struct{}{}
	select {
	case <-c.release:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
