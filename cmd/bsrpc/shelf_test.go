package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
)

// shelf is a service with a state, for commands that ask several times.
type shelf struct {
	mu    sync.Mutex
	asked int
	put   []string
}

type stock struct {
	Items []string
	Count int
	Key   string            `bsrpc:"secret"`
	Where map[string]uint16 `bsrpc:"optional"`
}

type shelfContract struct {
	Put   func(ctx context.Context, item string, count int, note string) (int, error) `bsrpc:"(,optional,optional),names=item count note"`
	Stock func(ctx context.Context) (stock, error)                                    `bsrpc:"idempotent"`
	Asked func(ctx context.Context) (int, error)
	Watch func(ctx context.Context, from int) iter.Seq2[stock, error]
	Each  func(ctx context.Context, items iter.Seq2[string, error], f func(context.Context, string) error) (int, error)
	Add   func(ctx context.Context, items iter.Seq2[string, error]) (int, error)
	Drop  func(ctx context.Context, item string) error
}

func (s *shelf) Put(ctx context.Context, item string, count int, note string) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range max(count, 1) {
		s.put = append(s.put, item)
	}
	return len(s.put), errors.Join(bsrpc.SetReplyMetadata(ctx, "shelf", "7\x1b"), bsrpc.SetReplyMetadata(ctx, "note", note))
}

func (s *shelf) stock() stock {
	return stock{Items: slices.Clone(s.put), Count: len(s.put), Key: fmt.Sprint("key", len(s.put))}
}

func (s *shelf) Stock(context.Context) (stock, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked++; s.asked%2 == 0 {
		s.put = append(s.put, fmt.Sprint("item", s.asked))
	}
	return s.stock(), nil
}

func (s *shelf) Asked(context.Context) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked, nil
}

func (s *shelf) Watch(_ context.Context, from int) iter.Seq2[stock, error] {
	return func(yield func(stock, error) bool) {
		s.mu.Lock()
		put := slices.Clone(s.put)
		s.mu.Unlock()
		for i := from; i <= len(put); i++ {
			if !yield(stock{Items: put[:i], Count: i, Key: fmt.Sprint("key", i)}, nil) {
				return
			}
		}
	}
}

func (s *shelf) Each(ctx context.Context, items iter.Seq2[string, error], f func(context.Context, string) error) (n int, err error) {
	for item, err := range items {
		if err != nil {
			return n, err
		}
		if f == nil {
			n++
			continue
		}
		if err := f(ctx, item); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func (s *shelf) Add(_ context.Context, items iter.Seq2[string, error]) (n int, err error) {
	for item, err := range items {
		if err != nil {
			return n, err
		}
		s.mu.Lock()
		s.put = append(s.put, item)
		s.mu.Unlock()
		n++
	}
	return n, nil
}

func (s *shelf) Drop(_ context.Context, item string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.put, item)
	if i < 0 {
		return &bsrpc.Error{Code: bsrpc.CodeNotFound, Name: "NoItem", Message: "no " + item + " here\x1b[2J"}
	}
	s.put = slices.Delete(s.put, i, i+1)
	return nil
}

// newShelf returns a server with the service Shelf and some items.
func newShelf(t *testing.T, opts *bsrpc.ServerOptions, items ...string) *bsrpc.Server {
	t.Helper()
	if opts == nil {
		opts = new(bsrpc.ServerOptions)
	}
	opts.Logger = quiet
	srv := bsrpc.NewServer(opts)
	if err := bsrpc.RegisterAs[shelfContract](srv, "Shelf", &shelf{put: items}); err != nil {
		t.Fatal(err)
	}
	return srv
}

// hasControls returns what a terminal could obey in a text.
func hasControls(text string) string {
	i := strings.IndexFunc(strings.ReplaceAll(text, "\n", ""), func(r rune) bool { return r != '\t' && !printable(r) })
	if i < 0 {
		return ""
	}
	return text
}

// compareFile compares a text with a file, which -update writes.
func compareFile(t *testing.T, file, got string) {
	t.Helper()
	if bad := hasControls(got); bad != "" {
		t.Errorf("prints %q", bad)
	}
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs, see go test -update; got:\n%s", file, got)
	}
}

// A session is a transcript of commands.
type session struct {
	t     *testing.T
	names *strings.Replacer // of addresses and files, in what is printed
	text  strings.Builder

	// command runs a command; nil for bsrpcCommand.
	command func(t *testing.T, in string, args ...string) (exit int, stdout, stderr string)
}

// run runs a command with arguments, and writes it and what it prints.
func (s *session) run(args ...string) { s.runWith("", args...) }

func (s *session) runWith(in string, args ...string) {
	s.t.Helper()
	command := s.command
	if command == nil {
		command = bsrpcCommand
	}
	exit, out, failed := command(s.t, in, args...)
	s.text.WriteString(s.names.Replace("$ bsrpc " + strings.Join(args, " ") + "\n" + steady(out+failed)))
	if exit != 0 {
		fmt.Fprintf(&s.text, "exit %d\n", exit)
	}
	s.text.WriteString("\n")
}

var (
	clockTime = regexp.MustCompile(`\d\d:\d\d:\d\d\.\d+|\d{4}-\d\d-\d\dT[^"]*`)
	shortTime = regexp.MustCompile(`(after=|left=|"after","value":"|"left","value":")[0-9.µmns]+s`)
	loopback  = regexp.MustCompile(`127\.0\.0\.1:\d+`)
)

// steady replaces times and ports.
func steady(text string) string {
	text = clockTime.ReplaceAllString(text, "TIME")
	text = shortTime.ReplaceAllString(text, "${1}T")
	return text
}

func TestOptionalArguments(t *testing.T) {
	address := serve(t, newShelf(t, nil))
	s := &session{t: t, names: strings.NewReplacer(address, "ADDRESS")}
	s.run("list", address, "Shelf")
	s.run("call", address, "Shelf.Put", "bolt", "2", "hasty", "--verbose")
	s.run("call", address, "Shelf.Put", "bolt", "-v", "--json")
	s.run("call", address, "Shelf.Put", "bolt", "3")
	s.run("call", address, "Shelf.Put")
	s.run("call", address, "Shelf.Put", "1", "2", "3", "4")
	s.run("call", address, "Shelf.Drop", "nut", "--verbose")
	compareFile(t, "testdata/optional.golden", s.text.String())
}

// waitFor waits until a condition holds.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("in vain: " + what)
		}
	}
}

// A misspelt name is answered with the names that there are, and if these are many with the one that was meant.
func TestMeant(t *testing.T) {
	few := []string{"Set", "Level"}
	many := []string{"Supply", "Scope", "Scopes", "Load", "Lord", "Lock", "Lode", "Rack", strings.Repeat("x", 1<<20)}
	for _, test := range []struct {
		names      []string
		name, want string
	}{
		{few, "Get", "it has Set, Level"},
		{few, "level", "did you mean Level?"},
		{many, "Suply", "did you mean Supply? bsrpc list shows all"},
		{many, "SCOPE", "did you mean Scope?"},
		{many, "Scop", "did you mean Scope or Scopes? bsrpc list shows all"},
		{many, "Sup", "did you mean Supply? bsrpc list shows all"},
		{many, "Lo", "it has Supply, Scope, Scopes, Load, Lord, Lock, Lode, Rack and 1 more; bsrpc list shows them"},
		{many, "", "it has Supply, "},
		{many, strings.Repeat("x", 200), "it has Supply, "},
		{many, "Nothing", "it has Supply, "},
	} {
		if got := meant(test.names, test.name, "it"); !strings.HasPrefix(got, test.want) {
			t.Errorf("%.20s: %.90s, want %s", test.name, got, test.want)
		}
	}
}
