package interop

// How the tests talk to programs in Python.

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// A console is a program of python/ that is driven line by line; see console.py.
type console struct {
	t       *testing.T
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers chan string // one for each line that is sent
	news    chan string // what the program announces
	ended   chan error  // how it has ended

	mu     sync.Mutex // guards the rest
	asked  []string
	stderr bytes.Buffer
}

// Write adds to the program's standard error.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stderr.Write(p)
}

// start runs a program of python/ until the test ends, or its input.
func start(t *testing.T, program string, args ...string) *console {
	t.Helper()
	c := &console{t: t, answers: make(chan string, 100), news: make(chan string, 1000), ended: make(chan error, 1)}
	c.cmd = command(program, args...)
	c.cmd.Stderr = c
	in, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.in = in
	go c.listen(out)
	t.Cleanup(func() { c.cmd.Process.Kill() })
	return c
}

// listen sorts the lines that the program writes. Some are the package's own.
func (c *console) listen(out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		switch line := lines.Text(); {
		case strings.HasPrefix(line, "* "):
			select {
			case c.news <- line[2:]:
			default: // so many are of no interest
			}
		case strings.HasPrefix(line, "= "):
			c.answers <- line[2:]
		case strings.HasPrefix(line, "! "):
			c.answers <- line
		}
	}
	close(c.answers)
	c.ended <- c.cmd.Wait()
}

// send lets the program evaluate an expression.
func (c *console) send(expression string) {
	c.t.Helper()
	c.mu.Lock()
	c.asked = append(c.asked, expression)
	c.mu.Unlock()
	if _, err := io.WriteString(c.in, expression+"\n"); err != nil {
		c.fatalf("sending %q: %v", expression, err)
	}
}

// answer returns the answer to the first expression that has none: the value,
// or "! " and the exception.
func (c *console) answer() string {
	c.t.Helper()
	return receive(c, "answer", c.answers)
}

func (c *console) ask(expression string) string {
	c.t.Helper()
	c.send(expression)
	return c.answer()
}

// want checks the answer to an expression.
func (c *console) want(expression, want string) {
	c.t.Helper()
	if got := c.ask(expression); got != want {
		c.errorf("%s\n got %s\nwant %s", expression, clip(got), clip(want))
	}
}

// wantAnswer checks the answer to what has been sent.
func (c *console) wantAnswer(want string) {
	c.t.Helper()
	if got := c.answer(); got != want {
		c.errorf("got %s, want %s", clip(got), clip(want))
	}
}

// wantFailure checks that what has been sent raises an exception of the type,
// or any if that is "".
func (c *console) wantFailure(exception string) {
	c.t.Helper()
	if got := c.answer(); !strings.HasPrefix(got, "! "+exception) {
		c.errorf("got %s, want an exception, %s", clip(got), exception)
	}
}

// await waits until the program announces something and returns what follows
// its first word.
func (c *console) await(word string) string {
	c.t.Helper()
	for {
		first, rest, _ := strings.Cut(receive(c, "announcement of "+word, c.news), " ")
		if first == word {
			return rest
		}
	}
}

// stop ends the program's input, and checks that it then ends well.
func (c *console) stop() {
	c.t.Helper()
	c.in.Close()
	if err := receive(c, "end", c.ended); err != nil {
		c.errorf("the program ended by %v", err)
	}
}

// kill ends the program by SIGKILL.
func (c *console) kill() {
	c.t.Helper()
	c.cmd.Process.Kill()
	receive(c, "end", c.ended)
}

// receive takes something from the program, which must come in time.
func receive[T any](c *console, what string, from <-chan T) (v T) {
	c.t.Helper()
	ok := false
	select {
	case v, ok = <-from:
	case <-time.After(patience):
	}
	if !ok {
		c.fatalf("no %s of the program", what)
	}
	return v
}

func (c *console) errorf(format string, args ...any) {
	c.t.Helper()
	c.t.Errorf(format+"%s", append(args, c.story())...)
}

func (c *console) fatalf(format string, args ...any) {
	c.t.Helper()
	c.t.Fatalf(format+"%s", append(args, c.story())...)
}

// story is what may explain a failure.
func (c *console) story() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	asked := c.asked[max(0, len(c.asked)-5):]
	return fmt.Sprintf("\n%s\nwas last asked\n\t%s\nand its stderr is\n%s", c.cmd, clip(strings.Join(asked, "\n\t")), tail(c.stderr.String()))
}
