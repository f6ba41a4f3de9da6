package httpbsrpc

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/layout"
)

// What a request and a reply have beside their bodies, in both directions.

// The types of bodies.
const (
	typeJSON   = "application/json"
	typeBytes  = "application/bsrpc"
	typeStream = "application/bsrpc-stream" // frames, see stream.go
	typeEvents = "text/event-stream"
)

// The headers, in canonical form.
const (
	headerKnows    = "Bsrpc-Knows"
	headerLayout   = "Bsrpc-Layout"  // the length of the layout before the arguments
	headerTimeout  = "Bsrpc-Timeout" // of a call with JSON
	headerMetadata = "Bsrpc-Metadata"
)

// valueBytes is the value of Content-Type. It is shared, and must not be changed.
var valueBytes = []string{typeBytes}

// What each request and each reply in bytes has stands before its body, because a header costs
// some microseconds at each end.
const (
	requestFront = 32 + 8 // the hash, and the time left in microseconds, little-endian; 0 for no limit
	replyFront   = 1 + 32 // the status, and the hash
)

// maxTimeout is the longest time.Duration in microseconds.
const maxTimeout = math.MaxInt64 / uint64(time.Microsecond)

// requestBody returns the body for a request.
func requestBody(r *bsrpc.Request) []byte {
	var left uint64
	if r.Timeout > 0 {
		left = uint64(max(1, r.Timeout.Microseconds()))
	}
	b := make([]byte, 0, requestFront+len(r.Layout)+len(r.Body))
	b = binary.LittleEndian.AppendUint64(append(b, r.Hash[:]...), left)
	return append(append(b, r.Layout...), r.Body...)
}

// readBody sets what the body of a request has. texts is the length of the layout in it.
func readBody(r *bsrpc.Request, body []byte, texts int) error {
	if len(body) < requestFront {
		return fmt.Errorf("a body of %d bytes, want at least %d: the hash of a layout and a timeout", len(body), requestFront)
	}
	left := binary.LittleEndian.Uint64(body[32:])
	if left > maxTimeout {
		return fmt.Errorf("timeout of %d microseconds, want at most %d", left, maxTimeout)
	}
	r.Hash, r.Timeout = bsrpc.Hash(body), time.Duration(left)*time.Microsecond
	if body = body[requestFront:]; texts > min(len(body), layout.MaxText) {
		return fmt.Errorf("%s: %d bytes are more than the body, or than a layout may have", headerLayout, texts)
	}
	r.Layout, r.Body = string(body[:texts]), body[texts:]
	return nil
}

// replyBody returns a body for a reply.
func replyBody(status bsrpc.Status, hash *bsrpc.Hash, rest []byte) []byte {
	b := append(make([]byte, 0, replyFront+len(rest)), byte(status))
	return append(append(b, hash[:]...), rest...)
}

// readReply reads a body for a reply.
func readReply(body []byte) (status bsrpc.Status, hash bsrpc.Hash, rest []byte, err error) {
	if len(body) < replyFront {
		return 0, hash, nil, fmt.Errorf("a reply of %d bytes, want at least %d: status and hash", len(body), replyFront)
	}
	return bsrpc.Status(body[0]), bsrpc.Hash(body[1:]), body[replyFront:], nil
}

// setRequest sets the headers for a request.
func setRequest(h http.Header, r *bsrpc.Request) {
	h["Content-Type"] = valueBytes
	if len(r.Knows) > 0 {
		var texts []string
		for _, k := range r.Knows {
			texts = append(texts, hex.EncodeToString(k[:]))
		}
		h.Set(headerKnows, strings.Join(texts, ","))
	}
	if r.Layout != "" {
		h.Set(headerLayout, strconv.Itoa(len(r.Layout)))
	}
	setMetadata(h, r.Metadata)
	switch c := r.Credentials; {
	case c.User() != "":
		(&http.Request{Header: h}).SetBasicAuth(c.User(), c.Token())
	case c.Token() != "":
		h.Set("Authorization", "Bearer "+c.Token())
	}
}

// readRequest reads the headers of a request into r. texts is the length of the layout before the
// arguments.
func readRequest(r *bsrpc.Request, h http.Header) (texts int, err error) {
	r.Credentials = readCredentials(h)
	for text := range entries(h, headerKnows) {
		known, err := readHash(text)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", headerKnows, err)
		}
		r.Knows = append(r.Knows, known)
	}
	if text := h.Get(headerLayout); text != "" {
		if texts, err = strconv.Atoi(text); err != nil || texts < 0 {
			return 0, errors.New(headerLayout + ": want a number of bytes")
		}
	}
	if text := h.Get(headerTimeout); text != "" {
		if r.Timeout, err = time.ParseDuration(text); err != nil || r.Timeout <= 0 {
			return 0, errors.New(headerTimeout + ": want a duration above zero, such as 1.5s")
		}
	}
	r.Metadata, err = readMetadata(h)
	return texts, err
}

// readCredentials returns the credentials in Authorization.
func readCredentials(h http.Header) bsrpc.Credentials {
	text := h.Get("Authorization")
	if text == "" {
		return bsrpc.Credentials{}
	}
	if scheme, token, _ := strings.Cut(text, " "); strings.EqualFold(scheme, "Bearer") {
		return bsrpc.NewCredentials("", strings.TrimSpace(token))
	}
	user, password, _ := (&http.Request{Header: h}).BasicAuth()
	return bsrpc.NewCredentials(user, password)
}

// readHash reads a hash.
func readHash(text string) (hash bsrpc.Hash, err error) {
	if len(text) != hex.EncodedLen(len(hash)) {
		return hash, errors.New("want 64 hexadecimal digits")
	}
	_, err = hex.Decode(hash[:], []byte(text))
	return hash, err
}

// setMetadata sets the header for metadata. Values are escaped, commas among them.
func setMetadata(h http.Header, md bsrpc.Metadata) {
	if len(md) == 0 {
		return
	}
	var list []string
	for key, value := range md {
		list = append(list, key+"="+url.PathEscape(value))
	}
	slices.Sort(list)
	h.Set(headerMetadata, strings.Join(list, ", "))
}

// readMetadata reads the metadata of a request or a reply. Errors have no values.
func readMetadata(h http.Header) (bsrpc.Metadata, error) {
	var md bsrpc.Metadata
	for entry := range entries(h, headerMetadata) {
		key, value, ok := strings.Cut(entry, "=")
		value, err := url.PathUnescape(value)
		if _, twice := md[key]; !ok || err != nil || twice {
			return nil, errors.New(headerMetadata + ": want entries key=value with different keys, and values escaped as in a URL")
		}
		if md == nil {
			md = bsrpc.Metadata{}
		}
		md[key] = value
	}
	return md, nil
}

// entries yields the entries of a header with a list: between commas, and of several lines.
func entries(h http.Header, name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for _, line := range h.Values(name) {
			for entry := range strings.SplitSeq(line, ",") {
				if entry = strings.TrimSpace(entry); entry != "" && !yield(entry) {
					return
				}
			}
		}
	}
}
