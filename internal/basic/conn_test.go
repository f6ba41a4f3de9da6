package basic

import (
	"errors"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A desk is a Handler without a server. It echoes arguments, and admits its client at
// the poll after admit.
type desk struct {
	c        *Conn
	admit    bool
	refuse   *fault.Fault // for Enter
	welcome  *fault.Fault
	block    chan struct{} // command 2 waits for it
	entered  int
	left     atomic.Int32 // times
	turned   *fault.Fault
	ended    *fault.Fault
	isClosed bool
}

func (d *desk) Command(id uint16, args []byte, kept limits.Kept) {
	kept.Release()
	switch id {
	case 1:
		d.c.Respond(net.Buffers{response(string(args))})
	case 2:
		<-d.block
		d.c.Respond(net.Buffers{response("woken")})
	case 3:
		d.c.Refuse(Exception("ValueError", "no"))
		runtime.Goexit()
	default:
		d.c.Refuse(UnknownCommand(id))
	}
}

func (d *desk) Enter() *fault.Fault       { d.entered++; return d.refuse }
func (d *desk) Admitted() bool            { return d.admit }
func (d *desk) Leave()                    { d.left.Add(1) }
func (d *desk) Welcome() *fault.Fault     { return d.welcome }
func (d *desk) TurnedAway(e *fault.Fault) { d.turned = e }

const (
	initFrame   = "\x08\x00\x00\x00\x00\x00\x00\x01"
	shortInit   = "\x06\x00\x00\x00\x00\x00"
	admittedNow = "\x06\x00\x00\x00\x00\x01"
	notAdmitted = "\x06\x00\x00\x00\x00\x00"
)

// withConn runs f with a Conn in a bubble, after the first INIT of its client.
func withConn(t *testing.T, d *desk, f func(t *testing.T, far net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		d.block = make(chan struct{})
		d.c = NewConn(Config{
			NetConn: near, Limits: testLimits(), Handler: d,
			OnEnd: func(why *fault.Fault) { d.ended = why }, OnClosed: func() { d.isClosed = true },
		}, Frame{Type: wire.Init, Payload: []byte(initFrame[5:])})
		go d.c.Run()
		f(t, far)
		far.Close()
		d.c.Wait()
		<-d.c.EndRequests()
		if d.ended == nil || !d.isClosed {
			t.Errorf("ended: %v, closed: %v", d.ended, d.isClosed)
		}
	})
}

func want(t *testing.T, far net.Conn, frame string) {
	t.Helper()
	b := make([]byte, len(frame))
	far.SetReadDeadline(time.Now().Add(time.Second))
	n, _ := far.Read(b)
	if string(b[:n]) != frame {
		t.Errorf("got %q, want %q", b[:n], frame)
	}
}

func wantException(t *testing.T, far net.Conn, name, text string) {
	t.Helper()
	want(t, far, string(wire.AppendException(nil, name, text)))
}

func ask(t *testing.T, far net.Conn, frame, answer string) {
	t.Helper()
	far.Write([]byte(frame))
	want(t, far, answer)
}

func command(id uint16, args string) string {
	return string(wire.AppendCommand(nil, id, len(args))) + args
}

// Each frame gets one answer, in order, whatever the handler does.
func TestConnAnswers(t *testing.T) {
	d := &desk{admit: true}
	withConn(t, d, func(t *testing.T, far net.Conn) {
		want(t, far, admittedNow)
		go far.Write([]byte(command(1, "a") + command(3, "") + command(9, "") + initFrame + command(1, "b")))
		want(t, far, string(response("a")))
		wantException(t, far, "ValueError", "no")
		wantException(t, far, "ProtocolError", "Unknown command with id: 9")
		wantException(t, far, "ProtocolError", "Initialization already occurred")
		want(t, far, string(response("b")))
		ask(t, far, "\x05\x00\x00\x00\x01", string(wire.AppendException(nil, "ProtocolError", "Insufficient bytes in command.")))
	})
	if !errors.Is(d.ended, fault.ErrPeerClosed) {
		t.Errorf("ended: %v", d.ended)
	}
}

// A polling client keeps its ticket. Silence for the length of its lease costs it the
// ticket, and the next poll takes another one.
func TestConnPolls(t *testing.T) {
	d := &desk{}
	withConn(t, d, func(t *testing.T, far net.Conn) {
		want(t, far, notAdmitted)
		for range 3 {
			time.Sleep(10 * time.Second)
			ask(t, far, initFrame, notAdmitted)
		}
		time.Sleep(20*time.Second - time.Nanosecond)
		if d.entered != 1 || d.left.Load() != 0 {
			t.Errorf("entered %d times, left %d times", d.entered, d.left.Load())
		}
		time.Sleep(time.Nanosecond)
		if synctest.Wait(); d.left.Load() != 1 {
			t.Errorf("left %d times", d.left.Load())
		}
		d.admit = true
		ask(t, far, initFrame, admittedNow)
		if d.entered != 2 {
			t.Errorf("entered %d times", d.entered)
		}
		time.Sleep(time.Hour)
		if d.left.Load() != 1 {
			t.Errorf("left %d times after admission", d.left.Load())
		}
	})
}

// A client turned away reads the reason, and nothing more.
func TestConnTurnsAway(t *testing.T) {
	for _, tt := range []struct {
		name      string
		d         *desk
		send      string
		exc, text string
	}{
		{"queue full", &desk{refuse: fault.Refusal(fault.ResourceExhausted, "full")}, "", "ConnectionError", "queue full"},
		{"shutdown", &desk{refuse: fault.Refusal(fault.Unavailable, "ending")}, "", "ServerShutdown", "the server is shutting down"},
		{"not welcome", &desk{admit: true, welcome: Exception("PermissionError", "not you")}, "", "PermissionError", "not you"},
		{"short INIT", &desk{}, shortInit, "ValueError", "Cannot deserialize version, insufficient bytes: 1. Expected 3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			withConn(t, tt.d, func(t *testing.T, far net.Conn) {
				if tt.send != "" {
					want(t, far, notAdmitted)
					far.Write([]byte(tt.send))
				}
				wantException(t, far, tt.exc, tt.text)
				want(t, far, "")
			})
			if tt.d.turned == nil || tt.d.turned != tt.d.ended {
				t.Errorf("turned away: %v, ended: %v", tt.d.turned, tt.d.ended)
			}
		})
	}
}

// Dismiss answers the command that runs. The handler's own answer is dropped.
func TestConnDismiss(t *testing.T) {
	d := &desk{admit: true}
	withConn(t, d, func(t *testing.T, far net.Conn) {
		want(t, far, admittedNow)
		far.Write([]byte(command(2, "")))
		synctest.Wait()
		d.c.Dismiss(fault.New(fault.Aborted, fault.OutcomeUnknown, "sent home"))
		wantException(t, far, "ConnectionError", "sent home")
		close(d.block)
		want(t, far, "")
	})
	if d.ended.Plain() != "sent home" {
		t.Errorf("ended: %v", d.ended)
	}
}

// Drain answers the command that runs, refuses those read after it, and ends.
func TestConnDrain(t *testing.T) {
	d := &desk{admit: true}
	withConn(t, d, func(t *testing.T, far net.Conn) {
		want(t, far, admittedNow)
		far.Write([]byte(command(2, "")))
		far.Write([]byte(command(1, "behind")))
		synctest.Wait()
		d.c.Drain()
		close(d.block)
		want(t, far, string(response("woken")))
		wantException(t, far, "ServerShutdown", "the server is shutting down")
		want(t, far, "")
	})
}

// A frame too long is refused, after the answers to those before it, and is the last.
func TestConnRefusesLong(t *testing.T) {
	withConn(t, &desk{admit: true}, func(t *testing.T, far net.Conn) {
		want(t, far, admittedNow)
		go far.Write([]byte(command(1, "a") + "\xff\xff\xff\xff\x01"))
		want(t, far, string(response("a")))
		wantException(t, far, "ValueError", "frame too long: 4294967288 bytes, MaxMessage is 1048576")
		want(t, far, "")
	})
}

// What precedes the first proper INIT is answered and survived.
func TestAwaitInit(t *testing.T) {
	near, far := net.Pipe()
	go func() {
		wantException(t, far, "ProtocolError", "Need to initialize connection first")
		ask(t, far, "\x08\x00\x00\x00\x00\x07\x00\x00", string(wire.AppendException(nil, "ProtocolError", "Incorrect major version: 7. Expected 0")))
		far.Write([]byte(initFrame))
		far.Close()
	}()
	f, refusal, err := AwaitInit(near, Frame{Type: wire.BasicRequest})
	if string(f.Payload) != initFrame[5:] || refusal != nil || err != nil {
		t.Errorf("got %+v, %v, %v", f, refusal, err)
	}
	_, refusal, err = AwaitInit(near, Frame{Type: wire.Init})
	if refusal == nil || err != nil {
		t.Errorf("an empty INIT: %v, %v", refusal, err)
	}
}

// Frames of any length fit into an empty request queue, and several within its bounds.
func TestRequestQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newRequestQueue()
		long := Frame{Payload: make([]byte, 2*queueBytes)}
		q.put(long)
		puts := make(chan bool, 1)
		go func() { puts <- q.put(Frame{}) }()
		if synctest.Wait(); len(puts) != 0 {
			t.Error("put a frame behind a long one")
		}
		q.take()
		if !<-puts || q.isIdle() {
			t.Error("put no frame, or is idle")
		}
		served := q.finish()
		q.done()
		q.take()
		select {
		case <-served:
			t.Error("served while the last frame is")
		default:
		}
		q.done()
		<-served
		for range queueFrames {
			q.put(Frame{})
		}
		go func() { puts <- q.put(Frame{}) }()
		if synctest.Wait(); len(puts) != 0 {
			t.Errorf("put %d frames", queueFrames+1)
		}
		q.end()
		if _, ok := q.take(); ok || <-puts {
			t.Error("put or taken after the end")
		}
	})
}

func TestSafeName(t *testing.T) {
	for name, want := range map[string]string{
		"ValueError": "ValueError", "OutOfPaper": "OutOfPaper", "_private": "_private",
		"SystemExit": "else", "StopIteration": "else", "not a name": "else", " ": "else", "": "else", "1x": "else",
		strings.Repeat("N", 300): strings.Repeat("N", 300),
	} {
		if got := SafeName(name, "else"); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}
