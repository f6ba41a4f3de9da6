package bsrpc_test

// The conversations in testdata/transcripts are replayed against a real server, byte by
// byte. Implementations in other languages can use them as tests.
//
// A transcript begins with a paragraph about its purpose. Each following line is a
// remark (#), bytes from the client (>), one frame from the server (<), the end of
// the connection as seen by the client (< closed), or another event (= shutdown,
// = wait 5s). Lines from the client behind one another are one flight: it does not read
// between them. With = authentication the server authenticates its clients. Bytes are hex in any grouping; 00*70000 is a repeated byte. Indented lines
// continue the line before.
//
// go test -run Transcripts -update writes the bytes of the current server to the files,
// and to docs/protocol.md for the transcripts shown there.

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
)

var update = flag.Bool("update", false, "rewrite the transcripts")

// transcribed is the service of the transcripts.
type transcribed struct{}

func (transcribed) Hello(name string) string       { return "hello " + name }
func (transcribed) Add2Words(a, b uint32) uint32   { return a + b }
func (transcribed) Echo(data []byte) []byte        { return data }
func (transcribed) Wait(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
func (transcribed) Keep(ctx context.Context)       { bsrpc.SessionFrom(ctx).Set("kept", true) }
func (transcribed) Trace(ctx context.Context) error {
	md := bsrpc.MetadataFrom(ctx)
	errs := []error{bsrpc.SetReplyMetadata(ctx, "node", "7")}
	for k, v := range md {
		errs = append(errs, bsrpc.SetReplyMetadata(ctx, k, v))
	}
	if md["trace"] == "" {
		errs = append(errs, errors.New("not traced"))
	}
	return errors.Join(errs...)
}
func (transcribed) Find(id uint16) (string, error) {
	return "", &bsrpc.Error{Code: bsrpc.CodeNotFound, Name: "NoSuchOrder", Message: "no such order"}
}
func (transcribed) Lines(n uint8) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if n == 0 {
			yield("", &bsrpc.Error{Code: bsrpc.CodeNotFound, Name: "NoSuchOrder", Message: "no such order"})
		}
		for range n {
			if !yield(strings.Repeat("r", 600), nil) {
				return
			}
			time.Sleep(time.Millisecond) // the bytes so far are one frame
		}
	}
}
func (transcribed) Pick(in iter.Seq2[string, error]) (string, error) {
	for line, err := range in {
		return line, err
	}
	return "", nil
}
func (transcribed) Poll(note func(string), ask func(string) (string, error)) (string, error) {
	note("hm")
	return ask("now?")
}
func (transcribed) Buy(n uint8) error {
	return fmt.Errorf("%w: %w", &tooFew{uint16(n) - 1}, fs.ErrNotExist)
}

// turnContract has a method of an exclusive group that takes some time.
type turnContract struct {
	Turn func(ctx context.Context, ms uint16) error `bsrpc:"exclusive=bench"`
}

type turns struct{}

func (turns) Turn(ctx context.Context, ms uint16) error {
	if ms == 0 {
		return nil
	}
	select {
	case <-time.After(time.Duration(ms) * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A tooFew is listed as "shop.shortage".
type tooFew struct{ Left uint16 }

func (e *tooFew) Error() string { return "too few" }

// A step is one line of a transcript, with those that go on with it.
type step struct {
	text string // as written, without the newline at its end
	mark byte   // '>', '<', '=' or '#'
	what string // the text after the mark, on one line
}

// stepsOf returns the paragraph of intent and the steps of a transcript.
func stepsOf(text string) (intent string, steps []step) {
	intent, rest, _ := strings.Cut(text, "\n\n")
	for line := range strings.Lines(rest) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "  ") && len(steps) > 0 {
			last := &steps[len(steps)-1]
			last.text += "\n" + line
			last.what += line
			continue
		}
		s := step{text: line, mark: '#'}
		if line != "" {
			s.mark, s.what = line[0], strings.TrimSpace(line[1:])
		}
		steps = append(steps, s)
	}
	return intent, steps
}

// bytesOf reads hex in any grouping.
func bytesOf(text string) ([]byte, error) {
	var all []byte
	for _, group := range strings.Fields(text) {
		digits, times, repeated := strings.Cut(group, "*")
		b, err := hex.DecodeString(digits)
		if err != nil {
			return nil, err
		}
		n := 1
		if repeated {
			if n, err = strconv.Atoi(times); err != nil {
				return nil, err
			}
		}
		all = append(all, bytes.Repeat(b, n)...)
	}
	return all, nil
}

// heads are the lengths of what a frame begins with: size, type, and on the
// native wire flags, arg and id.
var heads = map[bool][]int{false: {4, 1}, true: {4, 1, 1, 2, 8}}

// format writes a frame as bytesOf reads it: what it begins with on the first
// line, field by field, then sixteen bytes a line.
func format(frame []byte) string {
	var out strings.Builder
	native := len(frame) > 4 && frame[4] >= 0x10
	for _, n := range heads[native] {
		n = min(n, len(frame))
		fmt.Fprintf(&out, "  % x", frame[:n])
		frame = frame[n:]
	}
	for n := 0; len(frame) > 0; n++ {
		if n%16 == 0 {
			out.WriteString("\n ")
		}
		run := len(frame) - len(bytes.TrimLeft(frame, string(frame[:1])))
		if run <= 16 {
			fmt.Fprintf(&out, " %02x", frame[0])
			frame = frame[1:]
			continue
		}
		fmt.Fprintf(&out, " %02x*%d", frame[0], run)
		frame = frame[run:]
	}
	return out.String()[1:]
}

// readFrame reads one frame of either wire.
func readFrame(r io.Reader) ([]byte, error) {
	frame := make([]byte, 4)
	if _, err := io.ReadFull(r, frame); err != nil {
		return nil, err
	}
	frame = append(frame, make([]byte, binary.LittleEndian.Uint32(frame)-4)...)
	_, err := io.ReadFull(r, frame[4:])
	return frame, err
}

// A replay is one conversation with a server of its own.
type replay struct {
	t      *testing.T
	server *bsrpc.Server
	nc     net.Conn
	ended  chan error // of Shutdown

	out chan []byte // to the server, which may answer before it has read all
}

// write writes what the client sends, until out is closed.
func (r *replay) write() {
	for b := range r.out {
		if _, err := r.nc.Write(b); err != nil {
			r.t.Errorf("%x\n%v", b, err)
		}
	}
}

// do takes one step and returns it as it is to be written.
func (r *replay) do(s step) step {
	switch {
	case s.mark == '>':
		b, err := bytesOf(s.what)
		if err != nil {
			r.t.Fatalf("%s\n%v", s.text, err)
		}
		r.out <- b
	case s.text == "< closed":
		if b, err := readFrame(r.nc); err != io.EOF {
			r.t.Fatalf("want the connection's end, have <%s, %v", format(b), err)
		}
	case s.mark == '<':
		return r.expect(s)
	case s.mark == '=':
		r.happen(s.what)
	}
	return s
}

func (r *replay) expect(s step) step {
	want, err := bytesOf(s.what)
	if err != nil {
		r.t.Fatalf("%s\n%v", s.text, err)
	}
	have, err := readFrame(r.nc)
	if err != nil {
		r.t.Fatalf("want a frame, %s\nhave %v", s.text, err)
	}
	if bytes.Equal(have, want) {
		return s // grouped as it was
	}
	s.text = "<" + format(have)
	if !*update {
		r.t.Fatalf("want <%s\nhave %s", format(want), s.text)
	}
	return s
}

func (r *replay) happen(what string) {
	if what == "shutdown" {
		r.ended = make(chan error, 1)
		synctest.Wait() // the server has the frames written so far
		go func() { r.ended <- r.server.Shutdown(context.Background()) }()
		synctest.Wait()
		return
	}
	if what == "authentication" {
		return
	}
	d, err := time.ParseDuration(strings.TrimPrefix(what, "wait "))
	if err != nil {
		r.t.Fatalf("= %s: %v", what, err)
	}
	time.Sleep(d) // of the bubble
}

// end looks that nothing more has come, and ends the conversation.
func (r *replay) end() {
	synctest.Wait() // the server has all frames
	close(r.out)
	r.nc.SetReadDeadline(time.Now().Add(time.Millisecond))
	b, err := readFrame(r.nc)
	if !errors.Is(err, os.ErrDeadlineExceeded) && err != io.EOF {
		r.t.Errorf("at the end comes <%s, %v", format(b), err)
	}
	r.nc.Close()
	if r.ended != nil {
		if err := <-r.ended; err != nil {
			r.t.Errorf("shutdown: %v", err)
		}
	}
	r.server.Close()
}

// play replays a transcript and returns its text as it is to be written.
func play(t *testing.T, text string) string {
	intent, steps := stepsOf(text)
	out := intent + "\n\n"
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		r := &replay{t: t, nc: near, out: make(chan []byte, len(steps))}
		opts := &bsrpc.ServerOptions{Logger: slog.New(slog.DiscardHandler), Limits: bsrpc.Limits{PingAfter: bsrpc.NoLimit}, Errors: map[string]error{"shop.shortage": (*tooFew)(nil)}}
		if strings.Contains(text, "\n= authentication\n") {
			opts.Authenticate = func(ctx context.Context, p *bsrpc.Peer, c bsrpc.Credentials) error {
				if c.User() != "Bob" || c.Token() != "sesame" {
					return errors.New("not Bob")
				}
				return nil
			}
		}
		r.server = bsrpc.NewServer(opts)
		if err := r.server.RegisterName("Greeter", transcribed{}); err != nil {
			t.Fatal(err)
		}
		if err := bsrpc.RegisterAs[turnContract](r.server, "Bench", turns{}); err != nil {
			t.Fatal(err)
		}
		go r.server.ServeConn(far)
		go r.write()
		defer r.end()
		for _, s := range steps {
			out += r.do(s).text + "\n"
		}
	})
	return out
}

func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/transcripts/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if now := play(t, string(text)); now != string(text) {
				write(t, name, now)
			}
		})
	}
}

// shown is a transcript in a document: its name, and its steps.
var shown = regexp.MustCompile("(?s)<!-- transcript: (\\S+) -->\n\n```text\n(.*?)```\n")

// What docs/protocol.md shows of the transcripts is what is replayed.
func TestTranscriptsShown(t *testing.T) {
	const name = "docs/protocol.md"
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	now := shown.ReplaceAllStringFunc(string(text), func(block string) string {
		count++
		m := shown.FindStringSubmatch(block)
		file, err := os.ReadFile("testdata/transcripts/" + m[1])
		if err != nil {
			t.Fatal(err)
		}
		_, steps, _ := strings.Cut(string(file), "\n\n")
		if steps != m[2] && !*update {
			t.Errorf("%s shows %s otherwise than the file has it; go test -run Transcripts -update mends that", name, m[1])
		}
		return strings.TrimSuffix(block, m[2]+"```\n") + steps + "```\n"
	})
	if count == 0 {
		t.Errorf("%s shows no transcript", name)
	}
	if now != string(text) {
		write(t, name, now)
	}
}

// write rewrites a file, with -update.
func write(t *testing.T, name, text string) {
	t.Helper()
	if !*update {
		return
	}
	if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}
