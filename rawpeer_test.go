package bsrpc

// A simulated peer, at either end.

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// A rawPeer is a simulated peer. Its reads and writes time out, so that a test fails
// instead of hanging.
type rawPeer struct {
	t      testing.TB
	nc     net.Conn
	served chan error // what ServeConn returned
}

// rawClient connects a rawPeer to srv, with a handshake and a BIND of the methods with
// numbers.
func rawClient(t testing.TB, srv *Server) *rawPeer {
	t.Helper()
	p := rawDial(t, srv)
	p.runHandshake()
	return p
}

// runHandshake is the handshake of a rawClient.
func (p *rawPeer) runHandshake() {
	p.t.Helper()
	p.bindAs(&wire.Hello{Version: 1}, "Probe", "Add", "Echo", "Make", "Fail", "Hold", "Deaf")
}

// bindAs sends hello and binds methods: they get the numbers from 0.
func (p *rawPeer) bindAs(hello *wire.Hello, service string, methods ...string) {
	p.t.Helper()
	p.write(wire.AppendClientInit(nil, hello))
	typ, payload := p.readBasic()
	if h, err := wire.ReadServerInit(payload); typ != wire.Init || err != nil || h.RefusalCode != 0 {
		p.t.Fatalf("answer to INIT: %v %q, %v", typ, payload, err)
	}
	r := wire.BindRequest{Service: service, Names: methods}
	p.send(wire.Frame{Type: wire.Bind, Flags: wire.Describe, ID: 1}, r.Append(nil))
	answers, err := wire.ReadBindResponse(p.wantAnswer(1), len(methods))
	if last := len(methods) - 1; err != nil || int(answers[last].Number) != last {
		p.t.Fatalf("answer to BIND: %+v, %v", answers, err)
	}
}

// answerBind answers the INIT and the BIND of a client, as a server with all methods: they get
// the numbers from 0.
func (p *rawPeer) answerBind(hello *wire.Hello) {
	p.readBasic()
	p.write(wire.AppendServerInit(nil, hello))
	f, body := p.read()
	r, err := wire.ReadBindRequest(body, f.Flags)
	if err != nil {
		p.t.Error(err)
		return
	}
	answers := make([]wire.BindResult, len(r.Names))
	for i := range answers {
		answers[i].Number = uint16(i)
	}
	p.send(wire.Frame{Type: wire.Response, ID: f.ID}, wire.AppendBindResponse(nil, answers))
}

// readAll reads until the connection ends.
func (p *rawPeer) readAll() { io.Copy(io.Discard, p.nc) }

// rawDial connects a rawPeer to srv, before the handshake.
func rawDial(t testing.TB, srv *Server) *rawPeer {
	near, far := net.Pipe()
	return rawDialOver(t, srv, near, far)
}

// rawDialOver is rawDial over a pair of connections. The server has far.
func rawDialOver(t testing.TB, srv *Server, near, far net.Conn) *rawPeer {
	p := &rawPeer{t: t, nc: near, served: make(chan error, 1)}
	go func() { p.served <- srv.ServeConn(far) }()
	return p
}

const rawPatience = time.Hour // of virtual time

func (p *rawPeer) write(b []byte) {
	p.t.Helper()
	p.nc.SetWriteDeadline(time.Now().Add(rawPatience))
	if _, err := p.nc.Write(b); err != nil {
		p.t.Fatalf("writing %d bytes: %v", len(b), err)
	}
}

func (p *rawPeer) send(f wire.Frame, body []byte) {
	p.t.Helper()
	p.write(frameBytes(f, body))
}

func frameBytes(f wire.Frame, body []byte) []byte {
	f.BodySize = len(body)
	return append(wire.AppendHeader(nil, &f), body...)
}

func (p *rawPeer) readFull(n int) []byte {
	p.t.Helper()
	p.nc.SetReadDeadline(time.Now().Add(rawPatience))
	b := make([]byte, n)
	if _, err := io.ReadFull(p.nc, b); err != nil {
		p.t.Fatalf("reading %d bytes: %v", n, err)
	}
	return b
}

func (p *rawPeer) readBasic() (wire.Type, []byte) {
	p.t.Helper()
	typ, n := wire.ReadBasicHeader(p.readFull(5))
	return typ, p.readFull(int(n))
}

// read reads one frame.
func (p *rawPeer) read() (f wire.Frame, body []byte) {
	p.t.Helper()
	b := p.readFull(4)
	b = append(b, p.readFull(int(binary.LittleEndian.Uint32(b))-4)...)
	n, err := wire.ReadHeader(b, &f)
	if err != nil {
		p.t.Fatalf("%x: %v", b, err)
	}
	return f, b[n:]
}

// wantAnswer reads a RESPONSE to id.
func (p *rawPeer) wantAnswer(id uint64) []byte {
	p.t.Helper()
	f, body := p.read()
	if f.Type != wire.Response || f.ID != id {
		p.t.Fatalf("got %v %d %q, want RESPONSE %d", f.Type, f.ID, body, id)
	}
	return body
}

// wantError reads an ERROR that answers id.
func (p *rawPeer) wantError(id uint64, code Code, flags wire.Flags, text string) {
	p.t.Helper()
	f, body := p.read()
	failure, err := wire.ReadFailure(body)
	if f.Type != wire.Error || f.ID != id || Code(f.Arg) != code || f.Flags != flags || err != nil || !strings.Contains(failure.Message, text) {
		p.t.Errorf("got %v %d, %v, flags %x, %q; want ERROR %d, %v, flags %x, %q", f.Type, f.ID, Code(f.Arg), f.Flags, failure.Message, id, code, flags, text)
	}
}

// wantClose reads a CLOSE frame and the connection's end.
func (p *rawPeer) wantClose(code Code, text string) {
	p.t.Helper()
	f, body := p.read()
	failure, err := wire.ReadFailure(body)
	if f.Type != wire.Close || Code(f.Arg) != code || err != nil || !strings.Contains(failure.Message, text) {
		p.t.Errorf("got %v, %v, %q; want CLOSE, %v, %q", f.Type, Code(f.Arg), failure.Message, code, text)
	}
	p.wantEnd()
}

// wantEnd checks that nothing but the connection's end follows.
func (p *rawPeer) wantEnd() {
	p.t.Helper()
	p.nc.SetReadDeadline(time.Now().Add(rawPatience))
	if n, err := p.nc.Read(make([]byte, 1)); err != io.EOF {
		p.t.Errorf("got %d bytes, %v; want the end", n, err)
	}
}

// wantAlive makes a call and checks its answer.
func (p *rawPeer) wantAlive(id uint64) {
	p.t.Helper()
	p.send(wire.Frame{Type: wire.Request, Arg: rawAdd, ID: id}, []byte("\x01\x00\x00\x00\x02\x00\x00\x00"))
	if body := p.wantAnswer(id); string(body) != "\x03\x00\x00\x00" {
		p.t.Errorf("1 + 2: got %x", body)
	}
}

func u64(v uint64) string { return string(binary.LittleEndian.AppendUint64(nil, v)) }
func u32(v uint32) string { return string(binary.LittleEndian.AppendUint32(nil, v)) }

// rawHead returns a frame header without checks.
func rawHead(size uint32, t wire.Type, flags wire.Flags, arg uint16, id uint64) string {
	return u32(size) + string([]byte{byte(t), byte(flags), byte(arg), byte(arg >> 8)}) + u64(id)
}

// bigRequest returns the first chunk of a message of total bytes, with n of them.
func bigRequest(id uint64, method uint16, total, n int) []byte {
	return frameBytes(wire.Frame{Type: wire.Request, Flags: wire.Chunked, Arg: method, ID: id, Total: uint64(total)}, make([]byte, n))
}

// rawServer connects a client to a rawPeer in the role of the server, with a handshake
// and a successful BIND.
func rawServer(t testing.TB, opts *ClientOptions) (*Client, *testeeContract, *rawPeer) {
	t.Helper()
	near, far := net.Pipe()
	return rawServerOn(t, near, far, opts)
}

func rawServerOn(t testing.TB, near, far net.Conn, opts *ClientOptions) (*Client, *testeeContract, *rawPeer) {
	t.Helper()
	p := &rawPeer{t: t, nc: far}
	go p.answerBind(&wire.Hello{Version: 1})
	client, proxy := testeeClientOn(t, near, opts)
	return client, proxy, p
}

// request sends a REQUEST.
func (p *rawPeer) request(id uint64, method uint16, args string) {
	p.t.Helper()
	p.send(wire.Frame{Type: wire.Request, Arg: method, ID: id}, []byte(args))
}

// want reads one frame and checks its head.
func (p *rawPeer) want(typ wire.Type, id uint64, arg uint16, flags wire.Flags) []byte {
	p.t.Helper()
	f, body := p.read()
	if f.Type != typ || f.ID != id || f.Arg != arg || f.Flags != flags {
		p.t.Fatalf("got %v %d, arg %d, flags %x, %q; want %v %d, arg %d, flags %x", f.Type, f.ID, f.Arg, f.Flags, body, typ, id, arg, flags)
	}
	return body
}

// skipTo reads frames until one of a type.
func (p *rawPeer) skipTo(typ wire.Type) (wire.Frame, []byte) {
	p.t.Helper()
	for {
		if f, body := p.read(); f.Type == typ {
			return f, body
		}
	}
}
