package bsrpc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/basic"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// CLOSE is the last frame of a server, for every end of a connection and all calls
// meanwhile. The test reads the raw bytes.
func TestCloseIsTheLastFrame(t *testing.T) {
	t.Parallel()
	seeds := 600
	if !LongTests {
		seeds = 6
	}
	for _, how := range []string{"violation", "Session.Close", "Shutdown"} {
		for _, direct := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/socket=%v", how, direct), func(t *testing.T) {
				for seed := range uint64(seeds) {
					synctest.Test(t, func(t *testing.T) { closeStorm(t, seed, how, direct) })
				}
			})
		}
	}
}

func closeStorm(t *testing.T, seed uint64, how string, direct bool) {
	rng := rand.New(rand.NewPCG(seed, 6))
	srv := testeeServer(t, newTestee(), nil)
	near, far := net.Pipe()
	far = &halfClosing{far}
	if direct {
		far = &halfClosingSocket{pipeSocket{Conn: far, t: t}}
	}
	p := rawDialOver(t, srv, near, far)
	p.runHandshake()
	var bytesSent []byte
	methods := []uint16{rawAdd, rawFail, rawHold, rawMake}
	for id := uint64(2); id < 30; id++ {
		method := methods[rng.IntN(len(methods))]
		args := map[uint16]string{rawAdd: u64(0), rawMake: u32(uint32(rng.IntN(200_000)))}[method]
		bytesSent = append(bytesSent, frameBytes(wire.Frame{Type: wire.Request, Arg: method, ID: id}, []byte(args))...)
		if rng.IntN(3) == 0 {
			bytesSent = append(bytesSent, rawHead(16, wire.Cancel, 0, 0, id)...)
		}
	}
	if how == "violation" {
		bytesSent = append(bytesSent, violations[0].frames...)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for len(bytesSent) > 0 {
			n := min(len(bytesSent), 1+rng.IntN(300))
			if _, err := near.Write(bytesSent[:n]); err != nil {
				return
			}
			bytesSent = bytesSent[n:]
			time.Sleep(time.Duration(rng.IntN(300)) * time.Microsecond)
		}
	})
	wg.Go(func() {
		time.Sleep(time.Duration(rand.New(rand.NewPCG(seed, 7)).IntN(3000)) * time.Microsecond)
		switch how {
		case "Session.Close":
			for _, s := range srv.Sessions() {
				s.Close("on purpose")
			}
		case "Shutdown":
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
			defer cancel()
			srv.Shutdown(ctx)
		}
	})
	pauses := rand.New(rand.NewPCG(seed, 8))
	closed, types := false, []wire.Type(nil)
	for {
		near.SetReadDeadline(time.Now().Add(rawPatience))
		head := make([]byte, 16)
		if _, err := io.ReadFull(near, head); err != nil {
			break
		}
		if _, err := io.CopyN(io.Discard, near, int64(binary.LittleEndian.Uint32(head))-16); err != nil {
			break
		}
		typ := wire.Type(head[4])
		if types = append(types, typ); closed {
			t.Errorf("seed %d: %v behind CLOSE: %v", seed, typ, types)
		}
		closed = closed || typ == wire.Close
		if pauses.IntN(2) == 0 {
			time.Sleep(time.Duration(pauses.IntN(400)) * time.Microsecond)
		}
	}
	if !closed && how != "Shutdown" {
		t.Errorf("seed %d: the connection ended without CLOSE: %v", seed, types)
	}
	near.Close()
	wg.Wait()
	<-p.served
	srv.Close()
}

// A halfClosingSocket is treated as a socket, and read after its CloseWrite.
type halfClosingSocket struct{ pipeSocket }

func (*halfClosingSocket) CloseWrite() error { return nil }

// A deafConn is a connection that cannot be written to any more, as one whose
// peer has said why, and closed.
type deafConn struct {
	net.Conn
	deaf atomic.Bool
}

func (c *deafConn) Write(b []byte) (int, error) {
	if c.deaf.Load() {
		return 0, syscall.EPIPE
	}
	return c.Conn.Write(b)
}

// A failed write does not hide the reason sent by the peer before.
func TestReasonIsReadWhenWritesFail(t *testing.T) {
	for _, direct := range []bool{false, true} {
		t.Run(fmt.Sprint("socket=", direct), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				d := &deafConn{Conn: near}
				var nc net.Conn = d
				if direct {
					nc = &pipeSocket{Conn: d, t: t}
				}
				client, proxy, p := rawServerOn(t, nc, far, &ClientOptions{Logger: quiet})
				time.Sleep(time.Second)
				d.deaf.Store(true)
				time.AfterFunc(10*time.Millisecond, func() {
					body := wire.Failure{Message: "you are not wanted"}
					p.send(wire.Frame{Type: wire.Close, Arg: uint16(CodeAborted)}, body.Append(nil))
					p.nc.Close()
				})
				start := time.Now()
				err := proxy.Fail(t.Context())
				wantCall(t, err, CodeAborted, OutcomeUnknown, "you are not wanted")
				if took := time.Since(start); took != 10*time.Millisecond {
					t.Errorf("the call took %v", took)
				}
				wantCall(t, client.Err(), CodeAborted, OutcomeUnknown, "you are not wanted")
				client.Close()
			})
		})
	}
}

// Without such a reason, the failed write is the reason, soon.
func TestFailedWriteEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		d := &deafConn{Conn: near}
		client, proxy, p := rawServerOn(t, d, far, &ClientOptions{Logger: quiet})
		d.deaf.Store(true)
		start := time.Now()
		wantCall(t, proxy.Fail(t.Context()), CodeUnavailable, OutcomeUnknown, "connection lost: writing: broken pipe")
		if took := time.Since(start); took > netconn.CloseTime {
			t.Errorf("the call took %v", took)
		}
		client.Close()
		p.nc.Close()
	})
}

// The refusal of a server that has not read the INIT is still reported.
func TestRefusalIsReadWhenInitFails(t *testing.T) {
	native := wire.AppendServerInit(nil, &wire.Hello{Version: 1, RefusalCode: uint16(CodeResourceExhausted), Refusal: "full"})
	for name, tt := range map[string]struct {
		sent string
		code Code
		want string
	}{
		"native":  {string(native), CodeResourceExhausted, "full"},
		"basic":   {string(wire.AppendException(nil, "ConnectionError", "full")), CodeUnavailable, "full"},
		"nothing": {"", CodeUnavailable, "handshake: the server closed the connection before answering INIT"},
		"admits":  {basicAdmitted, CodeUnavailable, "handshake: the server closed the connection before answering INIT"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				d := &deafConn{Conn: near}
				d.deaf.Store(true)
				go far.Write([]byte(tt.sent))
				start := time.Now()
				_, err := NewClient(t.Context(), d, basicOptions(nil))
				wantCall(t, err, tt.code, OutcomeNotRun, tt.want)
				if took := time.Since(start); took > netconn.CloseTime {
					t.Errorf("took %v", took)
				}
				far.Close()
			})
		})
	}
}

// The errors of an ended connection never match io.EOF, and after Close all match
// ErrClosed.
func TestErrorsAfterTheEnd(t *testing.T) {
	for _, speaks := range []string{"native", "basic"} {
		for _, how := range []string{"end", "wrapped", "reset"} {
			t.Run(speaks+"/"+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var odd *endingConn
					p := newOddPair(t, "client", speaks, func(nc net.Conn) net.Conn {
						odd = &endingConn{Conn: nc, how: how}
						return odd
					})
					held := make(chan error, 1)
					go func() { held <- p.hold(context.Background()) }()
					<-p.began
					time.Sleep(time.Second)
					p.server.Close()
					<-p.client.Done()
					call := func() error { _, err := p.sum(context.Background(), 1, 2); return err }
					<-held // with the handler's answer, or the end
					for _, err := range []error{p.client.Err(), call()} {
						var e *Error
						if errors.Is(err, io.EOF) || errors.Is(err, ErrClosed) || !errors.As(err, &e) || e.Code != CodeUnavailable {
							t.Errorf("got %v", err)
						}
						if how != "reset" && !errors.Is(err, io.ErrUnexpectedEOF) {
							t.Errorf("%v is not io.ErrUnexpectedEOF", err)
						}
					}
					p.client.Close()
					for _, err := range []error{p.client.Err(), call()} {
						if errors.Is(err, io.EOF) || !errors.Is(err, ErrClosed) || !strings.Contains(err.Error(), "connection lost") {
							t.Errorf("after Close: %v", err)
						}
					}
					p.end()
				})
			})
		}
	}
	synctest.Test(t, func(t *testing.T) { // in the handshake
		near, far := net.Pipe()
		go func() { basic.ReadFrame(far, wire.MaxInit); far.Close() }()
		if _, err := NewClient(t.Context(), near, nil); errors.Is(err, io.EOF) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("got %v", err)
		}
	})
}

// An endingConn returns an error of its own at its end.
type endingConn struct {
	net.Conn
	how string
}

func (c *endingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == io.EOF {
		switch c.how {
		case "wrapped":
			err = fmt.Errorf("tunnel: %w", io.EOF)
		case "reset":
			err = syscall.ECONNRESET
		}
	}
	return n, err
}

// What crosses the CLOSE of a server that has answered all it has begun has not run.
func TestCloseNotRun(t *testing.T) {
	for flags, want := range map[wire.Flags]Outcome{0: OutcomeUnknown, wire.NotRun: OutcomeNotRun} {
		synctest.Test(t, func(t *testing.T) {
			client, proxy, p := rawServer(t, &ClientOptions{Logger: quiet})
			ended := make(chan error, 1)
			go func() { ended <- proxy.Hold(t.Context()) }()
			p.skipTo(wire.Request)
			p.send(wire.Frame{Type: wire.Close, Flags: flags, Arg: uint16(CodeUnavailable)}, (&wire.Failure{Message: "maintenance"}).Append(nil))
			var e *Error
			if err := <-ended; !errors.As(err, &e) || e.Outcome != want || e.Code != CodeUnavailable || !e.Remote {
				t.Errorf("flags %x: %v, %v", flags, err, e.Outcome)
			}
			client.Close()
		})
	}
}
