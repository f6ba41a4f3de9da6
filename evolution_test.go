package bsrpc_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// Two versions of a contract, and of the types in it.

type itemV1 struct {
	ID    int64
	Price int32
	Tags  []string
}

type itemV2 struct {
	Tags  []string `bsrpc:"list,len=varint"`
	Note  string   `bsrpc:"optional"`
	Price int32    `bsrpc:"be4"`
	ID    int64    `bsrpc:"be8"`
	Lot   uint32   `bsrpc:"optional,ignorable"`
}

type storeV1 struct {
	Put    func(ctx context.Context, i itemV1) (itemV1, error)
	Find   func(ctx context.Context, name string) ([]itemV1, error)
	Watch  func(ctx context.Context, n int) iter.Seq2[itemV1, error]
	Load   func(ctx context.Context, items iter.Seq2[itemV1, error]) (int32, error)
	Ask    func(ctx context.Context, ask func(ctx context.Context, i itemV1) (int32, error)) (string, error)
	Later  func(ctx context.Context, i itemV1) *bsrpc.Future[itemV1]
	Notify func(ctx context.Context, i itemV1) error `bsrpc:"oneway"`
}

type storeV2 struct {
	Put    func(ctx context.Context, i itemV2) (itemV2, error)
	Find   func(ctx context.Context, name string, limit int) ([]itemV2, bool, error) `bsrpc:"(,optional) (,optional)"`
	Watch  func(ctx context.Context, n int) iter.Seq2[itemV2, error]
	Load   func(ctx context.Context, items iter.Seq2[itemV2, error]) (int32, error)
	Ask    func(ctx context.Context, ask func(ctx context.Context, i itemV2) (int32, error)) (string, error)
	Later  func(ctx context.Context, i itemV2) *bsrpc.Future[itemV2]
	Notify func(ctx context.Context, i itemV2) error `bsrpc:"oneway"`
}

// A keeperV1 implements storeV1.
type keeperV1 struct{ notified chan string }

func (keeperV1) Put(i itemV1) (itemV1, error)       { i.Price++; return i, nil }
func (keeperV1) Find(name string) ([]itemV1, error) { return []itemV1{{7, 8, []string{name}}, {}}, nil }
func (keeperV1) Later(i itemV1) (itemV1, error)     { return i, nil }
func (k keeperV1) Notify(i itemV1) error            { k.notified <- fmt.Sprint(i); return nil }
func (keeperV1) Watch(n int) iter.Seq2[itemV1, error] {
	return generated(n, func(i int) itemV1 { return itemV1{ID: int64(i), Tags: []string{"a"}} })
}

func (keeperV1) Load(items iter.Seq2[itemV1, error]) (sum int32, err error) {
	for i, err := range items {
		if err != nil {
			return 0, err
		}
		sum += i.Price
	}
	return sum, nil
}

func (keeperV1) Ask(ctx context.Context, ask func(ctx context.Context, i itemV1) (int32, error)) (string, error) {
	n, err := ask(ctx, itemV1{ID: 3, Price: 4})
	return fmt.Sprint(n), err
}

// A keeperV2 implements storeV2.
type keeperV2 struct{ notified chan string }

func (keeperV2) Put(i itemV2) (itemV2, error) { i.Note += "seen"; i.Lot = 9; return i, nil }
func (keeperV2) Find(name string, limit int) ([]itemV2, bool, error) {
	return []itemV2{{ID: 7, Price: 8, Tags: []string{name}, Note: "n", Lot: 3}}, limit == 0, nil
}
func (keeperV2) Later(i itemV2) (itemV2, error) { return i, nil }
func (k keeperV2) Notify(i itemV2) error {
	k.notified <- fmt.Sprint(i.ID, i.Price, i.Tags, i.Note)
	return nil
}
func (keeperV2) Watch(n int) iter.Seq2[itemV2, error] {
	return generated(n, func(i int) itemV2 { return itemV2{ID: int64(i), Price: 5, Note: "n"} })
}

func (keeperV2) Load(items iter.Seq2[itemV2, error]) (sum int32, err error) {
	for i, err := range items {
		if err != nil {
			return 0, err
		}
		sum += i.Price
	}
	return sum, nil
}

func (keeperV2) Ask(ctx context.Context, ask func(ctx context.Context, i itemV2) (int32, error)) (string, error) {
	n, err := ask(ctx, itemV2{ID: 3, Price: 4})
	return fmt.Sprint(n), err
}

// generated returns a stream of n items.
func generated[T any](n int, item func(int) T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for i := range n {
			if !yield(item(i), nil) {
				return
			}
		}
	}
}

// A direction is a way to call methods, and what the other end is called then.
type direction struct {
	caller bsrpc.Caller
	other  string
}

// bothDirections returns a client of methods that a server has, and a session of a client with them.
func bothDirections(t *testing.T, register func(*bsrpc.Server) error) []direction {
	t.Helper()
	with, sessions := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet}), make(chan *bsrpc.Session, 1)
	if err := register(with); err != nil {
		t.Fatal(err)
	}
	client, err := bsrpctest.Dial(t, with, nil)
	if err != nil {
		t.Fatal(err)
	}
	without := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, OnConnect: func(_ context.Context, s *bsrpc.Session) error {
		sessions <- s
		return nil
	}})
	handlers := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	if err := register(handlers); err != nil {
		t.Fatal(err)
	}
	if _, err := bsrpctest.Dial(t, without, &bsrpc.ClientOptions{Logger: quiet, Handlers: handlers}); err != nil {
		t.Fatal(err)
	}
	return []direction{{client, "server"}, {<-sessions, "client"}}
}

// An old client calls a new server: the server reads what the client lacks as zero, and the
// client drops what it does not know. An old server calls a new client alike.
func TestOldClientNewServer(t *testing.T) {
	notified := make(chan string, 1)
	for _, d := range bothDirections(t, func(s *bsrpc.Server) error { return bsrpc.RegisterAs[storeV2](s, "Store", keeperV2{notified}) }) {
		t.Run("methods of the "+d.other, func(t *testing.T) { testOldAndNew(t, d, notified) })
	}
}

func testOldAndNew(t *testing.T, d direction, notified chan string) {
	ctx := t.Context()
	store, err := bsrpc.Bind[storeV1](ctx, d.caller, "Store")
	if err != nil {
		t.Fatal(err)
	}
	sent := itemV1{7, -8, []string{"a", "b"}}
	got, err := store.Put(ctx, sent)
	wantValue(t, "Put", got, err, sent)
	found, err := store.Find(ctx, "x")
	wantValue(t, "Find", found, err, []itemV1{{7, 8, []string{"x"}}})
	items, err := bsrpctest.Collect(store.Watch(ctx, 2))
	wantValue(t, "Watch", items, err, []itemV1{{0, 5, nil}, {1, 5, nil}})
	sum, err := store.Load(ctx, generated(3, func(i int) itemV1 { return itemV1{Price: int32(i)} }))
	wantValue(t, "Load", sum, err, 3)
	answer, err := store.Ask(ctx, func(_ context.Context, i itemV1) (int32, error) { return int32(i.ID) + i.Price, nil })
	wantValue(t, "Ask", answer, err, "7")
	got, err = store.Later(ctx, sent).Wait(ctx)
	wantValue(t, "Later", got, err, sent)
	if err := store.Notify(ctx, sent); err != nil {
		t.Error(err)
	}
	wantValue(t, "Notify", <-notified, nil, "7 -8 [a b]")
}

// A new client calls an old server: what the server lacks must be zero, or may be ignored. A new
// server calls an old client alike.
func TestNewClientOldServer(t *testing.T) {
	notified := make(chan string, 1)
	for _, d := range bothDirections(t, func(s *bsrpc.Server) error { return bsrpc.RegisterAs[storeV1](s, "Store", keeperV1{notified}) }) {
		t.Run("methods of the "+d.other, func(t *testing.T) { testNewAndOld(t, d, notified) })
	}
}

func testNewAndOld(t *testing.T, d direction, notified chan string) {
	ctx := t.Context()
	store, err := bsrpc.Bind[storeV2](ctx, d.caller, "Store")
	if err != nil {
		t.Fatal(err)
	}
	sent := itemV2{ID: 7, Price: -8, Tags: []string{"a", "b"}, Lot: 4}
	want := sent
	want.Lot = 0
	again := want
	again.Price++
	got, err := store.Put(ctx, sent)
	wantValue(t, "Put", got, err, again)
	found, more, err := store.Find(ctx, "x", 0)
	wantValue(t, "Find", found, err, []itemV2{{ID: 7, Price: 8, Tags: []string{"x"}}, {}})
	items, err := bsrpctest.Collect(store.Watch(ctx, 2))
	wantValue(t, "Watch", items, err, []itemV2{{Tags: []string{"a"}}, {ID: 1, Tags: []string{"a"}}})
	sum, err := store.Load(ctx, generated(3, func(i int) itemV2 { return itemV2{Price: int32(i)} }))
	wantValue(t, "Load", sum, err, 3)
	answer, err := store.Ask(ctx, func(_ context.Context, i itemV2) (int32, error) { return int32(i.ID) + i.Price, nil })
	wantValue(t, "Ask", answer, err, "7")
	got, err = store.Later(ctx, sent).Wait(ctx)
	wantValue(t, "Later", got, err, want)
	if err := store.Notify(ctx, sent); err != nil || more {
		t.Error(more, err)
	}
	wantValue(t, "Notify", <-notified, nil, "{7 -8 [a b]}")

	sent.Note = "new"
	_, err = store.Put(ctx, sent)
	wantUnknown(t, "a field", err, "Store.Put, parameter 1, itemV2.Note: the "+d.other+" does not know it")
	_, _, err = store.Find(ctx, "x", 3)
	wantUnknown(t, "a parameter", err, "Store.Find, parameter 2: the "+d.other+" does not know it")
	_, err = store.Later(ctx, sent).Wait(ctx)
	wantUnknown(t, "a future", err, "Store.Later, parameter 1, itemV2.Note: the "+d.other+" does not know it")
	wantUnknown(t, "oneway", store.Notify(ctx, sent), "Store.Notify, parameter 1, itemV2.Note: the "+d.other+" does not know it")
	_, err = store.Load(ctx, generated(3, func(i int) itemV2 { return itemV2{Note: strings.Repeat("n", i)} }))
	if err == nil || !strings.Contains(err.Error(), "the "+d.other+" does not know it") {
		t.Errorf("a stream: %v", err)
	}
	wantValue(t, "afterwards", len(items), nil, 2)
}

// wantUnknown checks the error of a call that has a value the server lacks.
func wantUnknown(t *testing.T, what string, err error, text string) {
	t.Helper()
	wantError(t, err, bsrpc.CodeInvalidArgument, bsrpc.OutcomeNotRun, text)
}

// wantValue checks the result of a call.
func wantValue[T any](t *testing.T, what string, got T, err error, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%s: %v, -want +got\n%s", what, err, diff)
	}
}

// A shelf has items in each kind of place.
type shelfV1 struct {
	List  []itemV1
	Map   map[string]itemV1
	Array [2]itemV1
	Ptr   *itemV1
	In    struct{ Item itemV1 }
}

type shelfV2 struct {
	In    struct{ Item itemV2 }
	List  []itemV2
	Ptr   *itemV2
	Map   map[string]itemV2
	Array [2]itemV2
	Top   *itemV2 `bsrpc:"optional"`
}

type shelves[T any] struct {
	Put func(ctx context.Context, s T) (T, error)
	Ask func(ctx context.Context, ask func(ctx context.Context, s T) (T, error)) error
}

// The rules hold at any depth, and for the arguments of callbacks, whose writer is the other end.
func TestVersionsInPlaces(t *testing.T) {
	with := func(note string) map[string]shelfV2 {
		i, none := itemV2{ID: 7, Note: note}, map[string]itemV2{}
		in := shelfV2{Map: none}
		in.In.Item = i
		return map[string]shelfV2{
			"List[]": {List: []itemV2{{}, i}, Map: none}, "Map[]": {Map: map[string]itemV2{"a": i}},
			"Array[]": {Array: [2]itemV2{1: i}, Map: none}, "Ptr": {Ptr: &i, Map: none}, "In.Item": in,
		}
	}
	for note, unknown := range map[string]string{"": "", "new": ".Note"} {
		for place, s := range with(note) {
			oldHandler := &shelves[shelfV1]{Put: func(_ context.Context, s shelfV1) (shelfV1, error) { return s, nil }}
			newHandler := &shelves[shelfV2]{Ask: func(ctx context.Context, ask func(context.Context, shelfV2) (shelfV2, error)) error {
				got, err := ask(ctx, s)
				if diff := cmp.Diff(s, got); err == nil && diff != "" {
					t.Errorf("%s: a callback: -want +got\n%s", place, diff)
				}
				return err
			}}
			oldHandler.Ask = func(context.Context, func(context.Context, shelfV1) (shelfV1, error)) error { return nil }
			newHandler.Put = func(_ context.Context, s shelfV2) (shelfV2, error) { return s, nil }
			for _, d := range bothDirections(t, func(s *bsrpc.Server) error {
				return errors.Join(bsrpc.RegisterAs[shelves[shelfV1]](s, "Old", oldHandler), bsrpc.RegisterAs[shelves[shelfV2]](s, "New", newHandler))
			}) {
				toOld, err := bsrpc.Bind[shelves[shelfV2]](t.Context(), d.caller, "Old")
				if err != nil {
					t.Fatal(err)
				}
				toNew, err := bsrpc.Bind[shelves[shelfV1]](t.Context(), d.caller, "New")
				if err != nil {
					t.Fatal(err)
				}
				got, putErr := toOld.Put(t.Context(), s)
				askErr := toNew.Ask(t.Context(), func(_ context.Context, s shelfV1) (shelfV1, error) { return s, nil })
				if unknown == "" {
					wantValue(t, place, got, putErr, s)
					wantValue(t, place, 0, askErr, 0)
					continue
				}
				caller := map[string]string{"server": "client", "client": "server"}[d.other]
				wantUnknown(t, place, putErr, "Old.Put, parameter 1, shelfV2."+place+".Note: the "+d.other+" does not know it")
				wantError(t, askErr, bsrpc.CodeInvalidArgument, bsrpc.OutcomeAnswered, "New.Ask, parameter 1, func's parameter 1, shelfV2."+place+".Note: the "+caller+" does not know it")
			}
		}
	}
}
