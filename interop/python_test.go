package interop

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long anything may take before a test fails.
const patience = 60 * time.Second

func TestMain(m *testing.M) {
	if python := os.Getenv("BSRPC_PYTHON"); python != "" {
		const check = "import importlib.metadata as m; print(m.version('basic-socket-rpc'))"
		out, err := exec.Command(python, "-c", check).CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != "0.6.0" {
			fmt.Printf("BSRPC_PYTHON=%s has no basic-socket-rpc 0.6.0: %v\n%s", python, err, out)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// A script is a Python program that runs.
type script struct {
	t      testing.TB
	cmd    *exec.Cmd
	in     io.WriteCloser
	lines  chan string // of its output; closed at the end
	exited chan error
	stderr lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// python runs a script of the folder python, until the test ends.
func python(t testing.TB, name string, args ...string) *script {
	return pythonIn(t, "python", nil, append([]string{name}, args...)...)
}

func pythonIn(t testing.TB, dir string, env []string, args ...string) *script {
	t.Helper()
	interpreter := os.Getenv("BSRPC_PYTHON")
	if interpreter == "" {
		t.Skip("BSRPC_PYTHON is not set: see doc.go")
	}
	s := &script{t: t, lines: make(chan string, 1000), exited: make(chan error, 1)}
	s.cmd = exec.Command(interpreter, args...)
	s.cmd.Dir = dir
	s.cmd.Env = append(append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1"), env...)
	s.cmd.Stderr = &s.stderr
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		r := bufio.NewReader(out)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				close(s.lines)
				s.exited <- s.cmd.Wait()
				return
			}
			s.lines <- strings.TrimSuffix(line, "\n")
		}
	}()
	t.Cleanup(func() {
		s.in.Close()
		s.cmd.Process.Kill()
	})
	return s
}

// await reads lines of output up to one that begins so, and returns its rest.
func (s *script) await(prefix string) string {
	s.t.Helper()
	for {
		if rest, ok := strings.CutPrefix(s.line(), prefix); ok {
			return rest
		}
	}
}

// line returns the next line of output.
func (s *script) line() string {
	s.t.Helper()
	select {
	case line, ok := <-s.lines:
		if !ok {
			s.t.Fatalf("%v has ended: %v\n%s", s.cmd.Args, <-s.exited, &s.stderr)
		}
		return line
	case <-time.After(patience):
		s.t.Fatalf("%v prints nothing\n%s", s.cmd.Args, &s.stderr)
		return ""
	}
}

// wantExit waits until the script has ended, and returns what it printed.
func (s *script) wantExit() (output string) {
	s.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case line, ok := <-s.lines:
			if ok {
				output += line + "\n"
				continue
			}
			if err := <-s.exited; err != nil {
				s.t.Errorf("%v: %v\n%s%s", s.cmd.Args, err, output, &s.stderr)
			}
			return output
		case <-timeout:
			s.t.Fatalf("%v does not end\n%s%s", s.cmd.Args, output, &s.stderr)
		}
	}
}

// A driver is a client of the package that does as it is told.
type driver struct{ *script }

func drive(t testing.TB, addr string, more ...string) driver {
	t.Helper()
	host, port, _ := strings.Cut(addr, ":")
	return driver{python(t, "drive.py", append([]string{host, port}, more...)...)}
}

// connected is a driver that has a session.
func connected(t testing.TB, addr string) driver {
	t.Helper()
	d := drive(t, addr)
	d.want(nil, "connect")
	return d
}

// A reply is what a driver answers an order.
type reply struct {
	Value  any
	Raised []string // name and text
}

// order sends an order, whose reply is read later.
func (d driver) order(name string, args ...any) {
	d.t.Helper()
	line, err := json.Marshal(append([]any{name}, args...))
	if err != nil {
		d.t.Fatal(err)
	}
	if _, err := d.in.Write(append(line, '\n')); err != nil {
		d.t.Fatalf("%s: %v\n%s", name, err, &d.stderr)
	}
}

func (d driver) reply() (r reply) {
	d.t.Helper()
	line := d.line()
	for line == "polled" {
		line = d.line()
	}
	dec := json.NewDecoder(strings.NewReader(line))
	dec.UseNumber()
	if err := dec.Decode(&r); err != nil {
		d.t.Fatalf("%s: %v", line, err)
	}
	return r
}

func (d driver) ask(name string, args ...any) reply {
	d.t.Helper()
	d.order(name, args...)
	return d.reply()
}

// want gives an order and checks its value.
func (d driver) want(value any, name string, args ...any) {
	d.t.Helper()
	d.order(name, args...)
	d.wantReply(value)
}

// wantReply checks the value of an order that has been given.
func (d driver) wantReply(value any) {
	d.t.Helper()
	r := d.reply()
	if got, want := canonical(r.Value), canonical(value); got != want || r.Raised != nil {
		d.t.Errorf("got %.200s, raised %q; want %.200s", got, r.Raised, want)
	}
}

// wantRaised gives an order and checks what it raises: the name, and a text
// that the exception's contains.
func (d driver) wantRaised(exception, text, name string, args ...any) {
	d.t.Helper()
	r := d.ask(name, args...)
	if len(r.Raised) != 2 || r.Raised[0] != exception || !strings.Contains(r.Raised[1], text) {
		d.t.Errorf("%s%v: got %v, raised %q; want %s %q", name, args, r.Value, r.Raised, exception, text)
	}
}

func canonical(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// hexBytes is how bytes travel to a driver and back.
func hexBytes(b []byte) map[string]string { return map[string]string{"hex": hex.EncodeToString(b)} }
