package natsbsrpc

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// The messages of PROTOCOL.md, both directions side by side. All values in headers are text
// without line ends.

// The headers of requests and replies.
const (
	headerHash     = "Bsrpc-Hash"     // 32 bytes in base64
	headerKnows    = "Bsrpc-Knows"    // hashes with commas between
	headerLayout   = "Bsrpc-Layout"   // bytes of a layout in front of the arguments
	headerTimeout  = "Bsrpc-Timeout"  // microseconds
	headerUser     = "Bsrpc-User"     // in base64
	headerToken    = "Bsrpc-Token"    // in base64
	headerMetadata = "Bsrpc-Metadata" // as the query of a URL
	headerStatus   = "Bsrpc-Status"   // of a reply: ok, error, differs
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
)

const (
	set       = "1" // the value of a header that is only there or not
	maxHashes = 64  // in headerKnows
)

// hashes are written without padding: 43 bytes.
var hashText = base64.RawURLEncoding.Strict()

// requestOf returns the message of a request, with a body of any length, for a subject.
func requestOf(subject string, r *bsrpc.Request) *nats.Msg {
	h := nats.Header{headerHash: {hashText.EncodeToString(r.Hash[:])}}
	m := &nats.Msg{Subject: subject, Header: h, Data: r.Body}
	if len(r.Knows) > 0 {
		var list []string
		for _, k := range r.Knows[:min(len(r.Knows), maxHashes)] {
			list = append(list, hashText.EncodeToString(k[:]))
		}
		h[headerKnows] = []string{strings.Join(list, ",")}
	}
	if r.Layout != "" {
		h[headerLayout] = []string{strconv.Itoa(len(r.Layout))}
		m.Data = append([]byte(r.Layout), r.Body...)
	}
	if r.Timeout > 0 {
		h[headerTimeout] = []string{strconv.FormatInt(max(1, r.Timeout.Microseconds()), 10)}
	}
	if user := r.Credentials.User(); user != "" {
		h[headerUser] = []string{base64.StdEncoding.EncodeToString([]byte(user))}
	}
	if token := r.Credentials.Token(); token != "" {
		h[headerToken] = []string{base64.StdEncoding.EncodeToString([]byte(token))}
	}
	setMetadata(h, r.Metadata)
	return m
}

// readRequest reads the headers of a request. The body, complete, goes to setBody.
func readRequest(method string, h nats.Header) (r *bsrpc.Request, setBody func([]byte) error, err error) {
	f := fields{header: h}
	r = &bsrpc.Request{Method: method, Hash: f.hash(headerHash), Metadata: f.metadata()}
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
	r.Timeout = time.Duration(f.number(headerTimeout, int64(1<<63-1)/1000)) * time.Microsecond
	if user, token := f.base64(headerUser), f.base64(headerToken); user != "" || token != "" {
		r.Credentials = bsrpc.NewCredentials(user, token)
	}
	layout := f.number(headerLayout, 1<<30)
	return r, func(body []byte) error {
		if layout > int64(len(body)) {
			return fmt.Errorf("header %s: the body has %d bytes only", headerLayout, len(body))
		}
		r.Layout, r.Body = string(body[:layout]), body[layout:]
		return nil
	}, f.err
}

// replyOf returns the message of a reply, with a body of any length.
func replyOf(r *bsrpc.Reply) *nats.Msg {
	h := nats.Header{headerStatus: {r.Status.String()}}
	m := &nats.Msg{Header: h, Data: r.Body}
	if r.Hash != (bsrpc.Hash{}) {
		h[headerHash] = []string{hashText.EncodeToString(r.Hash[:])}
	}
	setMetadata(h, r.Metadata)
	switch {
	case r.Status == bsrpc.StatusDiffers:
		m.Data = []byte(r.Layout)
	case r.Err != nil:
		m.Data = bsrpc.AppendError(nil, r.Err)
		h[micro.ErrorCodeHeader] = []string{strconv.Itoa(int(r.Err.Code))} // for tools of NATS
		h[micro.ErrorHeader] = []string{oneLine(r.Err.Message)}
	case r.Items != nil:
		h[headerStream] = []string{set}
	}
	return m
}

// readReply reads a reply. stream reports whether items follow.
func readReply(h nats.Header, body []byte) (r *bsrpc.Reply, stream bool, err error) {
	f := fields{header: h}
	r = &bsrpc.Reply{Metadata: f.metadata()}
	if h.Get(headerHash) != "" {
		r.Hash = f.hash(headerHash)
	}
	switch status := f.text(headerStatus); status {
	case bsrpc.StatusOK.String():
		r.Body, stream = body, f.text(headerStream) != ""
	case bsrpc.StatusError.String():
		r.Status = bsrpc.StatusError
		if r.Err, err = bsrpc.ReadError(body); err != nil {
			return nil, false, err
		}
	case bsrpc.StatusDiffers.String():
		r.Status, r.Layout = bsrpc.StatusDiffers, string(body)
	default:
		f.fail(headerStatus, errors.New("neither ok, error nor differs"))
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
func setMetadata(h nats.Header, md bsrpc.Metadata) {
	if len(md) == 0 {
		return
	}
	q := make(url.Values, len(md))
	for key, value := range md {
		q.Set(key, value)
	}
	h[headerMetadata] = []string{q.Encode()}
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

func (f *fields) hash(key string) bsrpc.Hash { return f.parseHash(key, f.text(key)) }

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
