package bsrpc_test

import (
	"context"
	"errors"
	"iter"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// A contract of a runner of containers, as it was released. Ten changes of it are planned
// with docs/evolution.md, and every verdict of the page is tried with both versions of the
// code in both orders.
type (
	runner struct {
		Start   func(ctx context.Context, s runSpec) (id string, err error)
		Inspect func(ctx context.Context, id string) (runStatus, error)
		Stop    func(ctx context.Context, id string, grace int32) error
		Watch   func(ctx context.Context, id string) iter.Seq2[runEvent, error]
		Pause   func(ctx context.Context, id string) error
	}
	runSpec struct {
		Image   string
		Command []string
		Memory  int64
		Port    uint16
	}
	runStatus struct {
		State    string
		Host     string
		Exit     int32
		CPU, RAM float64
		Started  time.Time
	}
	runEvent struct {
		_       struct{} `bsrpc:"union"`
		Started *struct{ At time.Time }
		Exited  *struct{ Code int32 }
	}
)

// served is a server of the released contract. It notes what it is asked.
func served(t *testing.T) (*runner, *runnerNotes) {
	n := new(runnerNotes)
	return &runner{
		Start:   func(_ context.Context, s runSpec) (string, error) { n.spec = s; return "c1", nil },
		Inspect: func(context.Context, string) (runStatus, error) { return oldStatus, nil },
		Stop:    func(_ context.Context, _ string, grace int32) error { n.grace = grace; return nil },
		Watch: func(context.Context, string) iter.Seq2[runEvent, error] {
			return generated(1, func(int) runEvent { return runEvent{Exited: &struct{ Code int32 }{3}} })
		},
		Pause: func(context.Context, string) error { n.paused = true; return nil },
	}, n
}

type runnerNotes struct {
	spec   runSpec
	grace  int32
	paused bool
}

var (
	oldSpec   = runSpec{"redis", []string{"-v"}, 1 << 30, 80}
	oldStatus = runStatus{State: "up", Host: "h7", Exit: -1, CPU: 0.5, RAM: 2, Started: time.Unix(9, 0).UTC()}
)

// verdict is the page's about a row: what a new client meets at an old server, an old client
// at a new one, and the end to deploy first.
type verdict struct{ newClient, oldClient, first string }

// pageVerdict reads the row of a change in a section of docs/evolution.md.
func pageVerdict(t *testing.T, section, row string) verdict {
	t.Helper()
	page, err := os.ReadFile("docs/evolution.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(page), "\n"+section+"\n")
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			break
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "| "), " | ")
		if cells[0] != row || len(cells) < 4 {
			continue
		}
		v := verdict{cells[len(cells)-3], cells[len(cells)-2], cells[len(cells)-1]}
		for _, cell := range []*string{&v.newClient, &v.oldClient} {
			if strings.Contains(*cell, "`parameter") || strings.Contains(*cell, "`result") || strings.HasPrefix(*cell, "a mismatch") {
				*cell = "a mismatch"
			}
		}
		return v
	}
	t.Fatalf("no row %q in %q (%v)", row, section, found)
	return verdict{}
}

// bothOrders binds old clients to a new server and new clients to an old one, and compares
// what Bind finds about a method with the verdict. The proxies also work after a mismatch.
func bothOrders[Old, New any](t *testing.T, v verdict, method string, old *Old, now *New) (oldAtNew *Old, newAtOld *New) {
	t.Helper()
	oldAtNew = bindPlanned[Old](t, v.oldClient, method, now)
	newAtOld = bindPlanned[New](t, v.newClient, method, old)
	return oldAtNew, newAtOld
}

func bindPlanned[C, S any](t *testing.T, page, method string, contract *S) *C {
	t.Helper()
	srv := bsrpc.NewServer(nil)
	if err := bsrpc.RegisterAs[S](srv, "Runner", contract); err != nil {
		t.Fatal(err)
	}
	client, err := bsrpctest.Dial(t, srv, nil)
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := bsrpc.Bind[C](t.Context(), client, "Runner")
	var mismatch *bsrpc.MismatchError
	if err != nil && !errors.As(err, &mismatch) {
		t.Fatal(err)
	}
	var found []bsrpc.Difference
	if mismatch != nil {
		for _, d := range mismatch.Differences {
			name := strings.TrimPrefix(d.Method, "Runner.")
			if _, served := reflect.TypeFor[S]().FieldByName(name); name == method {
				found = append(found, d)
			} else if served { // a new contract is written here without the methods that stay
				t.Errorf("a difference of %s, not of %s alone", d.Method, method)
			}
		}
	}
	if fits := strings.HasPrefix(page, "fits"); fits != (found == nil) {
		t.Errorf("the page says %q, Bind %v", page, found)
	}
	return proxy
}

// misfits checks a call of a method with a mismatch.
func misfits(t *testing.T, err error) {
	t.Helper()
	var mismatch *bsrpc.MismatchError
	if !errors.As(err, &mismatch) {
		t.Errorf("%v, want a mismatch", err)
	}
}

// equal compares what a call gave.
func equal(t *testing.T, err error, got, want any) {
	t.Helper()
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %+v, want %+v", err, got, want)
	}
}

func TestPlannedChanges(t *testing.T) {
	ctx := t.Context()

	t.Run("add a field of an argument", func(t *testing.T) {
		type spec struct {
			Image   string
			Command []string
			Memory  int64
			Port    uint16
			Labels  map[string]string `bsrpc:"optional"`
		}
		type now struct {
			Start func(ctx context.Context, s spec) (string, error)
		}
		old, notes := served(t)
		var got spec
		v := pageVerdict(t, "### Arguments", "an optional field")
		equal(t, nil, v, verdict{"fits; calls that set it fail", "fits", "servers"})
		o, n := bothOrders(t, v, "Start", old, &now{func(_ context.Context, s spec) (string, error) { got = s; return "c2", nil }})
		id, err := o.Start(ctx, oldSpec)
		equal(t, err, id, "c2")
		equal(t, nil, got, spec{"redis", []string{"-v"}, 1 << 30, 80, nil})
		id, err = n.Start(ctx, spec{Image: "redis"})
		equal(t, err, id, "c1")
		equal(t, nil, notes.spec.Image, "redis")
		_, err = n.Start(ctx, spec{Image: "redis", Labels: map[string]string{"a": "b"}})
		wantUnknown(t, "", err, "Runner.Start, parameter 1, spec.Labels: the server does not know it")
	})

	t.Run("remove a field of a result", func(t *testing.T) {
		type status struct {
			State    string
			Exit     int32
			CPU, RAM float64
			Started  time.Time
		}
		type now struct {
			Inspect func(ctx context.Context, id string) (status, error)
		}
		old, _ := served(t)
		v := pageVerdict(t, "### Results", "no field any more")
		equal(t, nil, v, verdict{"fits; it is dropped", "a mismatch", "clients"})
		o, n := bothOrders(t, v, "Inspect", old, &now{func(context.Context, string) (status, error) { return status{}, nil }})
		got, err := n.Inspect(ctx, "c1")
		equal(t, err, got, status{"up", -1, 0.5, 2, oldStatus.Started})
		_, err = o.Inspect(ctx, "c1")
		misfits(t, err)
	})

	t.Run("rename a field", func(t *testing.T) {
		type kept struct {
			Image       string
			Command     []string
			MemoryLimit int64 `bsrpc:"name=Memory"`
			Port        uint16
		}
		type renamed struct {
			Image       string
			Command     []string
			MemoryLimit int64
			Port        uint16
		}
		type now[S any] struct {
			Start func(ctx context.Context, s S) (string, error)
		}
		old, notes := served(t)
		v := pageVerdict(t, "### Arguments", "another name of a field")
		equal(t, nil, v, verdict{"a mismatch", "a mismatch", "neither"})
		o, n := bothOrders(t, v, "Start", old, &now[renamed]{func(context.Context, renamed) (string, error) { return "", nil }})
		_, err := o.Start(ctx, oldSpec)
		misfits(t, err)
		_, err = n.Start(ctx, renamed{})
		misfits(t, err)

		var got kept
		same := verdict{"fits", "fits", "either"} // among the changes without a difference
		o, k := bothOrders(t, same, "Start", old, &now[kept]{func(_ context.Context, s kept) (string, error) { got = s; return "c2", nil }})
		id, err := o.Start(ctx, oldSpec)
		equal(t, err, id, "c2")
		equal(t, nil, got.MemoryLimit, int64(1<<30))
		_, err = k.Start(ctx, kept{MemoryLimit: 5})
		equal(t, err, notes.spec.Memory, int64(5))
	})

	t.Run("move a field into a struct", func(t *testing.T) {
		type network struct{ Port uint16 }
		type moved struct {
			Image   string
			Command []string
			Memory  int64
			Network network
		}
		type both struct {
			Image   string
			Command []string
			Memory  int64
			Port    uint16
			Network network `bsrpc:"optional ignorable"` // Port says it, too
		}
		type now[S any] struct {
			Start func(ctx context.Context, s S) (string, error)
		}
		old, notes := served(t)
		v := pageVerdict(t, "### Arguments", "a field moves into a struct")
		equal(t, nil, v, verdict{"a mismatch", "a mismatch", "neither"})
		o, n := bothOrders(t, v, "Start", old, &now[moved]{func(context.Context, moved) (string, error) { return "", nil }})
		_, err := o.Start(ctx, oldSpec)
		misfits(t, err)
		_, err = n.Start(ctx, moved{})
		misfits(t, err)

		// The first of the steps of the page: the new field beside the old one.
		var got both
		v = pageVerdict(t, "### Arguments", "a struct is split beside the old field")
		equal(t, nil, v, verdict{"fits; calls that set it fail", "fits", "servers"})
		o, b := bothOrders(t, v, "Start", old, &now[both]{func(_ context.Context, s both) (string, error) { got = s; return "c2", nil }})
		_, err = o.Start(ctx, oldSpec)
		equal(t, err, got, both{"redis", []string{"-v"}, 1 << 30, 80, network{}})
		_, err = b.Start(ctx, both{Port: 81, Network: network{81}})
		equal(t, err, notes.spec.Port, uint16(81))

		// The second: the old one becomes optional. The third: it goes, clients first.
		type optional struct {
			Image   string
			Command []string
			Memory  int64
			Port    uint16  `bsrpc:"optional"`
			Network network `bsrpc:"optional"`
		}
		type last struct {
			Image   string
			Command []string
			Memory  int64
			Network network `bsrpc:"optional"`
		}
		second := &now[optional]{func(_ context.Context, s optional) (string, error) { got.Network = s.Network; return "c3", nil }}
		v = pageVerdict(t, "### Arguments", "a field becomes optional, or the reverse")
		equal(t, nil, v, verdict{"fits", "fits", "either"})
		bothOrders(t, v, "Start", &now[both]{func(context.Context, both) (string, error) { return "", nil }}, second)
		v = pageVerdict(t, "### Arguments", "no optional field any more")
		equal(t, nil, v, verdict{"fits", "fits; calls that set it fail", "clients"})
		a, l := bothOrders(t, v, "Start", second, &now[last]{func(_ context.Context, s last) (string, error) { return "c4", nil }})
		_, err = l.Start(ctx, last{Network: network{7}})
		equal(t, err, got.Network, network{7})
		_, err = a.Start(ctx, optional{Network: network{7}})
		equal(t, err, nil, nil)
		_, err = a.Start(ctx, optional{Port: 7})
		wantUnknown(t, "", err, "Runner.Start, parameter 1, optional.Port: the server does not know it")
	})

	t.Run("widen numbers", func(t *testing.T) {
		type stop struct {
			Stop func(ctx context.Context, id string, grace int64) error
		}
		type status struct {
			State string
			Exit  int64
		}
		type inspect struct {
			Inspect func(ctx context.Context, id string) (status, error)
		}
		old, _ := served(t)
		var grace int64
		v := pageVerdict(t, "### Arguments", "a wider number")
		equal(t, nil, v, verdict{"a mismatch", "fits", "servers"})
		o, n := bothOrders(t, v, "Stop", old, &stop{func(_ context.Context, _ string, g int64) error { grace = g; return nil }})
		err := o.Stop(ctx, "c1", -5)
		equal(t, err, grace, int64(-5))
		misfits(t, n.Stop(ctx, "c1", 5))

		v = pageVerdict(t, "### Results", "a wider number")
		equal(t, nil, v, verdict{"fits", "a mismatch", "clients"})
		o, i := bothOrders(t, v, "Inspect", old, &inspect{func(context.Context, string) (status, error) { return status{}, nil }})
		got, err := i.Inspect(ctx, "c1")
		equal(t, err, got, status{"up", -1})
		_, err = o.Inspect(ctx, "c1")
		misfits(t, err)
	})

	t.Run("split a struct", func(t *testing.T) {
		type usage struct{ CPU, RAM float64 }
		type status struct {
			State    string
			Host     string
			Exit     int32
			CPU, RAM float64
			Started  time.Time
			Usage    usage `bsrpc:"optional"`
		}
		type now struct {
			Inspect func(ctx context.Context, id string) (status, error)
		}
		old, _ := served(t)
		made := status{"up", "h7", -1, 0.5, 2, oldStatus.Started, usage{0.5, 2}}
		v := pageVerdict(t, "### Results", "a struct is split beside the old field")
		equal(t, nil, v, verdict{"fits; it reads zero", "fits; it is dropped", "either"})
		o, n := bothOrders(t, v, "Inspect", old, &now{func(context.Context, string) (status, error) { return made, nil }})
		before, err := o.Inspect(ctx, "c1")
		equal(t, err, before, oldStatus)
		after, err := n.Inspect(ctx, "c1")
		made.Usage = usage{}
		equal(t, err, after, made)
	})

	t.Run("a new member of a union", func(t *testing.T) {
		type event struct {
			_       struct{} `bsrpc:"union"`
			Started *struct{ At time.Time }
			Exited  *struct{ Code int32 }
			Paused  *struct{} `bsrpc:"optional"`
		}
		type now struct {
			Watch func(ctx context.Context, id string) iter.Seq2[event, error]
		}
		old, _ := served(t)
		v := pageVerdict(t, "### Unions", "an optional member of a result")
		equal(t, nil, v, verdict{"fits", "fits; it reads none set", "clients"})
		o, n := bothOrders(t, v, "Watch", old, &now{func(context.Context, string) iter.Seq2[event, error] {
			return generated(2, func(i int) event {
				if i == 0 {
					return event{Paused: new(struct{})}
				}
				return event{Exited: &struct{ Code int32 }{4}}
			})
		}})
		before, err := bsrpctest.Collect(o.Watch(ctx, "c1"))
		if err != nil || len(before) != 2 || before[0] != (runEvent{}) || before[1].Exited.Code != 4 {
			t.Errorf("%v, %+v", err, before)
		}
		after, err := bsrpctest.Collect(n.Watch(ctx, "c1"))
		if err != nil || len(after) != 1 || after[0].Exited.Code != 3 {
			t.Errorf("%v, %+v", err, after)
		}
	})

	t.Run("a new argument", func(t *testing.T) {
		type now struct {
			Stop func(ctx context.Context, id string, grace int32, force bool) error `bsrpc:"(,,optional)"`
		}
		old, notes := served(t)
		var forced bool
		v := pageVerdict(t, "### Arguments", "an optional last parameter")
		equal(t, nil, v, verdict{"fits; calls that set it fail", "fits", "servers"})
		o, n := bothOrders(t, v, "Stop", old, &now{func(_ context.Context, _ string, grace int32, force bool) error {
			notes.grace, forced = grace, force
			return nil
		}})
		err := o.Stop(ctx, "c1", 5)
		equal(t, err, []any{notes.grace, forced}, []any{int32(5), false})
		err = n.Stop(ctx, "c1", 6, false)
		equal(t, err, notes.grace, int32(6))
		wantUnknown(t, "", n.Stop(ctx, "c1", 7, true), "Runner.Stop, parameter 3: the server does not know it")
		equal(t, nil, notes.grace, int32(6)) // not run
	})

	t.Run("another default", func(t *testing.T) {
		// A grace of 0 meant 10 seconds, and means 30: both ends bind, and neither notices.
		type now struct {
			Stop func(ctx context.Context, id string, grace int32) error
		}
		old, notes := served(t)
		waited := int32(-1)
		o, n := bothOrders(t, verdict{"fits", "fits", ""}, "Stop", old, &now{func(_ context.Context, _ string, grace int32) error {
			if waited = grace; grace == 0 {
				waited = 30
			}
			return nil
		}})
		err := o.Stop(ctx, "c1", 0)
		equal(t, err, waited, int32(30)) // the caller meant 10
		notes.grace = -1
		err = n.Stop(ctx, "c1", 0)
		equal(t, err, notes.grace, int32(0)) // the server takes 10

		// As the page says, by a new field or parameter: old callers keep the old meaning.
		type fixed struct {
			Stop func(ctx context.Context, id string, grace, seconds int32) error `bsrpc:"(,,optional)"`
		}
		f := bindPlanned[runner](t, "fits", "Stop", &fixed{func(_ context.Context, _ string, grace, seconds int32) error {
			switch waited = seconds; {
			case seconds == 0 && grace == 0:
				waited = 10
			case seconds == 0:
				waited = grace
			}
			return nil
		}})
		err = f.Stop(ctx, "c1", 0)
		equal(t, err, waited, int32(10))
	})

	t.Run("remove a method", func(t *testing.T) {
		type now struct {
			Stop func(ctx context.Context, id string, grace int32) error
		}
		old, notes := served(t)
		v := pageVerdict(t, "### Methods", "a method is removed")
		equal(t, nil, v, verdict{"fits", "a mismatch", "clients, all of them"})
		type released struct { // the part of the released contract that concerns it
			Stop  func(ctx context.Context, id string, grace int32) error
			Pause func(ctx context.Context, id string) error
		}
		part := &released{old.Stop, old.Pause}
		o, n := bothOrders(t, v, "Pause", part, &now{func(context.Context, string, int32) error { return nil }})
		misfits(t, o.Pause(ctx, "c1"))
		err := o.Stop(ctx, "c1", 1)
		equal(t, err, nil, nil) // the others can be called
		err = n.Stop(ctx, "c1", 2)
		equal(t, err, notes.grace, int32(2))

		type careful struct { // a client that was told in time
			Stop  func(ctx context.Context, id string, grace int32) error
			Pause func(ctx context.Context, id string) error `bsrpc:"optional"`
		}
		c := bindPlanned[careful](t, "fits", "Pause", &now{func(context.Context, string, int32) error { return nil }})
		wantError(t, c.Pause(ctx, "c1"), bsrpc.CodeUnimplemented, bsrpc.OutcomeNotRun, "Runner.Pause: the server does not have this optional method")
		c = bindPlanned[careful](t, "fits", "Pause", part)
		err = c.Pause(ctx, "c1")
		equal(t, err, notes.paused, true)
	})
}
