package httpbsrpc

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/layout"
)

// An exchange is one request to a handler, and its answer.
type exchange struct {
	*handler
	w     http.ResponseWriter
	r     *http.Request
	out   *http.ResponseController
	began time.Time

	bytes   bool           // the caller speaks bsrpc, not JSON
	method  *layout.Method // for JSON
	request bsrpc.Request
}

// A refusal is the answer to a request that does not reach the server.
type refusal struct {
	status int
	code   bsrpc.Code
	text   string
}

func refusef(status int, code bsrpc.Code, format string, args ...any) *refusal {
	return &refusal{status, code, fmt.Sprintf(format, args...)}
}

// invalid refuses a request that makes no sense.
func invalid(format string, args ...any) *refusal {
	return refusef(http.StatusBadRequest, bsrpc.CodeInvalidArgument, format, args...)
}

// refuse sends a refusal.
func (x *exchange) refuse(why *refusal) {
	x.fail(why.status, &bsrpc.Error{Code: why.code, Outcome: bsrpc.OutcomeNotRun, Message: "bsrpc: " + why.text})
}

// serve serves a call.
func (x *exchange) serve() {
	kind := mediaType(x.r.Header)
	if x.bytes = kind == typeBytes; !x.bytes && kind != typeJSON {
		x.refuse(refusef(http.StatusUnsupportedMediaType, bsrpc.CodeInvalidArgument, "want the Content-Type %s or %s", typeJSON, typeBytes))
		return
	}
	if encoding := x.r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		x.refuse(refusef(http.StatusUnsupportedMediaType, bsrpc.CodeInvalidArgument, "want a body without Content-Encoding"))
		return
	}
	if x.Console && !x.bytes && x.r.URL.Path == pathLayout {
		x.serveLayout()
		return
	}
	reply, why := x.readRequest()
	switch {
	case why != nil:
		x.refuse(why)
	case reply != nil:
		x.answer(reply)
	default:
		x.server.ServeRequest(x.r.Context(), x.pass(&x.request), x.answer)
	}
}

// readRequest reads the request of a call. A caller with JSON may get a reply before its body is
// read.
func (x *exchange) readRequest() (*bsrpc.Reply, *refusal) {
	limit := int64(x.MaxMessage)
	if x.bytes {
		limit += requestFront + layout.MaxText
	}
	if x.r.ContentLength > limit {
		return nil, x.tooLarge()
	}
	request := &x.request
	texts, err := readRequest(request, x.r.Header)
	if err != nil {
		return nil, invalid("%v", err)
	}
	request.Method, request.Peer = strings.TrimPrefix(x.r.URL.Path, "/"), peerOf(x.r)
	if !x.bytes {
		if reply, why := x.describe(request); reply != nil || why != nil {
			return reply, why
		}
	}
	body, why := x.read(limit)
	if why != nil {
		return nil, why
	}
	if !x.bytes {
		if request.Body, err = appendArgs(nil, x.method, body); err != nil {
			return nil, invalid("%s%v", request.Method, err)
		}
		return nil, nil
	}
	if err := readBody(request, body, texts); err != nil {
		return nil, invalid("%v", err)
	}
	return nil, nil
}

// pass subtracts the time that a request has taken here. It returns r, for the server.
func (x *exchange) pass(r *bsrpc.Request) *bsrpc.Request {
	if r.Timeout != 0 {
		r.Timeout = max(1, r.Timeout-time.Since(x.began))
	}
	return r
}

// describe finds the layout for the arguments of a call with JSON. It asks with a hash that
// no method has, so the answer is the layout if the caller may call the method, and otherwise its reply.
func (x *exchange) describe(r *bsrpc.Request) (*bsrpc.Reply, *refusal) {
	reply := x.server.Handle(x.r.Context(), x.pass(&bsrpc.Request{Method: r.Method, Timeout: r.Timeout, Peer: r.Peer, Credentials: r.Credentials}))
	switch reply.Status {
	case bsrpc.StatusError:
		return reply, nil
	case bsrpc.StatusOK:
		return nil, invalid("%s has no JSON", r.Method)
	}
	var err error
	if x.method, err = layout.ParseMethod(reply.Layout); err != nil {
		return nil, refusef(http.StatusInternalServerError, bsrpc.CodeInternal, "%s: %v", r.Method, err)
	}
	r.Hash = reply.Hash
	return nil, nil
}

// read reads the body of the request. After an error the deadline remains, for what net/http
// reads before it closes the connection.
func (x *exchange) read(limit int64) ([]byte, *refusal) {
	body, err := readAll(x.r.Body, x.r.ContentLength, limit)
	if err == errTooLong {
		return nil, x.tooLarge()
	} else if err != nil {
		return nil, invalid("the body of the request has not arrived in full")
	}
	x.out.SetReadDeadline(time.Time{})
	return body, nil
}

// errTooLong is the error of a body above its limit.
var errTooLong = errors.New("the body is too long")

// readAll reads a body of at most limit bytes. length is that in its header, or -1.
func readAll(r io.Reader, length, limit int64) ([]byte, error) {
	switch {
	case length > limit:
		return nil, errTooLong
	case length >= 0 && length <= 64<<10: // a peer may lie
		b := make([]byte, length)
		_, err := io.ReadFull(r, b)
		return b, err
	}
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = errTooLong
	}
	return b, err
}

// tooLarge refuses a body.
func (x *exchange) tooLarge() *refusal {
	return refusef(http.StatusRequestEntityTooLarge, bsrpc.CodeResourceExhausted, "the body of the request is longer than MaxMessage (%d bytes)", x.MaxMessage)
}

// answer sends the reply of the server.
func (x *exchange) answer(reply *bsrpc.Reply) {
	setMetadata(x.w.Header(), reply.Metadata)
	switch {
	case reply.Status == bsrpc.StatusError:
		x.fail(statusOf(reply.Err.Code), reply.Err)
	case x.bytes:
		x.answerBytes(reply)
	case reply.Status == bsrpc.StatusOK:
		x.answerJSON(reply)
	default: // not with the hash of describe, as methods of a server do not change
		x.refuse(refusef(http.StatusInternalServerError, bsrpc.CodeInternal, "the method has changed"))
	}
}

// answerBytes sends a reply to a bsrpc client.
func (x *exchange) answerBytes(reply *bsrpc.Reply) {
	status, body, h := http.StatusOK, reply.Body, x.w.Header()
	if reply.Status == bsrpc.StatusDiffers {
		status, body = statusOf(bsrpc.CodeFailedPrecondition), []byte(reply.Layout)
	}
	body = replyBody(reply.Status, &reply.Hash, body)
	if reply.Items != nil {
		h.Set("Content-Type", typeStream)
		reply.Body = body
		x.stream(reply, new(frameWriter))
		return
	}
	h["Content-Type"] = valueBytes
	x.w.WriteHeader(status)
	x.write(body)
}

// answerJSON sends results as JSON.
func (x *exchange) answerJSON(reply *bsrpc.Reply) {
	text, stream, err := appendResults(nil, x.method, reply.Body)
	if err != nil {
		x.fail(http.StatusInternalServerError, &bsrpc.Error{Code: bsrpc.CodeInternal, Outcome: bsrpc.OutcomeAnswered, Message: fmt.Sprintf("bsrpc: %s.%s%v", x.method.Service, x.method.Name, err)})
		return
	}
	if reply.Items != nil {
		x.w.Header().Set("Content-Type", typeEvents)
		x.w.Header().Set("X-Accel-Buffering", "no") // for nginx
		x.stream(reply, &eventWriter{stream: stream, list: text})
		return
	}
	x.w.Header().Set("Content-Type", typeJSON)
	x.write(append(text, '\n'))
}

// fail sends an error.
func (x *exchange) fail(status int, e *bsrpc.Error) {
	h, body := x.w.Header(), bsrpc.AppendError(nil, e)
	if status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	if x.bytes {
		h.Set("Content-Type", typeBytes)
		body = replyBody(bsrpc.StatusError, new(bsrpc.Hash), body)
	} else {
		h.Set("Content-Type", typeJSON)
		body = append(appendErrorJSON(nil, e), '\n')
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	x.w.WriteHeader(status)
	x.send(body) // at once: when the server closes, the handler may still run
}

// appendErrorJSON appends what a caller with JSON gets of an error.
func appendErrorJSON(b []byte, e *bsrpc.Error) []byte {
	text, _ := json.Marshal(struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Outcome string `json:"outcome"`
		Name    string `json:"name,omitempty"`
		ID      string `json:"id,omitempty"`
	}{e.Code.String(), e.Message, e.Outcome.String(), e.Name, e.ID})
	return append(b, text...)
}

// statusOf returns the HTTP status of a code, by the table of docs/errors.md.
func statusOf(c bsrpc.Code) int {
	switch c {
	case bsrpc.CodeOK:
		return http.StatusOK
	case bsrpc.CodeCanceled:
		return 499 // nginx's: the client has closed the request
	case bsrpc.CodeInvalidArgument, bsrpc.CodeFailedPrecondition, bsrpc.CodeOutOfRange:
		return http.StatusBadRequest
	case bsrpc.CodeDeadlineExceeded:
		return http.StatusGatewayTimeout
	case bsrpc.CodeNotFound:
		return http.StatusNotFound
	case bsrpc.CodeAlreadyExists, bsrpc.CodeAborted:
		return http.StatusConflict
	case bsrpc.CodePermissionDenied:
		return http.StatusForbidden
	case bsrpc.CodeResourceExhausted:
		return http.StatusTooManyRequests
	case bsrpc.CodeUnimplemented:
		return http.StatusNotImplemented
	case bsrpc.CodeUnavailable:
		return http.StatusServiceUnavailable
	case bsrpc.CodeUnauthenticated:
		return http.StatusUnauthorized
	}
	return http.StatusInternalServerError
}

// mediaType returns the Content-Type without its parameters; "" if it is not valid.
func mediaType(h http.Header) string {
	text := h.Get("Content-Type")
	if text == typeBytes || text == typeJSON {
		return text
	}
	kind, _, err := mime.ParseMediaType(text)
	if err != nil {
		return ""
	}
	return kind
}

// peerOf returns what the request proves of its caller.
func peerOf(r *http.Request) (p bsrpc.Peer) {
	if addr, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		p.Addr = net.TCPAddrFromAddrPort(addr)
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		p.Certificate = r.TLS.PeerCertificates[0]
	}
	return p
}
