package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"

	"github.com/bsrpc/bsrpc/trace"
)

// maxRecord limits the bytes that wait for a slow disk.
const maxRecord = 64 << 20

// errSlowDisk is the error of a recording whose disk is slower than the connections.
var errSlowDisk = errors.New("the disk is too slow for what is sent")

// A recorder writes pieces to a file, by a goroutine of its own. A disk that is slow or full ends
// the recording, and never the connections. A nil recorder records nothing.
type recorder struct {
	file *os.File
	most int // maxRecord; less in tests

	mu      sync.Mutex
	writer  *trace.Writer // to waiting
	waiting *bytes.Buffer
	err     error // why it has ended early
	closed  bool
	more    chan struct{}
	done    chan struct{}
}

// createRecording begins a new file: a recording has secrets, so only its owner can read it.
func createRecording(name string) (*recorder, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, usage("--record: %s exists; give a new name", name)
	}
	if err != nil {
		return nil, usage("--record: %v", err)
	}
	return newRecorder(f), nil
}

// newRecorder returns a recorder to a file, which it closes.
func newRecorder(f *os.File) *recorder {
	r := &recorder{file: f, most: maxRecord, waiting: new(bytes.Buffer), more: make(chan struct{}, 1), done: make(chan struct{})}
	r.writer = trace.NewWriter(writerOf(func(b []byte) (int, error) { return r.waiting.Write(b) }))
	go r.run()
	return r
}

// writerOf is a func as a writer.
type writerOf func(b []byte) (int, error)

func (f writerOf) Write(b []byte) (int, error) { return f(b) }

// add adds a piece. It never waits for the disk.
func (r *recorder) add(p *trace.Piece) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if r.err == nil && r.waiting.Len()+len(p.Bytes) > r.most {
		r.err = errSlowDisk
	}
	if r.err != nil {
		return
	}
	if r.err = r.writer.Write(p); r.err == nil {
		select {
		case r.more <- struct{}{}:
		default:
		}
	}
}

// run writes until close.
func (r *recorder) run() {
	defer close(r.done)
	for range r.more {
		for r.flush() {
		}
	}
}

// flush writes what waits. It reports false if nothing does.
func (r *recorder) flush() bool {
	r.mu.Lock()
	b := r.waiting.Bytes()
	r.waiting = new(bytes.Buffer)
	r.mu.Unlock()
	if len(b) == 0 {
		return false
	}
	_, err := r.file.Write(b)
	r.fail(err)
	return err == nil
}

// fail ends the recording.
func (r *recorder) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
}

// failed returns why the recording has ended early.
func (r *recorder) failed() error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		return nil
	}
	return usage("the recording ends early: %v", r.err)
}

// close writes what waits, and returns why the recording has ended early.
func (r *recorder) close() error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	r.closed = true // the library may close a connection later
	r.mu.Unlock()
	close(r.more)
	<-r.done
	r.fail(r.file.Close())
	return r.failed()
}

// conn returns nc, whose bytes are recorded as those of a connection: nc itself without a recorder.
func (r *recorder) conn(nc net.Conn, number uint32) net.Conn {
	if r == nil {
		return nc
	}
	return trace.NewConn(nc, io.Discard, &trace.Options{Record: func(p *trace.Piece) {
		p.Conn = number
		r.add(p)
	}})
}
