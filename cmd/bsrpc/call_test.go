package main

import (
	"io"
	"os"
	"strings"
	"testing"
)

// A handler that needs no more of a stream ends the call, although standard input goes on.
func TestUnfinishedInput(t *testing.T) {
	address := serve(t, newDesk(t, nil))
	in, w := io.Pipe()
	defer w.Close()
	go io.WriteString(w, "7\n")
	var out, failed strings.Builder
	if exit := run(t.Context(), []string{"call", address, "Desk.First", "@-"}, in, &out, &failed); exit != 0 || out.String() != "\"7\"\n" {
		t.Errorf("exit %d, %q, %q", exit, out.String(), failed.String())
	}
}

// What is not a terminal gets the bytes of a reader.
func TestNoTerminal(t *testing.T) {
	address := serve(t, newDesk(t, nil))
	for _, name := range []string{os.DevNull, t.TempDir() + "/out"} {
		f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var failed strings.Builder
		if exit := run(t.Context(), []string{"call", address, "Desk.Copy", "@-"}, strings.NewReader("abc"), f, &failed); exit != 0 {
			t.Errorf("to %s: exit %d, %q", name, exit, failed.String())
		}
	}
}

// The bytes of a reader are alone on standard output.
func TestCallReaderBeside(t *testing.T) {
	address := serve(t, newGate(t))
	exit, out, failed := bsrpcCommand(t, "abc", "call", address, "Gate.Look", "@-")
	if exit != 0 || out != "abc" || failed != "\"3\"\n" {
		t.Errorf("exit %d, %q, %q", exit, out, failed)
	}
	exit, out, failed = bsrpcCommand(t, "abc", "call", address, "Gate.Look", "@-", "--json")
	if exit != 0 || out != `{"result":1,"value":"3"}`+"\n"+`{"bytes":"YWJj","result":2}`+"\n" || failed != "" {
		t.Errorf("exit %d, %q, %q", exit, out, failed)
	}
}
