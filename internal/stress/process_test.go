package stress

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
)

// Servers in processes of their own. Each handler writes its token to the standard output of its
// process: what a killed process has written is not lost.

// The environment variables that make TestServerProcess a server.
const (
	addressOfServer = "BSRPC_SERVER_PROCESS"
	versionOfServer = "BSRPC_SERVER_VERSION" // of the contract, see versions
)

// drainTime is the time of the calls of a server that shuts down.
const drainTime = 3 * time.Second

// say writes a line to the parent of this process, with one system call.
func say(format string, args ...any) { fmt.Printf(format+"\n", args...) }

// TestServerProcess is the server of other tests: until it is killed, or shut down by SIGTERM.
func TestServerProcess(t *testing.T) {
	address := os.Getenv(addressOfServer)
	if address == "" {
		t.Skip("only as a process of other tests")
	}
	version, _ := strconv.Atoi(os.Getenv(versionOfServer))
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: slog.New(slog.DiscardHandler), Errors: processErrors})
	if err := versions[version](srv); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	drain := make(chan os.Signal, 1)
	signal.Notify(drain, syscall.SIGTERM)
	go func() { // the parent has ended
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	go findStalls(context.Background(), func(d time.Duration) { say("stalled %d", d) })
	say("listening")
	go srv.Serve(l)
	<-drain
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		say("overdue %v", err)
		srv.Close()
	}
	say("left %d", runtime.NumGoroutine())
	os.Exit(0)
}

// findStalls calls f whenever this process has not run for a while: it was frozen, or the
// machine is busy.
func findStalls(ctx context.Context, f func(time.Duration)) {
	const tick = 100 * time.Millisecond
	for last := time.Now(); ctx.Err() == nil; {
		pause(ctx, tick)
		now := time.Now()
		if late := now.Sub(last) - tick; late > tick {
			f(late)
		}
		last = now
	}
}

// A span is a part of the time of a test.
type span struct{ from, to time.Time }

// overlaps reports whether s and o have a moment in common.
func (s span) overlaps(o span) bool { return !s.from.After(o.to) && !o.from.After(s.to) }

// A serverProcess is a running TestServerProcess.
type serverProcess struct {
	*exec.Cmd
	stdin   io.Closer
	address string
	version int
	read    chan struct{} // closed when its output has been read

	mu      sync.Mutex // guards the rest
	up      time.Time  // it listens since
	ending  time.Time  // its end began, zero before
	ended   time.Time
	drained bool   // it was shut down
	overdue string // ... and calls were left then
	left    int    // goroutines, after that
	stalls  []span // it did not run
}

// startProcess starts a server on address, notes its tokens in l, and waits until it listens.
// A version is an index of versions.
func startProcess(t *testing.T, address string, version int, l *ledger) *serverProcess {
	p := &serverProcess{Cmd: exec.Command(os.Args[0], "-test.run=^TestServerProcess$", "-test.timeout=0"), address: address, version: version, read: make(chan struct{})}
	p.Env = append(os.Environ(), addressOfServer+"="+address, versionOfServer+"="+strconv.Itoa(version))
	stdin, err := p.StdinPipe()
	var out io.Reader
	if err == nil {
		out, err = p.StdoutPipe()
	}
	if err == nil {
		err = p.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	p.stdin = stdin
	listens := make(chan struct{})
	go func() {
		defer close(p.read)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if lines.Text() == "listening" {
				close(listens)
			} else {
				p.note(lines.Text(), l)
			}
		}
	}()
	select {
	case <-listens:
	case <-p.read:
		p.Wait()
		t.Fatal("the server process has ended")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.up = time.Now()
	return p
}

// note notes a line of the process.
func (p *serverProcess) note(line string, l *ledger) {
	what, rest, _ := strings.Cut(line, " ")
	n, _ := strconv.Atoi(rest)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch what {
	case "token":
		l.begin(rest)
	case "stalled":
		p.stalls = append(p.stalls, span{time.Now().Add(-time.Duration(n)), time.Now()})
	case "overdue":
		p.overdue = rest
	case "left":
		p.left = n
	}
}

// end ends the process by f, and waits for its last output.
func (p *serverProcess) end(f func()) {
	p.mu.Lock()
	p.ending = time.Now()
	p.mu.Unlock()
	f()
	<-p.read
	p.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = time.Now()
}

// kill kills the process at once.
func (p *serverProcess) kill() { p.end(func() { p.Process.Kill() }) }

// freeAddress returns an address to listen on.
func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
