package natsbsrpc

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// The messages of PROTOCOL.md, both directions side by side. All values in headers are text
// without line ends.

// Each request and each reply begins with what every call has, in a front of a fixed size, which costs
// a fraction of headers. The headers of requests and replies are for what most calls have not.
const (
	requestFront = 32 + 8 // hash, microseconds left
	replyFront   = 1 + 32 // status, hash

	headerKnows    = "Bsrpc-Knows"    // hashes with commas between
	headerLayout   = "Bsrpc-Layout"   // bytes of a layout in front of the arguments
	headerUser     = "Bsrpc-User"     // in base64
	headerToken    = "Bsrpc-Token"    // in base64
	headerMetadata = "Bsrpc-Metadata" // as the query of a URL
	headerStream   = "Bsrpc-Stream"   // of a reply: items follow
)

// The headers of the other messages of a call.
const (
	headerMore   = "Bsrpc-More"   // the body goes on in the next piece
	headerSeq    = "Bsrpc-Seq"    // the number of a piece, from 1
	headerEnd    = "Bsrpc-End"    // of a stream: ok, error, lost
	headerCredit = "Bsrpc-Credit" // bytes that the receiver has consumed
	headerCancel = "Bsrpc-Cancel" // the caller has lost interest
	headerPing   = "Bsrpc-Ping"   // the caller is alive
	headerGone   = "Bsrpc-Gone"   // the answer to a ping of a call that is over
	headerHere   = "Bsrpc-Here"   // the instance has the call
)

const (
	set        = "1"                // the value of a header that is only there or not
	maxHashes  = 64                 // in headerKnows
	maxTimeout = (1<<63 - 1) / 1000 // microseconds of a time.Duration
)

// hashes are written without padding: 43 bytes.
var hashText = base64.RawURLEncoding.Strict()

// messages are requests and replies that have been sent. nats.go keeps nothing of a message.
var messages = sync.Pool{New: func() any { return new(nats.Msg) }}

// newMessage returns a message without content, and memory for n bytes of it. Pass it to freeMessage
// when it has been sent.
func newMessage(n int) *nats.Msg {
	m := messages.Get().(*nats.Msg)
	if cap(m.Data) < n {
		m.Data = make([]byte, 0, n)
	}
	return m
}

// freeMessage takes a message from newMessage, and all of its bytes.
func freeMessage(m *nats.Msg) {
	if cap(m.Data) > 16<<10 {
		m.Data = nil
	}
	*m = nats.Msg{Data: m.Data[:0]}
	messages.Put(m)
}

// requestOf returns the message of a request, with a body of any length, for a subject.
func requestOf(subject string, r *bsrpc.Request) *nats.Msg {
	m := newMessage(requestFront + len(r.Layout) + len(r.Body))
	m.Subject = subject
	var left uint64 // 0: no limit
	if r.Timeout > 0 {
		left = uint64(max(1, r.Timeout.Microseconds()))
	}
	m.Data = binary.LittleEndian.AppendUint64(append(m.Data, r.Hash[:]...), left)
	m.Data = append(append(m.Data, r.Layout...), r.Body...)
	if len(r.Knows) > 0 {
		var list []string
		for _, k := range r.Knows[:min(len(r.Knows), maxHashes)] {
			list = append(list, hashText.EncodeToString(k[:]))
		}
		setHeader(m, headerKnows, strings.Join(list, ","))
	}
	if r.Layout != "" {
		setHeader(m, headerLayout, strconv.Itoa(len(r.Layout)))
	}
	if user := r.Credentials.User(); user != "" {
		setHeader(m, headerUser, base64.StdEncoding.EncodeToString([]byte(user)))
	}
	if token := r.Credentials.Token(); token != "" {
		setHeader(m, headerToken, base64.StdEncoding.EncodeToString([]byte(token)))
	}
	setMetadata(m, r.Metadata)
	return m
}

// setHeader sets a header. A message without one costs less.
func setHeader(m *nats.Msg, key, value string) {
	if m.Header == nil {
		m.Header = make(nats.Header)
	}
	m.Header[key] = []string{value}
}

// readRequest reads the first message of a request into r. The body goes to setBody, complete, but without
// the front, and with the length of the layout at its beginning.
func readRequest(r *bsrpc.Request, method string, m *nats.Msg) (layout int64, err error) {
	if len(m.Data) < requestFront {
		return 0, fmt.Errorf("a message of %d bytes, want at least %d: the hash of a layout and a timeout", len(m.Data), requestFront)
	}
	left := binary.LittleEndian.Uint64(m.Data[32:])
	if left > maxTimeout {
		return 0, fmt.Errorf("timeout of %d microseconds, want at most %d", left, maxTimeout)
	}
	f := fields{header: m.Header}
	*r = bsrpc.Request{Method: method, Hash: bsrpc.Hash(m.Data), Timeout: time.Duration(left) * time.Microsecond, Metadata: f.metadata()}
	if list := f.text(headerKnows); list != "" {
		words := strings.SplitN(list, ",", maxHashes+1)
		if len(words) > maxHashes {
			f.fail(headerKnows, fmt.Errorf("more than %d hashes", maxHashes))
			words = nil
		}
		for _, word := range words {
			r.Knows = append(r.Knows, f.parseHash(headerKnows, word))
		}
	}
	if user, token := f.base64(headerUser), f.base64(headerToken); user != "" || token != "" {
		r.Credentials = bsrpc.NewCredentials(user, token)
	}
	return f.number(headerLayout, 1<<30), f.err
}

// setBody sets the layout and the body of a request.
func setBody(r *bsrpc.Request, layout int64, body []byte) error {
	if layout > int64(len(body)) {
		return fmt.Errorf("header %s: the body has %d bytes only", headerLayout, len(body))
	}
	r.Layout, r.Body = string(body[:layout]), body[layout:]
	return nil
}

// replyOf returns the message of a reply, with a body of any length.
func replyOf(r *bsrpc.Reply) *nats.Msg {
	m := newMessage(replyFront + len(r.Layout) + len(r.Body))
	m.Data = append(append(m.Data, byte(r.Status)), r.Hash[:]...)
	setMetadata(m, r.Metadata)
	switch {
	case r.Status == bsrpc.StatusDiffers:
		m.Data = append(m.Data, r.Layout...)
	case r.Err != nil:
		m.Data = bsrpc.AppendError(m.Data, r.Err)
		setHeader(m, micro.ErrorCodeHeader, strconv.Itoa(int(r.Err.Code))) // for tools of NATS
		setHeader(m, micro.ErrorHeader, oneLine(r.Err.Message))
	default:
		m.Data = append(m.Data, r.Body...)
	}
	if r.Items != nil {
		setHeader(m, headerStream, set)
	}
	return m
}

// readReply reads a reply of a complete body. stream reports whether items follow.
func readReply(h nats.Header, body []byte) (r *bsrpc.Reply, stream bool, err error) {
	if len(body) < replyFront {
		return nil, false, fmt.Errorf("a reply of %d bytes, want at least %d: status and hash", len(body), replyFront)
	}
	f := fields{header: h}
	r = &bsrpc.Reply{Status: bsrpc.Status(body[0]), Hash: bsrpc.Hash(body[1:]), Metadata: f.metadata()}
	switch body = body[replyFront:]; r.Status {
	case bsrpc.StatusOK:
		r.Body, stream = body, f.text(headerStream) != ""
	case bsrpc.StatusError:
		if r.Err, err = bsrpc.ReadError(body); err != nil {
			return nil, false, err
		}
	case bsrpc.StatusDiffers:
		r.Layout = string(body)
	default:
		return nil, false, fmt.Errorf("a reply with the unknown status %d", r.Status)
	}
	return r, stream, f.err
}

// endOf returns the message at the end of a stream.
func endOf(err error) *nats.Msg {
	var e *bsrpc.Error
	switch {
	case err == nil:
		return &nats.Msg{Header: nats.Header{headerEnd: {"ok"}}}
	case errors.As(err, &e):
		return &nats.Msg{Header: nats.Header{headerEnd: {"error"}}, Data: bsrpc.AppendError(nil, e)}
	}
	return &nats.Msg{Header: nats.Header{headerEnd: {"lost"}}, Data: []byte(err.Error())}
}

// readEnd returns the error of a stream from its last message. ended is false for a piece.
func readEnd(m *nats.Msg) (ended bool, err error) {
	switch m.Header.Get(headerEnd) {
	case "":
		return false, nil
	case "ok":
		return true, nil
	case "error":
		e, err := bsrpc.ReadError(m.Data)
		if err != nil {
			return true, err
		}
		return true, e
	}
	return true, fmt.Errorf("the server has lost the stream: %s", oneLine(string(m.Data[:min(len(m.Data), 1024)])))
}

// setMetadata sets the header of metadata.
func setMetadata(m *nats.Msg, md bsrpc.Metadata) {
	if len(md) == 0 {
		return
	}
	q := make(url.Values, len(md))
	for key, value := range md {
		q.Set(key, value)
	}
	setHeader(m, headerMetadata, q.Encode())
}

// oneLine returns text that fits into a header.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}

// fields reads headers. The first error stays.
type fields struct {
	header nats.Header
	err    error
}

func (f *fields) fail(key string, err error) {
	if f.err == nil {
		f.err = fmt.Errorf("header %s: %w", key, err)
	}
}

// text returns the value of a header, which must not occur twice.
func (f *fields) text(key string) string {
	switch values := f.header[key]; len(values) {
	case 0:
		return ""
	case 1:
		return values[0]
	}
	f.fail(key, errors.New("it occurs twice"))
	return ""
}

func (f *fields) parseHash(key, text string) (h bsrpc.Hash) {
	if n, err := hashText.Decode(h[:], []byte(text[:min(len(text), hashText.EncodedLen(len(h)))])); err != nil || n != len(h) || len(text) != hashText.EncodedLen(len(h)) {
		f.fail(key, errors.New("want a hash of 32 bytes in base64, for URLs and without padding"))
	}
	return h
}

// number returns a number from 0 to most; 0 without the header.
func (f *fields) number(key string, most int64) int64 {
	text := f.text(key)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || int64(n) > most {
		f.fail(key, fmt.Errorf("want a number from 0 to %d", most))
		return 0
	}
	return int64(n)
}

func (f *fields) base64(key string) string {
	b, err := base64.StdEncoding.DecodeString(f.text(key))
	if err != nil {
		f.fail(key, errors.New("want base64"))
	}
	return string(b)
}

func (f *fields) metadata() bsrpc.Metadata {
	text := f.text(headerMetadata)
	if text == "" {
		return nil
	}
	q, err := url.ParseQuery(text)
	if err != nil {
		f.fail(headerMetadata, errors.New("want the query of a URL"))
		return nil
	}
	md := make(bsrpc.Metadata, len(q))
	for key, values := range q {
		if len(values) > 1 {
			f.fail(headerMetadata, errors.New("a key occurs twice"))
		}
		md[key] = values[0]
	}
	return md
}
