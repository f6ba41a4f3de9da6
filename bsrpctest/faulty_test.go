package bsrpctest_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/bsrpctest"
)

// A copied is what a peer has received from a connection.
type copied struct {
	bytes.Buffer
	done chan struct{}
}

// copyFrom copies everything from nc.
func copyFrom(nc io.Reader) *copied {
	c := &copied{done: make(chan struct{})}
	go func() {
		defer close(c.done)
		io.Copy(&c.Buffer, nc)
	}()
	return c
}

func TestFaultyWrites(t *testing.T) {
	const text = "a message"
	for _, tt := range []struct {
		name     string
		fault    bsrpctest.Fault
		n        int           // written
		after    time.Duration // of the deadline, if that ends it
		received string
	}{
		{"none", bsrpctest.SplitReads(1), len(text), 0, text},
		{"split", bsrpctest.SplitWrites(2), len(text), 0, text},
		{"cut at once", bsrpctest.CutWrites(0), 0, 0, ""},
		{"cut", bsrpctest.CutWrites(3), 3, 0, text[:3]},
		{"cut behind the end", bsrpctest.CutWrites(int64(len(text))), len(text), 0, text},
		{"stalled", bsrpctest.StallWrites(3), 3, time.Minute, text[:3]},
		{"late", bsrpctest.Delay(2 * time.Minute), 0, time.Minute, ""},
		{"later", bsrpctest.Delay(time.Second), len(text), 0, text},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				defer far.Close()
				nc := bsrpctest.Faulty(near, tt.fault)
				received := copyFrom(far)
				start := time.Now()
				nc.SetDeadline(start.Add(time.Minute))
				n, err := nc.Write([]byte(text))
				if n != tt.n || (err == nil) != (n == len(text)) {
					t.Errorf("Write = %d, %v; want %d", n, err, tt.n)
				}
				if timedOut := errors.Is(err, os.ErrDeadlineExceeded); timedOut != (tt.after > 0) || timedOut && time.Since(start) != tt.after {
					t.Errorf("Write failed after %v: %v", time.Since(start), err)
				}
				nc.Close()
				<-received.done
				if got := received.String(); got != tt.received {
					t.Errorf("received %q, want %q", got, tt.received)
				}
			})
		})
	}
}

func TestFaultyReads(t *testing.T) {
	const text = "a message"
	for _, tt := range []struct {
		name  string
		fault bsrpctest.Fault
		want  string
		stall bool
	}{
		{"split", bsrpctest.SplitReads(2), text, false},
		{"cut", bsrpctest.CutReads(4), text[:4], false},
		{"stalled", bsrpctest.StallReads(4), text[:4], true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				nc := bsrpctest.Faulty(near, tt.fault)
				go func() {
					far.Write([]byte(text))
					far.Close()
				}()
				nc.SetReadDeadline(time.Now().Add(time.Minute))
				got, err := io.ReadAll(nc)
				if string(got) != tt.want || errors.Is(err, os.ErrDeadlineExceeded) != tt.stall || (err == nil) != (tt.want == text) {
					t.Errorf("read %q, %v; want %q", got, err, tt.want)
				}
				nc.Close()
				if _, err := nc.Read(make([]byte, 1)); err == nil {
					t.Error("Read after Close succeeded")
				}
			})
		})
	}
}

// A deadline set while a Read hangs counts.
func TestFaultyDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		nc := bsrpctest.Faulty(near, bsrpctest.StallReads(0))
		defer nc.Close()
		failed := make(chan error, 1)
		go func() {
			_, err := nc.Read(make([]byte, 1))
			failed <- err
		}()
		synctest.Wait()
		nc.SetReadDeadline(time.Now().Add(time.Second))
		if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read: %v", err)
		}
		none := bsrpctest.Faulty(far, bsrpctest.NoDeadlines())
		for _, err := range []error{none.SetDeadline(time.Now()), none.SetReadDeadline(time.Now()), none.SetWriteDeadline(time.Now())} {
			if !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("a deadline: %v", err)
			}
		}
	})
}
