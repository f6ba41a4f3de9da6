package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/trace"
)

// Limits of the proxy.
const (
	maxTapped     = 1024 // connections at the same time; others wait to be accepted
	tapBuffer     = 64 << 10
	aboutTimeout  = 2 * time.Second  // of asking the server about itself
	aboutGap      = 30 * time.Second // between two attempts that have failed
	acceptTimeout = 10 * time.Second // of the TLS handshake of a client
	lastBytes     = 5 * time.Second  // of an end, once the other one is lost
)

// A proxy passes connections on, and prints their lines.
type proxy struct {
	*tap
	tls    *tls.Config  // to the server; nil without TLS
	lines  *trace.Lines // to the terminal
	record *recorder
	say    func(event, text string)

	mu       sync.Mutex
	about    *description // nil if the server has not described itself
	fresh    bool         // about is what the server says, as far as this end knows
	notUntil time.Time    // the next attempt to ask
}

// proxy listens until it is interrupted.
func (p *tap) proxy(cmd *cobra.Command) (err error) {
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	x := &proxy{tap: p}
	if x.tls, err = p.tlsConfig(); err != nil {
		return err
	}
	if _, err := p.target.options(); err != nil {
		return err
	}
	l, err := p.listener()
	if err != nil {
		return err
	}
	defer l.Close()
	if p.record != "" {
		if x.record, err = createRecording(p.record); err != nil {
			return err
		}
	}
	x.lines = trace.NewLines(cmd.OutOrStdout(), p.lostLines)
	x.say = func(event, text string) {
		p.printLine(cmd.ErrOrStderr(), map[string]string{"event": event, "text": text}, "tap: "+text)
	}
	x.ask(ctx)
	x.say("listening", "listening on "+l.Addr().String()+", for "+p.address)
	err = x.serve(ctx, l)
	x.lines.Wait(lineWait)
	if failed := x.record.close(); err == nil {
		err = failed
	}
	return err
}

// listener returns the listener for clients.
func (p *tap) listener() (net.Listener, error) {
	network, address := "tcp", p.listen
	if path, ok := strings.CutPrefix(address, unixPrefix); ok {
		network, address = "unix", path
	}
	var config *tls.Config
	if p.tlsCert != "" {
		cert, err := bsrpc.ReloadingCertificate(p.tlsCert, p.tlsKey)
		if err != nil {
			return nil, usage("--tls-cert, --tls-key: %s", strings.TrimPrefix(err.Error(), "bsrpc: certificate: "))
		}
		config = &tls.Config{GetCertificate: cert.GetCertificate, MinVersion: tls.VersionTLS13}
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, usage("--listen: %v; want host:port or unix:path that is free", err)
	}
	if config != nil {
		l = tls.NewListener(l, config)
	}
	return l, nil
}

// serve accepts clients until the context ends.
func (x *proxy) serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var open sync.WaitGroup
	defer open.Wait()
	room := make(chan struct{}, maxTapped)
	warned := false
	for n := uint32(ownConn + 1); ; n++ {
		room <- struct{}{}
		nc, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			return nil // an interrupt is how a proxy ends
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil: // too many files, for one: later ones may succeed
			x.say("error", "accept: "+err.Error())
			time.Sleep(100 * time.Millisecond)
			n--
			<-room
			continue
		}
		open.Go(func() {
			defer func() { <-room }()
			x.connection(ctx, nc, n)
		})
		if err := x.record.failed(); err != nil && !warned {
			warned = true
			x.say("error", err.Error())
		}
	}
}

// ask asks the server about its methods. A server that has none to tell is asked once.
func (x *proxy) ask(ctx context.Context) {
	x.mu.Lock()
	wait := x.fresh || time.Now().Before(x.notUntil)
	if !wait {
		x.notUntil = time.Now().Add(aboutGap)
	}
	x.mu.Unlock()
	if wait {
		return
	}
	limited, cancel := context.WithTimeout(ctx, aboutTimeout)
	defer cancel()
	about, err := x.describe(limited)
	x.mu.Lock()
	if x.fresh = err == nil || hasNone(err); x.fresh {
		x.about = about
	}
	x.mu.Unlock()
	if about != nil {
		if text := x.methods.missed(about); text != "" {
			x.say("filter", text)
		}
	}
	if err != nil && ctx.Err() == nil && !x.showValues {
		f := failureOf(err)
		text := "values are hidden, " + clean(f.Message, maxErrorText)
		if f.flags && len(f.Details) > 0 { // the tap asks as a client of its own
			text += "; for the tap itself: " + f.Details[0]
		}
		x.say("hidden", text+"; --show-values shows them")
	}
}

// describe asks the server over a connection of its own, which is recorded as ownConn.
func (x *proxy) describe(ctx context.Context) (*description, error) {
	opts, err := x.target.options()
	if err != nil {
		return nil, err
	}
	secure := opts.TLS != nil
	nc, err := x.dial(ctx)
	if err != nil {
		return nil, x.notConnected(err, secure)
	}
	opts.TLS = nil // dial has done it, and has verified the server
	client, err := bsrpc.NewClient(ctx, x.record.conn(nc, ownConn), opts)
	if err != nil {
		return nil, x.notConnected(err, secure)
	}
	defer client.Close()
	return x.describeOver(ctx, client)
}

// dial connects to the server, with TLS if there is a configuration.
func (x *proxy) dial(ctx context.Context) (net.Conn, error) {
	network, address := "tcp", x.address
	if path, ok := strings.CutPrefix(address, unixPrefix); ok {
		network, address = "unix", path
	}
	var d net.Dialer
	nc, err := d.DialContext(ctx, network, address)
	if err != nil || x.tls == nil {
		return nc, err
	}
	config := x.tls.Clone()
	config.MinVersion = tls.VersionTLS13
	if host, _, err := net.SplitHostPort(address); err == nil && config.ServerName == "" {
		config.ServerName = host
	}
	secure := tls.Client(nc, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, err
	}
	return secure, nil
}

// connection passes one connection on.
func (x *proxy) connection(ctx context.Context, client net.Conn, n uint32) {
	defer client.Close()
	stop := context.AfterFunc(ctx, func() { client.Close() })
	defer stop()
	from := client.RemoteAddr().String()
	if from == "" || from == "@" {
		from = "a unix socket"
	}
	lines := &connLines{tap: x.tap, w: x.lines, conn: n}
	lines.note(opened, trace.FromClient, "from "+clean(from, maxWord))
	if secure, ok := client.(*tls.Conn); ok {
		limited, cancel := context.WithTimeout(ctx, acceptTimeout)
		err := secure.HandshakeContext(limited)
		cancel()
		if err != nil {
			lines.note(trace.End, trace.FromClient, "TLS: "+clean(err.Error(), maxErrorText))
			return
		}
	}
	limited, cancel := x.limit(ctx, false)
	server, err := x.dial(limited)
	cancel()
	if err != nil {
		x.stale()
		lines.note(trace.End, trace.FromServer, "not connected: "+clean(err.Error(), maxErrorText))
		return
	}
	defer server.Close()
	defer context.AfterFunc(ctx, func() { server.Close() })()
	x.ask(ctx)
	decoder := trace.NewDecoder(x.traceOptions(connName(n), x.known()), func(e *trace.Event) { lines.event(e) })
	c := &tapped{proxy: x, conn: n, pieces: newPieceQueue(decoder.Feed)}
	var both sync.WaitGroup
	both.Go(func() { c.pass(trace.FromServer, client, server) })
	c.pass(trace.FromClient, server, client)
	both.Wait()
	if !c.pieces.close() {
		lines.note("failed", trace.FromClient, "its lines have ended early, by a fault of the tap")
	}
}

// known returns what the server has said about itself.
func (x *proxy) known() *description {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.about
}

// stale makes the next connection ask again: the server may have been replaced.
func (x *proxy) stale() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.fresh {
		x.fresh, x.notUntil = false, time.Time{}
	}
}

// A tapped is one connection that is passed on.
type tapped struct {
	*proxy
	conn   uint32
	pieces *pieceQueue

	mu    sync.Mutex // puts the two directions in one order
	ended bool       // one direction
}

// pass copies one direction to its end. Each read is passed on at once, by one write. An end that is
// lost is the end of what it sends, to the other end, whose last bytes may be on their way.
func (c *tapped) pass(from trace.Direction, to, source net.Conn) {
	buf := make([]byte, tapBuffer)
	for {
		n, err := source.Read(buf)
		if n > 0 {
			c.feed(from, buf[:n], "") // first: the answer may come before Write returns
			if _, failed := to.Write(buf[:n]); failed != nil {
				c.end(from, "write failed: "+ending(failed))
				to.SetReadDeadline(time.Now().Add(lastBytes))
				return
			}
		}
		if err == nil {
			continue
		}
		c.end(from, ending(err))
		if half, ok := to.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
			to.Close()
		}
		if !errors.Is(err, io.EOF) {
			to.SetReadDeadline(time.Now().Add(lastBytes))
		}
		return
	}
}

// ending returns why a direction has ended.
func ending(err error) string {
	switch {
	case errors.Is(err, io.EOF):
		return "EOF"
	case errors.Is(err, net.ErrClosed):
		return "closed by the tap"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "closed by the tap, as the other end is lost"
	}
	return err.Error()
}

// end ends a direction. If the server is the first, it may have been stopped.
func (c *tapped) end(from trace.Direction, why string) {
	c.feed(from, nil, why)
	c.mu.Lock()
	first := !c.ended
	c.ended = true
	c.mu.Unlock()
	if first && from == trace.FromServer {
		c.stale()
	}
}

// feed prints and records some bytes, or the end of a direction.
func (c *tapped) feed(from trace.Direction, b []byte, end string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := &trace.Piece{Time: time.Now(), Conn: c.conn, From: from, Bytes: b, End: end}
	c.record.add(p)
	c.pieces.add(p)
}
