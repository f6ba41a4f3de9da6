package httpbsrpc

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bsrpc/bsrpc"
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
	headerHash     = "Bsrpc-Hash"
	headerKnows    = "Bsrpc-Knows"
	headerLayout   = "Bsrpc-Layout" // the length of the layout before the arguments
	headerTimeout  = "Bsrpc-Timeout"
	headerMetadata = "Bsrpc-Metadata"
	headerStatus   = "Bsrpc-Status" // of a reply in bytes, the text of a bsrpc.Status
)

// setRequest sets the headers for a request.
func setRequest(h http.Header, r *bsrpc.Request) {
	h.Set("Content-Type", typeBytes)
	h.Set(headerHash, hex.EncodeToString(r.Hash[:]))
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
	if r.Timeout != 0 {
		h.Set(headerTimeout, r.Timeout.String())
	}
	setMetadata(h, r.Metadata)
	switch c := r.Credentials; {
	case c.User() != "":
		(&http.Request{Header: h}).SetBasicAuth(c.User(), c.Token())
	case c.Token() != "":
		h.Set("Authorization", "Bearer "+c.Token())
	}
}

// readRequest reads the headers of a request. layout is the length of the layout before the
// arguments.
func readRequest(h http.Header) (r *bsrpc.Request, layout int, err error) {
	r = &bsrpc.Request{Credentials: readCredentials(h)}
	if text := h.Get(headerHash); text != "" {
		if r.Hash, err = readHash(text); err != nil {
			return nil, 0, fmt.Errorf("%s: %w", headerHash, err)
		}
	}
	for text := range entries(h, headerKnows) {
		known, err := readHash(text)
		if err != nil {
			return nil, 0, fmt.Errorf("%s: %w", headerKnows, err)
		}
		r.Knows = append(r.Knows, known)
	}
	if text := h.Get(headerLayout); text != "" {
		if layout, err = strconv.Atoi(text); err != nil || layout < 0 {
			return nil, 0, errors.New(headerLayout + ": want a number of bytes")
		}
	}
	if text := h.Get(headerTimeout); text != "" {
		if r.Timeout, err = time.ParseDuration(text); err != nil || r.Timeout <= 0 {
			return nil, 0, errors.New(headerTimeout + ": want a duration above zero, such as 1.5s")
		}
	}
	r.Metadata, err = readMetadata(h)
	return r, layout, err
}

// readCredentials returns the credentials in Authorization.
func readCredentials(h http.Header) bsrpc.Credentials {
	text := h.Get("Authorization")
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
