package identity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"strings"
	"testing"

	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/report"
	"github.com/bsrpc/bsrpc/internal/wire"
)

var (
	errGone = errors.New("gone")
	quiet   = report.New(slog.New(slog.DiscardHandler))
)

// A detail is an error with fields of several kinds.
type detail struct {
	Text  string
	List  []uint32
	Inner *detail
	Names map[string]int `bsrpc:"le1"`
}

func (e *detail) Error() string { return "detail" }

// A shadow matches errors that mean something else at the caller.
type shadow struct{}

func (shadow) Error() string     { return "shadow" }
func (shadow) Is(err error) bool { return isReserved(err) }

func testList(t testing.TB) *List {
	t.Helper()
	l, problems := New(map[string]error{"gone": errGone, "detail": (*detail)(nil), "shadow": shadow{}})
	if problems != nil {
		t.Fatal(problems)
	}
	return l
}

// prepare limits the memory of fields.
func prepare(d *codec.Decoder, fields []byte) { d.Data, d.Budget, d.Depth = fields, 1<<20, 16 }

// What one end finds, the other receives, and would pass on unchanged.
func TestFindAndReceive(t *testing.T) {
	l := testList(t)
	sent := &detail{Text: "a", List: []uint32{1, 2}, Inner: &detail{Text: "b"}, Names: map[string]int{"c": 3}}
	f := l.Find(fmt.Errorf("%w: %w, %w", sent, errGone, fs.ErrExist), quiet, "S.M", 64, wire.MaxIdentityRoom)
	if f.Key != "detail" || strings.Join(f.Names, " ") != "detail gone fs.ErrExist" {
		t.Fatalf("found %q, key %q", f.Names, f.Key)
	}
	r := Receive(l, "detail", f.IDs, quiet, "S.M", prepare)
	var got *detail
	if !errors.As(r, &got) || got == sent || got.Inner.Text != "b" || got.Names["c"] != 3 || len(got.List) != 2 {
		t.Errorf("got %+v", got)
	}
	if !errors.Is(r, errGone) || !errors.Is(r, fs.ErrExist) || errors.Is(r, fs.ErrNotExist) || r.Error() != "detail, gone, fs.ErrExist" {
		t.Errorf("got %v", r)
	}
	for name, list := range map[string]*List{"with the list": l, "without a list": nil} {
		if again := list.Find(r, quiet, "S.M", 64, wire.MaxIdentityRoom); string(again.IDs) != string(f.IDs) {
			t.Errorf("%s: passes on %q, want %q", name, again.IDs, f.IDs)
		}
	}
}

// Identities of a further call take room like any others: the fields first.
func TestPassingOnWithoutRoom(t *testing.T) {
	l := testList(t)
	f := l.Find(errors.Join(&detail{Text: strings.Repeat("x", 100)}, errGone), quiet, "S.M", 64, wire.MaxIdentityRoom)
	r := Receive(nil, "", f.IDs, quiet, "S.M", prepare)
	for room, want := range map[int]string{len(f.IDs): "detail gone", len(f.IDs) - 1: "detail", 100: "detail gone", 8: "gone", 6: ""} {
		again := (*List)(nil).Find(r, quiet, "S.M", 64, room)
		if got := strings.Join(again.Names, " "); len(again.IDs) > room || got != want {
			t.Errorf("in %d bytes: %d bytes, %q, want %q", room, len(again.IDs), got, want)
		}
	}
}

// No bytes of a peer panic, exceed the limits, or look like errors of this end.
func FuzzReceive(f *testing.F) {
	l := testList(f)
	found := l.Find(fmt.Errorf("%w%w%w", &detail{List: []uint32{1}, Inner: &detail{}, Names: map[string]int{"a": 1}}, errGone, shadow{}), quiet, "S.M", 64, wire.MaxIdentityRoom)
	f.Add("gone", found.IDs)
	f.Add("detail", found.IDs[:len(found.IDs)-7])
	for i := range found.IDs {
		if i%5 == 0 { // one byte of each field differs
			b := append([]byte(nil), found.IDs...)
			b[i] ^= 0x81
			f.Add("", b)
		}
	}
	f.Fuzz(func(t *testing.T, name string, b []byte) {
		ids, err := wire.ReadIdentities(b)
		if err != nil {
			return // refused by the transport
		}
		r := Receive(l, name, b, quiet, "S.M", prepare)
		if r == nil {
			if len(ids) > 0 || name == "gone" {
				t.Fatalf("%q: nothing from %q", name, ids)
			}
			return
		}
		for _, err := range []error{context.Canceled, context.DeadlineExceeded} {
			if errors.Is(r, err) {
				t.Fatalf("%q matches %v", r, err)
			}
		}
		if errors.Is(r, io.EOF) && !strings.Contains(r.Error(), "io.EOF") {
			t.Fatalf("%q matches io.EOF", r)
		}
		again := (*List)(nil).Find(r, quiet, "S.M", 64, wire.MaxIdentityRoom)
		if len(again.Names) > wire.MaxIdentities || len(again.IDs) > wire.MaxIdentityRoom {
			t.Fatalf("passes on %d identities in %d bytes", len(again.Names), len(again.IDs))
		}
	})
}
