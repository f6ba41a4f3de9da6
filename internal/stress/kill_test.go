package stress

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
)

// A server in a process of its own is killed, and another takes its place, while clients call
// all the time; BSRPC_KILLS=200 is the number of times. Each handler writes its token to the standard output of the server: what a
// killed process has written is not lost.

// addressOfServer is the environment variable that makes TestServerProcess a server.
const addressOfServer = "BSRPC_SERVER_PROCESS"

// A killedService writes tokens.
type killedService struct{}

func (killedService) Spend(token string) string {
	fmt.Println(token)
	return token
}

type killedContract struct {
	Spend func(ctx context.Context, token string) (string, error)
}

// TestServerProcess is the server of TestKilledServers.
func TestServerProcess(t *testing.T) {
	address := os.Getenv(addressOfServer)
	if address == "" {
		t.Skip("only as a process of TestKilledServers")
	}
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: slog.New(slog.DiscardHandler)})
	if err := srv.RegisterName("Killed", killedService{}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("listening")
	srv.Serve(l)
}

// A serverProcess is a running TestServerProcess.
type serverProcess struct {
	*exec.Cmd
	read chan struct{} // closed when its output has been read
}

// startProcess starts a server on address, notes its tokens in l, and waits until it listens.
func startProcess(t *testing.T, address string, l *ledger) *serverProcess {
	p := &serverProcess{exec.Command(os.Args[0], "-test.run=^TestServerProcess$"), make(chan struct{})}
	p.Env = append(os.Environ(), addressOfServer+"="+address)
	out, err := p.StdoutPipe()
	if err == nil {
		err = p.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	listens := make(chan struct{})
	go func() {
		defer close(p.read)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			switch line := lines.Text(); {
			case line == "listening":
				close(listens)
			case strings.HasPrefix(line, "token "):
				l.begin(line)
			}
		}
	}()
	select {
	case <-listens:
	case <-p.read:
		p.Wait()
		t.Fatal("the server process has ended")
	}
	return p
}

// kill kills the process at once, and waits for its last output.
func (p *serverProcess) kill() {
	p.Process.Kill()
	<-p.read
	p.Wait()
}

// freeAddress returns an address to listen on.
func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A spent is the end of one call.
type spent struct {
	token string
	err   error
}

// Whatever the moment of a kill, an answered call has run once, a call that was not run has
// not, and any other at most once. Every client works again with the next server.
func TestKilledServers(t *testing.T) {
	const clients = 32
	cycles := 2
	if n, err := strconv.Atoi(os.Getenv("BSRPC_KILLS")); err == nil {
		cycles = n
	}
	l := &ledger{ran: make(map[string]int), settled: make(map[string]bool)}
	address := freeAddress(t)
	server := startProcess(t, address, l)
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex // guards calls
	var calls []spent
	var running sync.WaitGroup
	var remotes []*killedContract
	for id := range clients {
		client, err := bsrpc.Dial(ctx, "tcp", address, &bsrpc.ClientOptions{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		remote, err := bsrpc.Bind[killedContract](ctx, client, "Killed")
		if err != nil {
			t.Fatal(err)
		}
		remotes = append(remotes, remote)
		running.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				token := fmt.Sprintf("token %d.%d", id, n)
				got, err := remote.Spend(ctx, token)
				if err == nil && got != token {
					t.Errorf("Spend(%q) = %q", token, got)
				}
				mu.Lock()
				calls = append(calls, spent{token, err})
				mu.Unlock()
				if err != nil {
					pause(ctx, 5*time.Millisecond) // no server at the moment
				}
			}
		})
	}
	r := rand.New(rand.NewPCG(3, 4))
	var worst time.Duration
	for range cycles {
		pause(ctx, time.Duration(20+r.IntN(200))*time.Millisecond)
		server.kill()
		pause(ctx, time.Duration(r.IntN(500))*time.Millisecond)
		server = startProcess(t, address, l)
		worst = max(worst, awaitAll(t, remotes))
	}
	cancel()
	running.Wait()
	server.kill()
	answered, notRun, unknown := settleAll(t, l, calls)
	t.Logf("%d kills; %d calls answered, %d not run, %d unknown; all %d clients were back within %v", cycles, answered, notRun, unknown, clients, worst.Round(time.Millisecond))
	if answered == 0 {
		t.Error("no call was answered")
	}
}

// awaitAll waits until every client has had an answer, and returns how long that took.
func awaitAll(t *testing.T, remotes []*killedContract) time.Duration {
	start := time.Now()
	var all sync.WaitGroup
	for id, remote := range remotes {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(bsrpc.WithWaitForReady(t.Context()), 30*time.Second)
			defer cancel()
			if _, err := remote.Spend(ctx, "back"); err != nil {
				t.Errorf("client %d does not work with the next server: %v", id, err)
			}
		})
	}
	all.Wait()
	return time.Since(start)
}

// settleAll compares what the callers know with what has run.
func settleAll(t *testing.T, l *ledger, calls []spent) (answered, notRun, unknown int) {
	for _, c := range calls {
		var e *bsrpc.Error
		switch {
		case c.err == nil:
			answered++
			l.settle(c.token, bsrpc.OutcomeAnswered)
		case !errors.As(c.err, &e), e.Code != bsrpc.CodeUnavailable && e.Code != bsrpc.CodeCanceled:
			t.Errorf("%s: %v", c.token, c.err)
		case e.Outcome == bsrpc.OutcomeNotRun:
			notRun++
			l.settle(c.token, e.Outcome)
		default:
			unknown++
		}
	}
	for _, text := range l.wrong {
		t.Error(text)
	}
	return answered, notRun, unknown
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
