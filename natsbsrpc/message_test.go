package natsbsrpc

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/nats-io/nats.go"
)

// headerOf makes a header of lines, as the decoder of nats.go does: any keys and values.
func headerOf(text string) nats.Header {
	h := make(nats.Header)
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ": ")
		h[key] = append(h[key], value)
	}
	return h
}

func textOf(h nats.Header) string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(h)) {
		for _, value := range h[key] {
			b.WriteString(key + ": " + value + "\n")
		}
	}
	return b.String()
}

var fullRequest = &bsrpc.Request{
	Method: "Stock.Put", Hash: bsrpc.Hash{1, 2}, Layout: "Stock.Put() ()", Knows: []bsrpc.Hash{{3}, {4}}, Body: []byte("body"), Timeout: 3 * time.Second,
	Credentials: bsrpc.NewCredentials("ann\n", "token"), Metadata: bsrpc.Metadata{"a\r\n": "&=", "b": ""},
}

// requestIn returns the request in a message.
func requestIn(m *nats.Msg) (*bsrpc.Request, error) {
	r := new(bsrpc.Request)
	layout, err := readRequest(r, "Stock.Put", m)
	if err != nil {
		return nil, err
	}
	return r, setBody(r, layout, m.Data[requestFront:])
}

func TestRequestMessage(t *testing.T) {
	m := requestOf("x", fullRequest)
	got, err := requestIn(m)
	if err != nil {
		t.Fatal(err)
	}
	want := fullRequest
	if got.Hash != want.Hash || got.Layout != want.Layout || !slices.Equal(got.Knows, want.Knows) || !bytes.Equal(got.Body, want.Body) || got.Timeout != want.Timeout ||
		got.Credentials.User() != "ann\n" || !got.Credentials.HasToken("token") || !maps.Equal(got.Metadata, want.Metadata) {
		t.Errorf("got %+v", got)
	}
}

// FuzzRequest: a request is an error, or the same when it is written and read once more.
func FuzzRequest(f *testing.F) {
	m := requestOf("x", fullRequest)
	f.Add(textOf(m.Header), m.Data)
	f.Add(headerKnows+": "+strings.Repeat("A", 1<<20), make([]byte, requestFront))
	f.Add(headerLayout+": 9\n", append(make([]byte, requestFront-1), "\x80abc"...))
	f.Add(headerUser+": a\n"+headerUser+": b\n"+headerMetadata+": %zz;", make([]byte, requestFront-1))
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		r, err := requestIn(&nats.Msg{Header: headerOf(header), Data: body})
		if err != nil {
			return
		}
		m := requestOf("x", r)
		again, err := requestIn(m)
		if err != nil || again.Hash != r.Hash || again.Layout != r.Layout || !bytes.Equal(again.Body, r.Body) || !slices.Equal(again.Knows, r.Knows) || again.Timeout != r.Timeout || !maps.Equal(again.Metadata, r.Metadata) {
			t.Errorf("%v: got %+v, want %+v", err, again, r)
		}
	})
}

// FuzzReply: the same for replies, and for the ends of streams.
func FuzzReply(f *testing.F) {
	for _, r := range []*bsrpc.Reply{
		{Hash: bsrpc.Hash{1}, Body: []byte("body"), Metadata: bsrpc.Metadata{"a": "b"}},
		{Status: bsrpc.StatusDiffers, Layout: "Stock.Put() ()"},
		{Status: bsrpc.StatusError, Err: &bsrpc.Error{Code: bsrpc.CodeNotFound, Message: "a\r\nb"}},
	} {
		m := replyOf(r)
		f.Add(textOf(m.Header), m.Data)
	}
	f.Add(headerEnd+": error", []byte{1})
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		h := headerOf(header)
		readEnd(&nats.Msg{Header: h, Data: body})
		r, stream, err := readReply(h, body)
		if err != nil {
			return
		}
		if stream {
			r.Items = func(func([]byte, error) bool) {}
		}
		m := replyOf(r)
		again, streamAgain, err := readReply(m.Header, m.Data)
		if err != nil || streamAgain != stream || again.Status != r.Status || again.Hash != r.Hash || again.Layout != r.Layout || !bytes.Equal(again.Body, r.Body) || !maps.Equal(again.Metadata, r.Metadata) {
			t.Errorf("%v: got %+v, want %+v", err, again, r)
		}
	})
}
