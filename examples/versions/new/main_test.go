//go:build bsrpc_long

// Linking it takes longer than the test, so it runs in CI.

package main

import (
	"bytes"
	"context"
	"log"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// The release alone: .ci/run has both releases in two processes.
func TestOneRelease(t *testing.T) {
	var out bytes.Buffer
	srv := bsrpc.NewServer(nil)
	if err := bsrpc.RegisterAs[Station](srv, "Station", service{log.New(&out, "", 0)}); err != nil {
		t.Fatal(err)
	}
	client, err := bsrpctest.Dial(t, srv, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := use(t.Context(), log.New(&out, "", 0), client); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"report {Degrees:19 Place:roof Note:sunny}", "found: [{Degrees:20.5 Place:roof Note:cloudy}]", "watch: {", "asked: {Wait:60 Text:ice}", "off by 0.5, and 0.1 more a day <nil>", "count: 10 <nil>"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("printed\n%s\nwithout %q", &out, want)
		}
	}
}

func TestUsage(t *testing.T) {
	if err := run(context.Background(), nil, "clint", ""); err == nil || !strings.Contains(err.Error(), `"clint"`) {
		t.Errorf("unknown command: %v", err)
	}
}

// The contract works with the first release, of which only clients are in use.
func TestContract(t *testing.T) { bsrpctest.Golden(t, "testdata/station.contract", Station{}) }
