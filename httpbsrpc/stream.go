package httpbsrpc

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/layout"
)

// A partWriter has the forms of the parts of an answer with a stream. The slices are valid until the next
// call.
type partWriter interface {
	results(body []byte) []byte
	item(data []byte) ([]byte, error)
	end(err *bsrpc.Error) []byte // nil for the end without an error
}

// stream sends an answer with a stream, at the speed of the client. The call ends with
// the request, if that is earlier.
func (x *exchange) stream(reply *bsrpc.Reply, parts partWriter) {
	if !x.send(parts.results(reply.Body)) {
		return
	}
	var failed *bsrpc.Error
	for item, err := range reply.Items {
		var part []byte
		if err == nil {
			part, err = parts.item(item)
		}
		if err != nil {
			if !errors.As(err, &failed) {
				failed = &bsrpc.Error{Code: bsrpc.CodeInternal, Outcome: bsrpc.OutcomeAnswered, Message: "bsrpc: item of a stream: " + err.Error()}
			}
			break
		}
		if !x.send(part) {
			return
		}
	}
	x.send(parts.end(failed))
}

// send writes a part of an answer, and reports whether it has left.
func (x *exchange) send(part []byte) bool {
	return x.write(part) == nil && x.out.Flush() == nil
}

// write writes to the client, which has to take it within FrameTimeout.
func (x *exchange) write(b []byte) error {
	x.out.SetWriteDeadline(time.Now().Add(x.FrameTimeout)) // some connections have no deadlines
	_, err := x.w.Write(b)
	return err
}

// An eventWriter writes server-sent events for callers with JSON, whose text has no line breaks.
type eventWriter struct {
	stream *layout.Type
	list   []byte // the results beside the stream
	buf    []byte
}

func (w *eventWriter) results([]byte) []byte {
	if string(w.list) == "[]" {
		return nil
	}
	return append(append([]byte("event: results\ndata: "), w.list...), "\n\n"...)
}

func (w *eventWriter) item(data []byte) (_ []byte, err error) {
	w.buf = append(w.buf[:0], "data: "...)
	if w.stream.Kind == layout.Reader {
		w.buf = append(base64.StdEncoding.AppendEncode(append(w.buf, '"'), data), '"')
	} else if w.buf, err = layout.AppendJSON(w.buf, w.stream.Elem, data); err != nil {
		return nil, err
	}
	w.buf = append(w.buf, "\n\n"...)
	return w.buf, nil
}

func (w *eventWriter) end(err *bsrpc.Error) []byte {
	if err != nil {
		return append(appendErrorJSON([]byte("event: error\ndata: "), err), "\n\n"...)
	}
	return []byte("event: end\ndata: null\n\n")
}

// A frame of a stream in bytes is its kind, the length of its content as a uvarint, and the content.
const (
	frameResults = 'r' // the first frame: the results beside the stream
	frameItem    = 'i'
	frameEnd     = 'e' // the last frame
	frameError   = 'x' // the last frame: an error from AppendError
)

// A frameWriter writes frames for bsrpc clients.
type frameWriter struct{ buf []byte }

func (w *frameWriter) frame(kind byte, data []byte) []byte {
	w.buf = binary.AppendUvarint(append(w.buf[:0], kind), uint64(len(data)))
	w.buf = append(w.buf, data...)
	return w.buf
}

func (w *frameWriter) results(body []byte) []byte       { return w.frame(frameResults, body) }
func (w *frameWriter) item(data []byte) ([]byte, error) { return w.frame(frameItem, data), nil }

func (w *frameWriter) end(err *bsrpc.Error) []byte {
	if err != nil {
		return w.frame(frameError, bsrpc.AppendError(nil, err))
	}
	return w.frame(frameEnd, nil)
}

// A frameReader reads frames at a client.
type frameReader struct {
	r   *bufio.Reader
	max uint64 // bytes of the content of a frame
	buf bytes.Buffer
}

// next reads a frame. The content is valid until the next one. An early end is
// io.ErrUnexpectedEOF.
func (r *frameReader) next() (kind byte, data []byte, err error) {
	if kind, err = r.r.ReadByte(); err != nil {
		return 0, nil, noEOF(err)
	}
	n, err := binary.ReadUvarint(r.r)
	if err != nil {
		return 0, nil, noEOF(err)
	}
	if n > r.max {
		return 0, nil, fmt.Errorf("part of a stream of %d bytes, of at most %d", n, r.max)
	}
	r.buf.Reset()
	if _, err := io.CopyN(&r.buf, r.r, int64(n)); err != nil {
		return 0, nil, noEOF(err)
	}
	return kind, r.buf.Bytes(), nil
}

// noEOF returns err, for which the end was too early.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
