package httpbsrpc

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/layout"
)

// DialOptions are the options of Dial. The zero value, and nil, have the defaults. The options are
// copied.
type DialOptions struct {
	// Client are the options of the client. Those for connections, such as TLS, are errors.
	// Credentials travel over https, and over http with InsecureCredentials. Nil means the
	// defaults.
	Client *bsrpc.ClientOptions

	// HTTP makes the requests; certificates are in its Transport. Redirects are not followed, and its
	// Timeout limits streams too. Nil means a client with connections of its own, which
	// keeps 64 idle ones.
	HTTP *http.Client
}

// Dial returns a client of the Handler at a URL, such as "https://lab.example/rpc". It does
// not connect; bind a contract to see whether the server answers. opts may be nil.
func Dial(address string, opts *DialOptions) (*bsrpc.Client, error) {
	var own DialOptions
	if opts != nil {
		own = *opts
	}
	if own.Client == nil {
		own.Client = new(bsrpc.ClientOptions)
	}
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, errors.New("httpbsrpc: the address is not a URL")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("httpbsrpc: want a URL such as https://lab.example/rpc, with a scheme, a host, and at most a path")
	case u.Scheme == "http" && own.Client.Credentials != nil && !own.Client.InsecureCredentials:
		return nil, errors.New("httpbsrpc: others can read Credentials over http; use https, or InsecureCredentials")
	}
	request, err := http.NewRequest(http.MethodPost, strings.TrimSuffix(u.String(), "/")+"/", nil)
	if err != nil {
		return nil, errors.New("httpbsrpc: the address is not a URL")
	}
	rt := &roundTripper{request: request, limit: replyFront + layout.MaxText + uint64(cmp.Or(max(0, own.Client.MaxMessage), defaultMaxMessage))}
	if own.HTTP != nil {
		rt.http = *own.HTTP
	} else {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConns, t.MaxIdleConnsPerHost, t.DisableCompression = 64, 64, true
		rt.http.Transport, rt.own = t, true
	}
	rt.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client := bsrpc.NewClientOver(rt, own.Client)
	if err := client.Err(); err != nil {
		return nil, err
	}
	return client, nil
}

// A roundTripper carries calls to a Handler.
type roundTripper struct {
	request *http.Request // without a method of the server and what a call has; its URL ends in a slash
	http    http.Client
	own     bool   // http is not that of the user
	limit   uint64 // bytes of a body; the library compares MaxMessage itself, with a text that says so
}

// Close closes the connections, unless they are the user's.
func (t *roundTripper) Close() error {
	if t.own {
		t.http.CloseIdleConnections()
	}
	return nil
}

// Prompt implements bsrpc.PromptRoundTripper.
func (t *roundTripper) Prompt() {}

// RoundTrip implements bsrpc.RoundTripper.
func (t *roundTripper) RoundTrip(ctx context.Context, r *bsrpc.Request) (*bsrpc.Reply, error) {
	response, err := t.do(t.requestOf(ctx, r))
	if err != nil {
		var o *net.OpError
		if errors.As(err, &o) && o.Op == "dial" {
			err = notRun(err)
		}
		return nil, err
	}
	reply, err := t.reply(ctx, response)
	if err != nil || reply.Items == nil {
		response.Body.Close()
	}
	return reply, err
}

// requestOf returns the request of a call. It spares the call what http.NewRequest does with an address.
func (t *roundTripper) requestOf(ctx context.Context, r *bsrpc.Request) *http.Request {
	request, u, body := t.request.WithContext(ctx), *t.request.URL, requestBody(r)
	if name := url.PathEscape(r.Method); name != r.Method || u.RawPath != "" {
		u.RawPath = u.EscapedPath() + name
	}
	u.Path += r.Method
	request.URL, request.Header, request.ContentLength = &u, make(http.Header, 2), int64(len(body))
	request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	request.Body, _ = request.GetBody()
	setRequest(request.Header, r)
	return request
}

// do makes a request. The client's own transport needs no http.Client around it.
func (t *roundTripper) do(r *http.Request) (*http.Response, error) {
	if t.own {
		return t.http.Transport.RoundTrip(r)
	}
	return t.http.Do(r)
}

// notRun returns the error of a request that has not left.
func notRun(err error) error {
	return &bsrpc.Error{Code: bsrpc.CodeUnavailable, Outcome: bsrpc.OutcomeNotRun, Message: "bsrpc: " + err.Error(), Err: err}
}

// reply reads a response, for a stream the first frame of it.
func (t *roundTripper) reply(ctx context.Context, response *http.Response) (*bsrpc.Reply, error) {
	kind := mediaType(response.Header)
	if kind != typeBytes && kind != typeStream {
		return nil, fmt.Errorf("answer %s, which is not of a httpbsrpc.Handler; see the URL, and the proxies before it", response.Status)
	}
	md, err := readMetadata(response.Header)
	if err != nil {
		return nil, err
	}
	reply := &bsrpc.Reply{Metadata: md}
	if kind == typeStream {
		return reply, t.readStream(reply, response.Body)
	}
	body, err := readAll(response.Body, response.ContentLength, int64(t.limit))
	if err == errTooLong {
		return nil, &bsrpc.Error{Code: bsrpc.CodeResourceExhausted, Message: fmt.Sprintf("bsrpc: HTTP: answer of more than %d bytes, this end's MaxMessage", t.limit-replyFront-layout.MaxText)}
	} else if err != nil {
		return nil, noEOF(err)
	}
	if reply.Status, reply.Hash, body, err = readReply(body); err != nil {
		return nil, err
	}
	switch reply.Status {
	case bsrpc.StatusOK:
		reply.Body = body
	case bsrpc.StatusDiffers:
		reply.Layout = string(body)
	case bsrpc.StatusError:
		reply.Err, err = bsrpc.ReadError(body)
	default:
		err = fmt.Errorf("a reply with the unknown status %d", reply.Status)
	}
	return reply, err
}

// readStream reads the first frame of a stream. The others are the Items of the reply.
func (t *roundTripper) readStream(reply *bsrpc.Reply, body io.ReadCloser) error {
	frames := &frameReader{r: bufio.NewReader(body), max: t.limit}
	kind, data, err := frames.next()
	if err == nil && kind != frameResults {
		err = errors.New("stream without results at its beginning")
	}
	if err != nil {
		return err
	}
	if reply.Status, reply.Hash, data, err = readReply(data); err != nil {
		return err
	}
	reply.Body, reply.Items = bytes.Clone(data), frames.items(body)
	return nil
}

// items returns the items of a stream, whose end closes its body.
func (r *frameReader) items(body io.Closer) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		defer body.Close()
		for {
			kind, data, err := r.next()
			switch {
			case err != nil:
			case kind == frameItem:
				if yield(data, nil) {
					continue
				}
				return
			case kind == frameEnd:
				return
			case kind == frameError:
				var e *bsrpc.Error
				if e, err = bsrpc.ReadError(data); err == nil {
					err = e
				}
			default:
				err = errors.New("frame of an unknown kind in a stream")
			}
			yield(nil, err)
			return
		}
	}
}
