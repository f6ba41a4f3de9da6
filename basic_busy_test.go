package bsrpc

// A server of basic-socket-rpc does not read its socket while it serves a call. A
// client must not close the connection for this.

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// A call longer than Limits.WriteStall only delays the next call.
func TestBasicServerIsBusy(t *testing.T) {
	withBasicRaw(t, nil, func(t *testing.T, client *Client, desk *basicDesk, p *rawPeer) {
		var calls sync.WaitGroup
		for i := range uint32(3) {
			calls.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				if sum, err := desk.Add(ctx, i, 1); sum != i+1 || err != nil {
					t.Errorf("%d: %d, %v", i, sum, err)
				}
			})
			synctest.Wait()
		}
		for i := range uint32(3) { // to its end each time, then the next
			p.takeCommand()
			time.Sleep(time.Duration(i+1) * 15 * time.Second)
			p.write(response(u32(i + 1)))
		}
		calls.Wait()
	})
}

// The time of a server that reads nothing begins when it has no call to serve.
func TestBasicServerStallsAfterAnswer(t *testing.T) {
	withBasicRaw(t, nil, func(t *testing.T, client *Client, desk *basicDesk, p *rawPeer) {
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { _, err := desk.Add(t.Context(), 1, 2); first <- err }()
		p.takeCommand()
		go func() { _, err := desk.Add(t.Context(), 3, 4); second <- err }()
		time.Sleep(19 * time.Second)
		start := time.Now()
		p.write(response(u32(3)))
		if err := <-first; err != nil {
			t.Error(err)
		}
		<-client.Done()
		if took := time.Since(start); took < 10*time.Second || took > 20*time.Second {
			t.Errorf("the connection ended after %v", took)
		}
		wantCall(t, client.Err(), CodeUnavailable, OutcomeUnknown, "the peer has taken nothing for this end's Limits.WriteStall (10s)")
		<-second
	})
}

// Requests behind a slow call must not fill the buffers of a socket: the system would
// drop the connection (TCP_USER_TIMEOUT).
func TestBasicServerIsBusyOverTCP(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	big := bytes.Repeat([]byte("b"), 8<<20)
	served := make(chan struct{})
	go func() {
		defer close(served)
		nc, err := l.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		p := &rawPeer{t: t, nc: nc}
		p.takeInit(basicAdmitted)
		p.takeCommand()
		time.Sleep(time.Second)
		p.write(response(u32(3)))
		if _, args := p.takeCommand(); len(args) != 4+len(big) {
			t.Errorf("got %d bytes", len(args))
		}
		p.write(wire.AppendException(nil, "ValueError", "too much"))
	}()
	limits := Limits{WriteStall: 300 * time.Millisecond, PingAfter: 300 * time.Millisecond, PingTimeout: 300 * time.Millisecond}
	client, err := Dial(t.Context(), "tcp", l.Addr().String(), basicOptions(&ClientOptions{Limits: limits}))
	if err != nil {
		t.Fatal(err)
	}
	desk := bindBasic(t, client)
	slow := make(chan error, 1)
	go func() { _, err := desk.Add(t.Context(), 1, 2); slow <- err }()
	time.Sleep(50 * time.Millisecond)
	_, err = desk.Echo(t.Context(), big)
	wantCall(t, err, CodeInvalidArgument, OutcomeAnswered, "too much")
	if err := <-slow; err != nil {
		t.Error(err)
	}
	client.Close()
	<-served
}
