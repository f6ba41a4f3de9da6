// Package httpbsrpc carries calls of bsrpc over HTTP.
//
// Handler makes an http.Handler of a server, and Dial a client of it. Programs without bsrpc, such
// as browsers and curl, call the same methods with JSON:
//
//	curl -H 'Content-Type: application/json' -d '["Ann"]' http://127.0.0.1:8080/Greeter.Hello
//
// # Calls
//
// A call is POST /Service.Method with one of two Content-Types:
//
//	application/bsrpc   the bytes of bsrpc, as Dial sends them
//	application/json    a list of the arguments, answered by a list of the results. Package layout has the mapping
//
// The headers of a request are these; all but Content-Type may be absent:
//
//	Bsrpc-Timeout       the time left for the call, as in "1.5s"; with JSON
//	Bsrpc-Metadata      entries as in "tenant=a, trace=7", with values as in a URL: "%2C" is a comma
//	Authorization       "Bearer TOKEN" or "Basic ...": the credentials for ServerOptions.Authenticate
//
// The body of a request with application/bsrpc is the hash of a layout (32 bytes), the time left in microseconds
// (8 bytes, little-endian, 0 for no limit), and the arguments. It may have two headers more: Bsrpc-Knows, hashes
// in hexadecimal, and Bsrpc-Layout, the length of a layout before the arguments. The body of a reply is its
// bsrpc.Status (1 byte), the hash of the server's layout (32 bytes), and the results, the error, or the layout.
//
// The answer has the status of its code in docs/errors.md. A failed call with JSON is an object with code,
// message, outcome, and if there are any name and id. The stream of a method is sent as server-sent
// events to callers with JSON: one without a name for each item, or piece of bytes in base64, then one
// with the name end, or error. A first one with the name results has the results beside the stream, if the
// method has any.
//
// # Refusals
//
// A Handler refuses before it reads a body: a Host that is not its own, with 421, which keeps pages
// of other sites out that let their name point to this machine; an Origin other than the
// Host, with 403; methods other than POST, with 405; other Content-Types, with 415; and bodies above
// MaxMessage, with 413. A call with JSON is authenticated before its body is read, and with the call again.
package httpbsrpc

import (
	"cmp"
	"net/http"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc"
)

// Options are the options of Handler. The zero value, and nil, have the defaults. The options are
// copied.
type Options struct {
	// Hosts are host names and addresses by which clients reach the Handler, without ports. Names of
	// the machine itself (localhost, 127.0.0.1, ::1) and the address of the listener need
	// no entry.
	Hosts []string

	// MaxMessage limits the bytes of the body of a request. The server has a MaxMessage of its
	// own for the arguments in it. Zero means 16 MiB.
	MaxMessage int

	// FrameTimeout limits the time in which the body of a request arrives, and in which a
	// client takes each part of a stream. Zero means 30 s.
	FrameTimeout time.Duration

	// Console mounts the console at GET /: a page that lists the methods of the server and calls
	// them. It has no rights of its own: the server decides by the token given in the page. False
	// is without it.
	Console bool

	// ConsoleAddress is the address of the server for the command bsrpc, with the flags that it needs: as in
	// "lab.example:7341 --tls", or "@lab" for a profile. The console shows each call as such a command; if
	// this is empty, as one of curl.
	ConsoleAddress string
}

// defaultMaxMessage is the default of MaxMessage at both ends.
const defaultMaxMessage = 16 << 20

// A handler is what Handler returns.
type handler struct {
	Options
	server *bsrpc.Server
}

// Handler returns an http.Handler that calls the methods of srv, and says at GET /health to any
// Host and without credentials whether srv is ready, as Server.Health does: 200 and "up", or 503 and
// "down". Its paths begin at /; use http.StripPrefix for others. opts may be nil.
//
// A certificate that TLS of the http.Server has verified is in the Peer of a call.
// When the server shuts down, GET /health is down, and new calls have the status 503. Shut it down before
// the http.Server, so that clients learn it, and calls under way end.
func Handler(srv *bsrpc.Server, opts *Options) http.Handler {
	h := &handler{server: srv}
	if opts != nil {
		h.Options = *opts
	}
	h.MaxMessage = cmp.Or(h.MaxMessage, defaultMaxMessage)
	h.FrameTimeout = cmp.Or(h.FrameTimeout, 30*time.Second)
	return h
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Content-Type") != typeBytes { // a browser, perhaps
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
	}
	x := exchanges.Get().(*exchange)
	*x = exchange{handler: h, w: w, r: r, out: http.NewResponseController(w), began: time.Now()}
	x.out.SetReadDeadline(x.began.Add(h.FrameTimeout)) // some connections have no deadlines
	switch get := r.Method == http.MethodGet || r.Method == http.MethodHead; {
	case get && r.URL.Path == "/health":
		h.serveHealth(w)
	case !h.isHost(r):
		x.refuse(refusef(http.StatusMisdirectedRequest, bsrpc.CodePermissionDenied, "the Host of the request is not one of this server; add it to Options.Hosts"))
	case isForeign(r):
		x.refuse(refusef(http.StatusForbidden, bsrpc.CodePermissionDenied, "the Origin of the request is another site"))
	case h.Console && get && h.serveConsole(w, r):
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		x.refuse(refusef(http.StatusMethodNotAllowed, bsrpc.CodeUnimplemented, "calls are POST requests"))
	default:
		x.serve()
	}
	*x = exchange{} // the server does not use its request any more
	exchanges.Put(x)
}

// exchanges are for requests whose handlers return.
var exchanges = sync.Pool{New: func() any { return new(exchange) }}

// serveHealth answers a load balancer, which learns nothing else.
func (h *handler) serveHealth(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if h.server.Health("") {
		w.Write([]byte("up\n"))
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	w.Write([]byte("down\n"))
}
