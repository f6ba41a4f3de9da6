package basic

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/wire"
)

func testLimits() *limits.Conn {
	return &limits.Conn{
		MaxMessage: 1 << 20, MaxErrorText: 4096, WriteStall: time.Hour, FrameTimeout: time.Minute,
		PingAfter: 15 * time.Second, PingTimeout: 15 * time.Second,
	}
}

// withClient runs f with a Client in a bubble, and the server's end of its connection.
func withClient(t *testing.T, f func(t *testing.T, c *Client, far net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		c := NewClient(near, testLimits(), nil)
		f(t, c, far)
		c.Close(closedByTest)
		far.Close()
	})
}

var closedByTest = &fault.Fault{Code: fault.Canceled, Message: fault.ErrClosed.Error(), Err: fault.ErrClosed}

// do calls a command with arguments, for at most limit; 0 is no limit.
func (c *Client) do(ctx context.Context, id uint16, args string, limit time.Duration) (string, error) {
	var timeout limits.Timeout
	timeout.Begin(ctx, limit, limits.ByDefault)
	timeout.Start(limits.Monotonic())
	results, err := c.Do(ctx, append(wire.AppendCommand(nil, id, len(args)), args...), &timeout)
	return string(results), err
}

// takeCommand reads a REQUEST.
func takeCommand(t *testing.T, far net.Conn) (id uint16, args string) {
	t.Helper()
	f, err := ReadFrame(far, 1<<20)
	id, b, ok := wire.ReadCommand(f.Payload)
	if err != nil || f.Type != wire.BasicRequest || !ok {
		t.Errorf("got %+v, %v; want REQUEST", f, err)
	}
	return id, string(b)
}

func response(results string) []byte {
	return append(wire.AppendBasicHeader(nil, wire.BasicResponse, len(results)), results...)
}

func wantFault(t *testing.T, err error, code fault.Code, outcome fault.Outcome, text string) {
	t.Helper()
	var f *fault.Fault
	if !errors.As(err, &f) || f.Code != code || f.Outcome != outcome || f.Plain() != text {
		t.Errorf("got %#v, want code %v, outcome %v, %q", err, code, outcome, text)
	}
}

// More calls than may be unanswered wait. They can be given up.
func TestUnanswered(t *testing.T) {
	withClient(t, func(t *testing.T, c *Client, far net.Conn) {
		var calls sync.WaitGroup
		for range maxUnanswered {
			calls.Go(func() { c.do(t.Context(), 1, "first", 0) })
		}
		for range maxUnanswered {
			takeCommand(t, far)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.do(ctx, 1, "given up", 0)
		wantFault(t, err, fault.DeadlineExceeded, fault.NotRun, "context deadline exceeded")
		calls.Go(func() { c.do(t.Context(), 1, "last", 0) })
		synctest.Wait()
		far.Write(response(""))
		if _, args := takeCommand(t, far); args != "last" {
			t.Errorf("got %q", args)
		}
		for range maxUnanswered {
			far.Write(response(""))
		}
		calls.Wait()
	})
}

// Short requests are sent ahead, as many as the buffers of a socket hold. A long one
// waits, and the requests behind it wait with it.
func TestSentAhead(t *testing.T) {
	withClient(t, func(t *testing.T, c *Client, far net.Conn) {
		var calls sync.WaitGroup
		const head = wire.BasicHeaderSize + wire.CommandIDSize
		sizes := []int{maxAhead / 2, maxAhead / 2, head + 1, head}
		for _, n := range sizes {
			calls.Go(func() {
				if _, err := c.do(t.Context(), 1, string(make([]byte, n-head)), 0); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		var taken []int
		go func() {
			for range sizes {
				_, args := takeCommand(t, far)
				taken = append(taken, head+len(args))
			}
		}()
		for answered, want := range []int{2, 4, 4, 4} {
			if synctest.Wait(); !slices.Equal(taken, sizes[:want]) {
				t.Errorf("with %d answers: got %v, want the first %d of %v", answered, taken, want, sizes)
			}
			far.Write(response(""))
		}
		calls.Wait()
	})
}

// An answer belongs to the oldest call, also after the caller has left.
func TestAnswersInOrder(t *testing.T) {
	withClient(t, func(t *testing.T, c *Client, far net.Conn) {
		go takeCommand(t, far)
		_, err := c.do(t.Context(), 1, "", time.Second)
		wantFault(t, err, fault.DeadlineExceeded, fault.OutcomeUnknown,
			"no answer in 1s (DefaultCallTimeout); give the context a deadline, or the method timeout=")
		go func() {
			takeCommand(t, far)
			far.Write(append(response("late"), wire.AppendException(nil, "ProtocolError", "Unknown command with id: 2")...))
		}()
		_, err = c.do(t.Context(), 2, "", 0)
		wantFault(t, err, fault.Unimplemented, fault.NotRun, "Unknown command with id: 2")
	})
}

// The end of a connection ends its calls with one reason. Only calls not yet sent were
// certainly not run.
func TestClientCloses(t *testing.T) {
	withClient(t, func(t *testing.T, c *Client, far net.Conn) {
		errs := make(chan error, 2)
		for range 2 { // the first is stuck in the pipe, the other one waits
			go func() { _, err := c.do(t.Context(), 1, "", 0); errs <- err }()
			synctest.Wait()
		}
		c.Close(closedByTest)
		<-c.Done()
		outcomes := map[fault.Outcome]bool{}
		for range 2 {
			err := <-errs
			outcomes[err.(*fault.Fault).Outcome] = true
			if !errors.Is(err, fault.ErrClosed) {
				t.Error(err)
			}
		}
		if !outcomes[fault.NotRun] || !outcomes[fault.OutcomeUnknown] {
			t.Errorf("outcomes %v", outcomes)
		}
		_, err := c.do(t.Context(), 1, "", 0)
		wantFault(t, err, fault.Canceled, fault.NotRun, "client closed")
		if !errors.Is(c.Err(), fault.ErrClosed) {
			t.Errorf("Err: %v", c.Err())
		}
	})
}

// A frame too long is a *LongFrame with the first bytes; the others are not read.
func TestReadFrame(t *testing.T) {
	near, far := net.Pipe()
	go func() {
		far.Write([]byte("\x07\x00\x00\x00\x00ab" + "\x04\x00\x00\x00" + "GET / HTTP"))
		far.Close()
	}()
	f, err := ReadFrame(near, 2)
	if err != nil || f.Type != wire.Init || !bytes.Equal(f.Payload, []byte("ab")) {
		t.Errorf("got %+v, %v", f, err)
	}
	f, err = ReadFrame(near, 2)
	if err != nil || f.Refused == nil || f.Refused.Message != "Reported message size too small: 4" {
		t.Errorf("got %+v, %v", f, err)
	}
	_, err = ReadFrame(near, 2)
	var long *LongFrame
	if !errors.As(err, &long) || string(long.Head[:]) != "GET /" || long.Most != 2 {
		t.Errorf("got %v", err)
	}
	if rest, _ := io.ReadAll(near); string(rest) != " HTTP" {
		t.Errorf("left: %q", rest)
	}
}
