package bsrpc_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc/internal/rounds"
)

// After the last test no goroutine of the library may be left.
func TestMain(m *testing.M) {
	rounds.LetGarbageWait()
	code := m.Run()
	late := time.Now().Add(leakGrace)
	left := goroutines()
	for ; left != "" && time.Now().Before(late); left = goroutines() {
		time.Sleep(time.Millisecond)
	}
	if left != "" && code == 0 {
		fmt.Fprintf(os.Stderr, "after all tests these goroutines are left:\n\n%s\n", left)
		code = 1
	}
	os.Exit(code)
}

// leakGrace is the time that goroutines have to end after the last test.
const leakGrace = 2 * time.Second

// goroutines returns the stacks of goroutines with funcs of this module, other than the caller's.
func goroutines() string {
	all := make([]byte, 8<<20)
	all = all[:runtime.Stack(all, true)]
	_, others, _ := strings.Cut(string(all), "\n\n")
	var left []string
	for stack := range strings.SplitSeq(others, "\n\n") {
		if strings.Contains(stack, "github.com/bsrpc/bsrpc") {
			left = append(left, stack)
		}
	}
	return strings.Join(left, "\n\n")
}
