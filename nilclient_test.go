package bsrpc_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

const nilClient = "bsrpc: nil or zero Client; use Dial or NewClient, and check the error"

// All methods of a nil Client, as returned by a failed Dial, and of a zero one return
// an error, as does Bind.
func TestNilClient(t *testing.T) {
	for name, c := range map[string]*bsrpc.Client{"nil": nil, "zero": new(bsrpc.Client)} {
		proxy, err := bsrpc.Bind[Greeter](t.Context(), c, "Greeter")
		wantMissing(t, name+", Bind", err, nilClient)
		wantMissing(t, name+", Call", c.Call(t.Context(), "Greeter.Hello", []any{"Bob"}, new(string)), nilClient)
		wantMissing(t, name+", Err", c.Err(), nilClient)
		if err := c.Close(); err != nil || proxy != nil {
			t.Errorf("%s: Close gives %v, Bind %v", name, err, proxy)
		}
		<-c.Done()
	}
	_, err := bsrpc.Bind[Greeter](t.Context(), nil, "Greeter")
	wantMissing(t, "a nil Caller", err, nilClient)
	_, err = bsrpc.Bind[Greeter](t.Context(), nil, "my service")
	checkText(t, "a nil Caller and a wrong name", err, refused(`bind "my service"`, identifiers))
	_, err = bsrpc.NewClient(t.Context(), nil, nil)
	wantMissing(t, "a nil connection", err, "bsrpc: new client: nil connection")
}

// wantMissing checks the error for a programming mistake.
func wantMissing(t *testing.T, what string, err error, want string) {
	t.Helper()
	checkText(t, what, err, want)
	if e := new(bsrpc.Error); !errors.As(err, &e) || e.Outcome != bsrpc.OutcomeNotRun {
		t.Errorf("%s: %#v", what, err)
	}
}

// A nil context is an error of every func with a context, and nothing is sent.
func TestNilContext(t *testing.T) {
	srv := newLab(t)
	client, err := bsrpctest.Dial(t, srv, nil)
	if err != nil {
		t.Fatal(err)
	}
	const use = ": nil context; use context.Background()"
	var none context.Context
	_, err = bsrpc.Dial(none, "tcp", "127.0.0.1:1", nil)
	wantMissing(t, "Dial", err, "bsrpc: dial"+use)
	near, far := net.Pipe()
	defer far.Close()
	_, err = bsrpc.NewClient(none, near, nil)
	wantMissing(t, "NewClient", err, "bsrpc: new client"+use)
	_, err = bsrpc.Bind[labContract](none, client, "Lab")
	wantMissing(t, "Bind", err, "bsrpc: bind Lab"+use)
	wantMissing(t, "Call", client.Call(none, "Lab.Empty", nil), "bsrpc: call Lab.Empty"+use)
	proxy, err := bsrpc.Bind[labContract](t.Context(), client, "Lab")
	if err != nil {
		t.Fatal(err)
	}
	_, err = proxy.Add(none, 1, 2)
	wantMissing(t, "a proxy", err, "bsrpc: Lab.Add"+use)
	reflected := bsrpctest.Bind[Scope](t, scopeServer(t, newScope()), "Scope")
	_, _, err = reflected.Pair(none, [2]int32{})
	wantMissing(t, "a proxy by reflection", err, "bsrpc: Scope.Pair"+use)
	if r := srv.Handle(none, &bsrpc.Request{Method: "Lab.Empty"}); r.Err == nil || r.Err.Outcome != bsrpc.OutcomeNotRun || !strings.Contains(r.Err.Message, "nil context") {
		t.Errorf("Handle: %v", r.Err)
	}
}

// Funcs that return a context, and Shutdown, panic with a text that names them. A nil context is not
// a handler's.
func TestNilContextWithoutAnError(t *testing.T) {
	var none context.Context
	for name, f := range map[string]func(){
		"WithMetadata":      func() { bsrpc.WithMetadata(none, nil) },
		"WithReplyMetadata": func() { bsrpc.WithReplyMetadata(none) },
		"WithPosition":      func() { bsrpc.WithPosition(none, nil) },
		"WithWaitForReady":  func() { bsrpc.WithWaitForReady(none) },
		"Shutdown":          func() { newLab(t).Shutdown(none) },
	} {
		func() {
			defer func() {
				if p := recover(); p != "bsrpc: "+name+": nil context; use context.Background()" {
					t.Errorf("%s panics with %v", name, p)
				}
			}()
			f()
		}()
	}
	if md := bsrpc.MetadataFrom(none); md == nil || len(md) > 0 {
		t.Errorf("MetadataFrom: %v", md)
	}
	if s := bsrpc.SessionFrom(none); s != nil {
		t.Errorf("SessionFrom: %v", s)
	}
	checkText(t, "SetReplyMetadata", bsrpc.SetReplyMetadata(none, "a", "b"), "bsrpc: SetReplyMetadata: the context is not a handler's")
}

// A nil or zero Server reports that at registration.
func TestNilServer(t *testing.T) {
	const missing = "bsrpc: register Shop: nil or zero Server; use NewServer"
	for name, s := range map[string]*bsrpc.Server{"nil": nil, "zero": new(bsrpc.Server)} {
		checkText(t, name, s.RegisterName("Shop", hushed{}), missing)
		checkText(t, name, s.RegisterFunc("Shop.F", func() {}), missing)
		checkText(t, name, bsrpc.RegisterAs[Puts](s, "Shop", till{}), missing)
		if list := s.Methods(); list != nil {
			t.Errorf("%s: %v", name, list)
		}
	}
}
