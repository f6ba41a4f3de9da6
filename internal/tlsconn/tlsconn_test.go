package tlsconn_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
	"github.com/bsrpc/bsrpc/internal/netconn"
	"github.com/bsrpc/bsrpc/internal/tlsconn"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A pipeSocket is one end of a net.Pipe, treated as a socket.
type pipeSocket struct{ net.Conn }

func (pipeSocket) ActsAsSocket(netconn.Internal) {}

// configs returns the configurations of a server and of a client that trusts it.
func configs(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	ca := bsrpctest.NewCA(t)
	server, client = ca.Server(), ca.Client()
	server.SessionTicketsDisabled = true
	server.DynamicRecordSizingDisabled, client.DynamicRecordSizingDisabled = true, true
	return server, client
}

// A pair is a server of this package, after Detach, and a client of crypto/tls.
type pair struct {
	t       *testing.T
	nc      net.Conn // of the server, wrapped
	server  *tlsconn.Conn
	client  *tls.Conn
	tap     *tap     // below client
	raw     net.Conn // below tap
	secrets bytes.Buffer
	output  chan struct{} // receives from onOutput; capacity 1
}

// withPair runs f in a bubble.
func withPair(t *testing.T, f func(p *pair)) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		p := &pair{t: t, raw: near, tap: &tap{Conn: near}, output: make(chan struct{}, 1)}
		s, c := configs(t)
		c.KeyLogWriter = &p.secrets
		p.client = tls.Client(p.tap, c)
		p.nc = netconn.Wrap(tlsconn.Server(pipeSocket{far}, s, nil, ""))
		p.shake(netconn.Unwrap(p.nc).(*tlsconn.Conn))
		if p.server = tlsconn.Detach(p.nc, func() {
			select {
			case p.output <- struct{}{}:
			default:
			}
		}); p.server == nil {
			t.Fatal("not detached")
		}
		f(p)
		p.nc.Close()
		p.raw.Close()
	})
}

// shake completes the handshake of both ends.
func (p *pair) shake(server *tlsconn.Conn) {
	p.t.Helper()
	done := make(chan error, 1)
	go func() { done <- p.client.HandshakeContext(context.Background()) }()
	if err := errors.Join(server.HandshakeContext(context.Background()), <-done); err != nil {
		p.t.Fatal(err)
	}
}

// seal seals bufs, and writes the ciphertext to the socket.
func (p *pair) seal(bufs ...[]byte) {
	for first := true; first || len(bufs) > 0; first = false {
		rest, out, err := p.server.Seal(bufs)
		if err != nil {
			p.t.Error(err)
			return
		}
		p.server.NetConn().Write(out)
		p.server.Sent(out)
		bufs = rest
	}
}

// What is sealed arrives in order, whatever the sizes, and Read returns what the client has
// written.
func TestSealAndRead(t *testing.T) {
	withPair(t, func(p *pair) {
		long := make([]byte, 3*tlsconn.SealSize+5)
		rand.Read(long)
		sent := [][]byte{[]byte("a"), nil, long, []byte("end")}
		go p.seal(bytes.Clone(sent[0]), nil, long, sent[3])
		want := bytes.Join(sent, nil)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(p.client, got); err != nil || !bytes.Equal(got, want) {
			t.Error("other bytes", err)
		}
		go p.client.Write(want)
		for n, got := 0, make([]byte, len(want)); n < len(want); {
			k, err := p.nc.Read(got[n:min(n+1000*(1+n%40), len(got))])
			if err != nil || !bytes.Equal(got[n:n+k], want[n:n+k]) {
				t.Fatal(n, k, err)
			}
			n += k
		}
	})
}

// A tap is the connection below the client. It keeps what is written while it holds.
type tap struct {
	net.Conn
	hold bool
	held []byte
}

func (c *tap) Write(b []byte) (int, error) {
	if c.hold {
		c.held = append(c.held, b...)
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// Read returns several records that have arrived together, and does not wait for the rest of
// another one.
func TestReadManyRecords(t *testing.T) {
	withPair(t, func(p *pair) {
		p.tap.hold = true
		for i := range 9 {
			p.client.Write([]byte{byte('a' + i)})
		}
		held, last := p.tap.held[:len(p.tap.held)-1], p.tap.held[len(p.tap.held)-1:]
		p.client.Write(make([]byte, 40<<10))
		rest := p.tap.held[len(held)+1:]
		go p.raw.Write(held)
		buf := make([]byte, 100)
		n, err := p.nc.Read(buf)
		if string(buf[:n]) != "abcdefgh" || err != nil {
			t.Errorf("got %q, %v", buf[:n], err)
		}
		p.nc.SetReadDeadline(time.Now().Add(time.Second))
		if n, err := p.nc.Read(buf); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a part of a record: %d, %v", n, err)
		}
		p.nc.SetReadDeadline(time.Time{})
		go p.raw.Write(last)
		if n, err := p.nc.Read(buf); string(buf[:n]) != "i" || err != nil {
			t.Errorf("after a deadline: %q, %v", buf[:n], err)
		}
		go p.raw.Write(rest)
		if _, err := io.ReadFull(p.nc, make([]byte, 40<<10)); err != nil {
			t.Error(err)
		}
	})
}

// A trafficKey encrypts the records of one end, or decrypts them, as crypto/tls cannot.
type trafficKey struct {
	secret []byte
	seq    uint64
}

// label is HKDF-Expand-Label of RFC 8446.
func (k *trafficKey) label(name string, n int) []byte {
	info := append([]byte{0, byte(n), byte(len(name) + 6)}, "tls13 "+name...)
	b, err := hkdf.Expand(sha256.New, k.secret, string(append(info, 0)), n)
	if err != nil {
		panic(err)
	}
	return b
}

// update is a KeyUpdate, of RFC 8446, 4.6.3.
func (k *trafficKey) update() { k.secret, k.seq = k.label("traffic upd", len(k.secret)), 0 }

func (k *trafficKey) next() (aead cipher.AEAD, nonce []byte) {
	block, err := aes.NewCipher(k.label("key", 16))
	if err != nil {
		panic(err)
	}
	if aead, err = cipher.NewGCM(block); err != nil {
		panic(err)
	}
	nonce = k.label("iv", 12)
	for i := range 8 {
		nonce[11-i] ^= byte(k.seq >> (8 * i))
	}
	k.seq++
	return aead, nonce
}

// seal returns a record with contents of a type.
func (k *trafficKey) seal(typ byte, contents ...byte) []byte {
	aead, nonce := k.next()
	n := len(contents) + 1 + aead.Overhead()
	head := []byte{23, 3, 3, byte(n >> 8), byte(n)}
	return aead.Seal(head, nonce, append(contents, typ), head)
}

// read reads a record from r, and returns its type and contents. It may be any of the next
// ones: those before have been read otherwise.
func (k *trafficKey) read(t *testing.T, r io.Reader) (typ byte, contents []byte) {
	t.Helper()
	head := make([]byte, 5)
	if _, err := io.ReadFull(r, head); err != nil {
		t.Error(err)
		return 0, nil
	}
	body := make([]byte, int(head[3])<<8|int(head[4]))
	io.ReadFull(r, body)
	for range 10 {
		aead, nonce := k.next()
		if b, err := aead.Open(nil, nonce, body, head); err == nil {
			return b[len(b)-1], b[:len(b)-1]
		}
	}
	t.Error("a record of another key")
	return 0, nil
}

// needAES skips a test that makes records of its own, of AES, on processors without it: crypto/tls
// chooses another cipher suite there. It is called outside the bubble of the test.
func needAES(t *testing.T) {
	t.Helper()
	s, c := configs(t)
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	go tls.Server(far, s).Handshake()
	client := tls.Client(near, c)
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if suite := client.ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
		t.Skip("the cipher suite is " + tls.CipherSuiteName(suite))
	}
}

// keys returns the keys of the client and of the server after a handshake, from the lines of
// a KeyLogWriter.
func keys(t *testing.T, secrets string) (client, server *trafficKey) {
	t.Helper()
	for line := range strings.Lines(secrets) {
		fields := strings.Fields(line)
		secret, err := hex.DecodeString(fields[2])
		switch {
		case err != nil:
			t.Fatal(err)
		case fields[0] == "CLIENT_TRAFFIC_SECRET_0":
			client = &trafficKey{secret: secret}
		case fields[0] == "SERVER_TRAFFIC_SECRET_0":
			server = &trafficKey{secret: secret}
		}
	}
	return client, server
}

const (
	handshakeRecord = 22
	dataRecord      = 23
)

// keyUpdate is the message of a peer that wants the other end to do the same.
var keyUpdate = []byte{24, 0, 0, 1, 1}

// The answer to a KeyUpdate is output, before anything sealed later.
func TestKeyUpdate(t *testing.T) {
	needAES(t)
	withPair(t, func(p *pair) {
		client, server := keys(t, p.secrets.String())
		go func() {
			p.raw.Write(client.seal(dataRecord, 'a'))
			p.raw.Write(client.seal(handshakeRecord, keyUpdate...))
			client.update()
			<-p.output // before more is read
			p.raw.Write(client.seal(dataRecord, 'b'))
		}()
		var got []byte
		for buf := make([]byte, 10); len(got) < 2; {
			n, err := p.nc.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, buf[:n]...)
		}
		if string(got) != "ab" || !p.server.HasOutput() {
			t.Errorf("read %q", got)
		}
		go func() {
			p.seal([]byte("after"))
			p.seal([]byte("later"))
		}()
		if typ, b := server.read(t, p.raw); typ != handshakeRecord || !bytes.Equal(b, []byte{24, 0, 0, 1, 0}) {
			t.Errorf("answer of type %d: %v", typ, b)
		}
		server.update()
		for _, want := range []string{"after", "later"} {
			if typ, b := server.read(t, p.raw); typ != dataRecord || string(b) != want {
				t.Errorf("record of type %d: %q, want %q", typ, b, want)
			}
		}
		if p.server.HasOutput() {
			t.Error("output is left")
		}
	})
}

// A server answers a KeyUpdate at once, although it has nothing else to send.
func TestKeyUpdateOfClient(t *testing.T) {
	needAES(t)
	synctest.Test(t, func(t *testing.T) {
		s, c := configs(t)
		var secrets bytes.Buffer
		c.KeyLogWriter = &secrets
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{TLS: s, Limits: bsrpc.Limits{PingAfter: bsrpc.NoLimit}, Logger: slog.New(slog.DiscardHandler)})
		near, far := net.Pipe()
		go srv.ServeConn(pipeSocket{far})
		peer := tls.Client(near, c)
		go peer.Write(wire.AppendClientInit(nil, &wire.Hello{Version: wire.NativeVersion}))
		if _, err := peer.Read(make([]byte, 1000)); err != nil { // the server's INIT
			t.Fatal(err)
		}
		client, server := keys(t, secrets.String())
		client.seq++ // INIT
		go near.Write(client.seal(handshakeRecord, keyUpdate...))
		for typ := byte(dataRecord); typ == dataRecord; { // until the answer
			var b []byte
			if typ, b = server.read(t, near); typ != dataRecord && !bytes.Equal(b, []byte{24, 0, 0, 1, 0}) {
				t.Errorf("answer of type %d: %v", typ, b)
			}
		}
		near.Close()
		srv.Close()
	})
}

// A peer that asks for KeyUpdates, and never reads the answers, cannot make this end keep
// more than MaxUnsent bytes of them. Reading fails then, and so does Seal.
func TestKeyUpdatesUnread(t *testing.T) {
	needAES(t)
	withPair(t, func(p *pair) {
		client, _ := keys(t, p.secrets.String())
		go func() {
			for {
				if _, err := p.raw.Write(client.seal(dataRecord, 'a')); err != nil {
					return
				}
				p.raw.Write(client.seal(handshakeRecord, keyUpdate...))
				client.update()
			}
		}()
		var err error
		for buf := make([]byte, 10); err == nil; {
			_, err = p.nc.Read(buf)
		}
		if n := tlsconn.Unsent(p.server); n < tlsconn.MaxUnsent || n > tlsconn.MaxUnsent+100 {
			t.Errorf("%d bytes wait; %v", n, err)
		}
		if _, _, sealed := p.server.Seal([][]byte{[]byte("x")}); err != tlsconn.ErrUnread || sealed == nil {
			t.Errorf("read: %v; sealed: %v", err, sealed)
		}
	})
}

// CloseWrite sends the alert; it does not wait for long if the peer does not read. Close
// sends nothing.
func TestCloseWrite(t *testing.T) {
	withPair(t, func(p *pair) {
		go p.seal([]byte("bye"))
		read := make(chan error, 1)
		go func() {
			b, err := io.ReadAll(p.client) // ends with the alert: the connection stays open
			if string(b) != "bye" {
				t.Errorf("read %q", b)
			}
			read <- err
		}()
		synctest.Wait()
		if err := p.nc.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Error(err)
		}
		if err := <-read; err != nil {
			t.Error(err)
		}
		go p.client.Write([]byte("hello"))
		buf := make([]byte, 10)
		if n, err := p.nc.Read(buf); string(buf[:n]) != "hello" || err != nil {
			t.Errorf("after CloseWrite: %q, %v", buf[:n], err)
		}
		if _, _, err := p.server.Seal([][]byte{[]byte("x")}); err == nil {
			t.Error("sealed after CloseWrite")
		}
	})
	withPair(t, func(p *pair) {
		begin := time.Now()
		if err := p.nc.(interface{ CloseWrite() error }).CloseWrite(); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) != netconn.CloseTime {
			t.Errorf("unread: %v after %v", err, time.Since(begin))
		}
		begin = time.Now()
		if p.nc.Close(); time.Since(begin) != 0 {
			t.Errorf("closed after %v", time.Since(begin))
		}
	})
}

// TLS 1.2 and connections other than sockets are not detached, and go on as they are.
func TestNotDetached(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			if version == tls.VersionTLS12 {
				near, far = pipeSocket{near}, pipeSocket{far}
			}
			s, c := configs(t)
			s.MaxVersion = version
			p := &pair{t: t, nc: netconn.Wrap(tlsconn.Server(far, s, nil, "")), client: tls.Client(near, c)}
			server := netconn.Unwrap(p.nc).(*tlsconn.Conn)
			p.shake(server)
			if tlsconn.Detach(p.nc, nil) != nil || tlsconn.Detach(far, nil) != nil {
				t.Error("detached")
			}
			go p.nc.Write([]byte("still"))
			buf := make([]byte, 10)
			if n, err := p.client.Read(buf); string(buf[:n]) != "still" || err != nil {
				t.Errorf("%q, %v", buf[:n], err)
			}
			go io.Copy(io.Discard, p.client)
			p.nc.Close()
			near.Close()
			time.Sleep(time.Minute)
		})
	}
}
