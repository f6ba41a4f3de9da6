package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
)

// seedRecording is a seed of FuzzTapRead, from recordShelf.
const seedRecording = "testdata/shelf.rec"

// recordShelf records a conversation with a shelf in a file.
func recordShelf(t *testing.T, file string, args ...string) {
	t.Helper()
	server := serve(t, newShelf(t, nil, "bolt", "nut"))
	address, out, stop := beginTap(t, append([]string{server, "--record", file}, args...)...)
	client, err := bsrpc.Dial(t.Context(), "tcp", address, nil)
	if err != nil {
		t.Fatal(err)
	}
	sh, err := bsrpc.Bind[shelfContract](t.Context(), client, "Shelf")
	if err != nil {
		t.Fatal(err)
	}
	sh.Put(bsrpc.WithMetadata(t.Context(), bsrpc.Metadata{"tenant": "blue"}), "screw", 1, "")
	sh.Stock(t.Context())
	for range sh.Watch(t.Context(), 1) {
	}
	for range sh.Watch(t.Context(), 0) {
		break
	}
	sh.Add(t.Context(), values("a", "b"))
	sh.Each(t.Context(), values("a"), func(context.Context, string) error { return nil })
	sh.Each(t.Context(), values("a", "b"), nil)
	sh.Drop(t.Context(), "ring")
	sh.Drop(t.Context(), "bolt")
	client.Close()
	check(t, 0, `"value":"1"`, "call", address, "Shelf.Asked", "--json")
	waitFor(t, "the ends", func() bool { return strings.Count(out.String(), " end ") == 4 })
	if exit := stop(); exit != 0 {
		t.Errorf("exit %d: %s", exit, out)
	}
}

func TestTapReplay(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.rec")
	recordShelf(t, file)
	if _, err := os.Stat(seedRecording); *update && err != nil {
		data, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(seedRecording, data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	equal, other := serve(t, newShelf(t, nil, "bolt", "nut")), serve(t, newShelf(t, nil, "nut", "ring\x1b[2J", "ring"))
	desk := serve(t, newDesk(t, nil))
	s := &session{t: t, names: strings.NewReplacer(equal, "EQUAL", other, "OTHER", desk, "DESK", file, "FILE")}
	s.run("tap", "--replay", file, equal)
	s.run("tap", "--replay", file, other)
	s.run("tap", "--replay", file, other, "--show-values")
	s.run("tap", "--replay", file, desk)
	s.run("tap", "--replay", file, serve(t, newShelf(t, nil, "bolt", "nut")), "--json")
	s.run("tap", "--replay", file, serve(t, newShelf(t, &bsrpc.ServerOptions{HideDescription: true})))
	text := s.text.String()
	compareFile(t, "testdata/tap_replay.golden", loopback.ReplaceAllString(text, "ADDRESS"))
}

// gate has calls that wait for others.
type gate struct{ open chan struct{} }

type gateContract struct {
	Pass func(ctx context.Context) (string, error)
	Open func(ctx context.Context) (bool, error)
	Look func(ctx context.Context, r io.Reader) (int, io.ReadCloser, error)
	Tell func(ctx context.Context, user string, password string) (string, error) `bsrpc:"(,secret) (secret)"`
}

func (g *gate) Pass(ctx context.Context) (string, error) {
	select {
	case <-g.open:
		return "through", nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (g *gate) Open(context.Context) (bool, error) { close(g.open); return true, nil }

func (g *gate) Look(_ context.Context, r io.Reader) (int, io.ReadCloser, error) {
	data, err := io.ReadAll(r)
	return len(data), io.NopCloser(bytes.NewReader(data)), err
}

func (g *gate) Tell(_ context.Context, user, password string) (string, error) {
	return user + password, nil
}

func newGate(t *testing.T) *bsrpc.Server {
	t.Helper()
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	if err := bsrpc.RegisterAs[gateContract](srv, "Gate", &gate{make(chan struct{})}); err != nil {
		t.Fatal(err)
	}
	return srv
}

// recordGate records calls that are open at the same time. With own, the conversation has no
// description of the server.
func recordGate(t *testing.T, own bool) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "r.rec")
	server := serve(t, newGate(t))
	var dial func() (*bsrpc.Client, error)
	var end func()
	if own {
		f, err := os.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		rec := newRecorder(f)
		dial = func() (*bsrpc.Client, error) {
			nc, err := net.Dial("tcp", server)
			if err != nil {
				return nil, err
			}
			return bsrpc.NewClient(t.Context(), rec.conn(nc, 1), nil)
		}
		end = func() { rec.close() }
	} else {
		address, out, stop := beginTap(t, server, "--record", file)
		dial = func() (*bsrpc.Client, error) { return bsrpc.Dial(t.Context(), "tcp", address, nil) }
		end = func() {
			waitFor(t, "the ends", func() bool { return strings.Count(out.String(), " end ") == 2 })
			stop()
		}
	}
	client, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	g, err := bsrpc.Bind[gateContract](t.Context(), client, "Gate")
	if err != nil {
		t.Fatal(err)
	}
	passed := make(chan string)
	for range 2 {
		go func() {
			text, _ := g.Pass(t.Context())
			passed <- text
		}()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	g.Pass(ctx)
	cancel()
	g.Open(t.Context())
	<-passed
	<-passed
	g.Tell(t.Context(), "ann", "sesame")
	if _, r, err := g.Look(t.Context(), strings.NewReader(strings.Repeat("abc", 50_000))); err == nil {
		io.Copy(io.Discard, r)
		r.Close()
	}
	client.Close()
	end()
	return file
}

// Calls that were open at the same time are so again.
func TestTapReplayOverlaps(t *testing.T) {
	for _, own := range []bool{false, true} {
		file := recordGate(t, own)
		exit, out, failed := bsrpcCommand(t, "", "tap", "--replay", file, serve(t, newGate(t)), "--timeout", "5s")
		if exit != 0 || !strings.Contains(out, "6 calls: ") || !strings.Contains(out, ", 0 different, ") {
			t.Errorf("own %v: exit %d, %s%s", own, exit, out, failed)
		}
		if _, text, _ := bsrpcCommand(t, "", "tap", "--read", file); strings.Contains(text, "sesame") || strings.Contains(text, `"through"`) == own {
			t.Errorf("own %v: have\n%s", own, text)
		}
	}
}

// A value of which nothing is known is not shown where it differs, and a server that goes ends the
// replay.
func TestTapReplayOtherServers(t *testing.T) {
	file := recordGate(t, false)
	server := func(tell any) string {
		srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
		if err := srv.RegisterName("Gate", tell); err != nil {
			t.Fatal(err)
		}
		return serve(t, srv)
	}
	s := &session{t: t, names: strings.NewReplacer(file, "FILE")}
	s.run("tap", "--replay", file, server(teller{}))
	s.run("tap", "--replay", file, server(otherTeller{}))
	slots := regexp.MustCompile(`(#1 c\d)\.\d`) // whichever were free
	compareFile(t, "testdata/tap_replay_other.golden", slots.ReplaceAllString(loopback.ReplaceAllString(s.text.String(), "ADDRESS"), "$1"))
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	if err := srv.RegisterName("Gate", &quitter{func() { srv.Close() }}); err != nil {
		t.Fatal(err)
	}
	check(t, 3, "#1 c", "tap", "--replay", file, serve(t, srv))
}

type teller struct{}

func (teller) Tell(user, password string) string { return user + "!" + password }

type otherTeller struct{}

func (otherTeller) Tell(user string) (string, error) { return user, nil }

type quitter struct{ quit func() }

func (q *quitter) Tell(user, password string) string {
	q.quit()
	return user
}
