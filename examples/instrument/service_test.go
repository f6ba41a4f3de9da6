//go:build bsrpc_long

package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/bsrpctest"
)

// A testServer is a server with its rack, in memory, and its transcript.
type testServer struct {
	*bsrpc.Server
	says *transcript
}

func newTestServer(t *testing.T) testServer {
	t.Helper()
	says := newTranscript(new(bytes.Buffer))
	srv, err := newServer(45*time.Second, says)
	if err != nil {
		t.Fatal(err)
	}
	return testServer{srv, says}
}

// dial is a dialFunc.
func (srv testServer) dial(ctx context.Context, opts *bsrpc.ClientOptions) (*bsrpc.Client, error) {
	near, far := net.Pipe()
	go srv.ServeConn(far)
	return bsrpc.NewClient(ctx, near, opts)
}

func (srv testServer) said() string {
	srv.says.mu.Lock()
	defer srv.says.mu.Unlock()
	return srv.says.out.(*bytes.Buffer).String()
}

// saidBy returns the lines of one speaker.
func (srv testServer) saidBy(name string) string {
	var b strings.Builder
	for line := range strings.Lines(srv.said()) {
		if strings.HasPrefix(line, name+" ") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// armed connects a client, configures and arms the instrument.
func (srv testServer) armed(t *testing.T) *Scope {
	t.Helper()
	scope := bsrpctest.Bind[Scope](t, srv.Server, "Scope")
	if err := errors.Join(scope.Configure(t.Context(), defaultSettings), scope.Arm(t.Context())); err != nil {
		t.Fatal(err)
	}
	return scope
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// wantError checks the name and text of an error from the server.
func wantError(t *testing.T, what string, err error, name, text string) {
	t.Helper()
	var e *bsrpc.Error
	if !errors.As(err, &e) || e.Name != name || e.Message != text || e.Outcome != bsrpc.OutcomeAnswered {
		t.Errorf("%s: %v\nwant %s: %s", what, describe(err), name, text)
	}
}

// python/scope.py repeats the contract by hand. A change here also requires a change
// there, and breaks existing scripts.
func TestPythonContract(t *testing.T) {
	srv := newTestServer(t)
	defer srv.Close()
	const settings = "{Label string.le1; Drive uint.le2; Range uint.le2; Rate uint.be4; Samples uint.be4}"
	const statistics = "{Samples uint.be4; Periods uint.be4; Min float.be4; Max float.be4; Mean float.be4}"
	want := []string{
		" Rack.Give([]string.le4)",
		" Rack.Take([]string.le4)",
		" Rack.Users() []{Instrument string.le4; Session uint.le8; Waiting int.le8}",
		"id=1 Scope.Identify() string.le4",
		"id=10 Load.Set(uint.le2)",
		"id=11 Load.Level() uint.le2",
		"id=2 Scope.Configure(" + settings + ")",
		"id=3 Scope.Settings() " + settings,
		"id=4 Scope.Arm()",
		"id=5 Scope.Acquire(uint.le1) []float.be4",
		"id=6 Scope.Statistics() " + statistics,
		"id=7 Scope.Abort()",
		"id=8 Supply.Set(uint.le2)",
		"id=9 Supply.Level() uint.le2",
	}
	var got []string
	contracts := map[string]reflect.Type{"Rack": reflect.TypeFor[Rack](), "Scope": reflect.TypeFor[Scope](), "Supply": reflect.TypeFor[Supply](), "Load": reflect.TypeFor[Load]()}
	ids := regexp.MustCompile(`id=\d+`)
	for _, m := range srv.Methods() {
		service, name, _ := strings.Cut(m.Name, ".")
		field, _ := contracts[service].FieldByName(name)
		got = append(got, ids.FindString(field.Tag.Get("bsrpc"))+" "+m.Layout)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestSettings(t *testing.T) {
	srv := newTestServer(t)
	defer srv.Close()
	scope := bsrpctest.Bind[Scope](t, srv.Server, "Scope")
	_, err := scope.Settings(t.Context())
	wantError(t, "before Configure", err, "NotConfigured", "no settings yet; call Configure")
	for _, s := range []Settings{
		defaultSettings,
		{Label: "", Drive: 1, Range: 10, Rate: 10_000, Samples: 1},
		{Label: strings.Repeat("é", 16), Drive: 5_000, Range: 10_000, Rate: 1_000_000, Samples: 1_000_000},
	} {
		if err := scope.Configure(t.Context(), s); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
		if got, err := scope.Settings(t.Context()); got != s || err != nil {
			t.Errorf("Settings() = %+v, %v; want %+v", got, err, s)
		}
	}
}

// The instrument refuses invalid settings with a named error. Settings out of range for
// the wire format are not sent at all. The old settings remain in both cases.
func TestSettingsRefused(t *testing.T) {
	srv := newTestServer(t)
	defer srv.Close()
	scope := bsrpctest.Bind[Scope](t, srv.Server, "Scope")
	if err := scope.Configure(t.Context(), defaultSettings); err != nil {
		t.Fatal(err)
	}
	for text, s := range map[string]Settings{
		"Drive: 0 mV, want 1 to 5000": {Range: 10, Rate: 10_000, Samples: 1},
		"Range: 9 mV, want 10 to 10000; Rate: 9999 samples/s, want 10000 to 1000000":            {Drive: 1, Range: 9, Rate: 9_999, Samples: 1},
		"Rate: 1000001 samples/s, want 10000 to 1000000; Samples: 0 samples, want 1 to 1000000": {Drive: 1, Range: 10, Rate: 1_000_001},
		"Drive: 5001 mV, want 1 to 5000; Samples: 1000001 samples, want 1 to 1000000":           {Drive: 5_001, Range: 10, Rate: 10_000, Samples: 1_000_001},
	} {
		wantError(t, "Configure", scope.Configure(t.Context(), s), "ValueError", text)
	}
	long, odd, wide := defaultSettings, defaultSettings, defaultSettings
	long.Label, odd.Label, wide.Range = strings.Repeat("x", 33), "\xff", 70_000
	for field, s := range map[string]Settings{"Settings.Label": long, "Settings.Label: ": odd, "Settings.Range: does not fit in 2 bytes": wide} {
		err := scope.Configure(t.Context(), s)
		var e *bsrpc.Error
		if !errors.As(err, &e) || e.Remote || e.Outcome != bsrpc.OutcomeNotRun || !strings.Contains(e.Message, field) {
			t.Errorf("Configure(%+v): %v; want %q", s, err, field)
		}
	}
	if got, err := scope.Settings(t.Context()); got != defaultSettings || err != nil {
		t.Errorf("afterwards: %+v, %v", got, err)
	}
}

// An acquisition may take 45 s, by the timeout in its tag.
func TestAcquire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newTestServer(t)
		scope := bsrpctest.Bind[Scope](t, srv.Server, "Scope")
		if err := scope.Configure(t.Context(), defaultSettings); err != nil {
			t.Fatal(err)
		}
		_, err := scope.Acquire(t.Context(), 1)
		wantError(t, "before Arm", err, "NotArmed", "the output is off; call Arm")
		_, err = scope.Statistics(t.Context())
		wantError(t, "before Acquire", err, "NoWaveform", "nothing acquired yet; call Acquire")

		check(t, scope.Arm(t.Context()))
		_, err = scope.Acquire(t.Context(), 3)
		wantError(t, "channel 3", err, "ValueError", "channel 3, want 1 or 2")
		start := time.Now()
		w, err := scope.Acquire(t.Context(), 2)
		if took := time.Since(start); err != nil || took != 45*time.Second {
			t.Fatalf("took %v, %v", took, err)
		}
		if len(w) != 2000 || w[0] != 0 || w[5] != -0.5 || w[15] != 0.5 || w[1] != -0.154508 {
			t.Errorf("%d samples, beginning %v", len(w), w[:16])
		}
		want := Statistics{Samples: 2000, Periods: 100, Min: -0.5, Max: 0.5}
		if st, err := scope.Statistics(t.Context()); st != want || err != nil {
			t.Errorf("Statistics() = %+v, %v; want %+v", st, err, want)
		}
		srv.Close()
	})
}

// A caller giving up stops the instrument and keeps its session.
func TestGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newTestServer(t)
		scope := srv.armed(t)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := scope.Acquire(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("given up: %v", err)
		}
		start := time.Now()
		if w, err := scope.Acquire(t.Context(), 1); len(w) != 2000 || err != nil {
			t.Errorf("afterwards: %d samples, %v", len(w), err)
		}
		if took := time.Since(start); took != 45*time.Second {
			t.Errorf("the next acquisition took %v: it has waited for the previous one", took)
		}
		srv.Close()
	})
}

// Abort does not wait for the converter. Calls waiting for it continue once it is free.
func TestAbort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newTestServer(t)
		scope := srv.armed(t)
		check(t, scope.Abort(t.Context())) // without an acquisition it only switches off
		check(t, scope.Arm(t.Context()))
		acquired, armed := make(chan error, 1), make(chan error, 1)
		go func() {
			_, err := scope.Acquire(t.Context(), 1)
			acquired <- err
		}()
		synctest.Wait()
		go func() { armed <- scope.Arm(t.Context()) }()
		time.Sleep(10 * time.Second)
		start := time.Now()
		check(t, scope.Abort(t.Context()))
		wantError(t, "Acquire", <-acquired, "Aborted", "the acquisition was aborted")
		check(t, <-armed)
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v", took)
		}
		srv.Close()
		const want = "scope   output on, 1000 mV\nscope   output off\n"
		if n := strings.Count(srv.said(), want); n != 3 {
			t.Errorf("the output went on and off %d times, want 3\n%s", n, srv.said())
		}
	})
}

// The instrument is safe after a lost connection.
func TestConnectionLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newTestServer(t)
		near, far := net.Pipe()
		go srv.ServeConn(far)
		client, err := bsrpc.NewClient(t.Context(), near, &bsrpc.ClientOptions{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		scope, err := bsrpc.Bind[Scope](t.Context(), client, "Scope")
		if err != nil {
			t.Fatal(err)
		}
		check(t, errors.Join(scope.Configure(t.Context(), defaultSettings), scope.Arm(t.Context())))
		go scope.Acquire(t.Context(), 1)
		time.Sleep(10 * time.Second)
		near.Close()
		synctest.Wait()
		if want := "output off\nrack    session 1 left after 3 calls in 10s\n"; !strings.HasSuffix(srv.said(), want) {
			t.Errorf("said\n%swant it to end in\n%s", srv.said(), want)
		}
		client.Close()
		srv.Close()
	})
}

// Clients wait in line, learn their places, and find the instruments without settings.
func TestLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newTestServer(t)
		first, err := connect(t.Context(), srv.dial)
		if err != nil {
			t.Fatal(err)
		}
		check(t, errors.Join(first.scope.Configure(t.Context(), defaultSettings), first.scope.Arm(t.Context())))
		left := make(chan error, 2)
		for _, name := range []string{"second", "third"} {
			go func() { left <- takeOver(t.Context(), srv.dial, srv.says.as(name), nil) }()
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		first.Close()
		check(t, errors.Join(<-left, <-left))
		synctest.Wait()
		srv.Close()
		const second = `second  session 1 has the scope
second  the supply is at 0 mV; I set the load, which is free
second  the scope is in use; my place in line is 1
second  it is my turn; are there settings?
second    NotConfigured: no settings yet; call Configure
`
		const third = `third   session 1 has the scope
third   the supply is at 0 mV; I set the load, which is free
third   the scope is in use; my place in line is 2
third   it is my turn; are there settings?
third     NotConfigured: no settings yet; call Configure
`
		const rack = `rack    session 1, pipe, has connected
rack    session 1 has the scope
rack    session 2, pipe, has connected
rack    session 3, pipe, has connected
rack    session 1 left after 2 calls in 1m2s
rack    session 2 has the scope and the supply
rack    session 2 left after 6 calls in 1m2s
rack    session 3 has the scope and the supply
rack    session 3 left after 6 calls in 1m1s
`
		for speaker, want := range map[string]string{"second": second, "third": third, "rack": rack} {
			got := srv.saidBy(speaker)
			// The second gives the instruments back at once: the third may have them before it hears of
			// being next. And a session leaves while the next one begins.
			got = strings.Replace(got, "third   the scope is in use; my place in line is 1\n", "", 1)
			if speaker == "rack" {
				got, want = sortedLines(got), sortedLines(want)
			}
			if got != want {
				t.Errorf("%s said\n%swant\n%s", speaker, got, want)
			}
		}
	})
}

func sortedLines(text string) string {
	return strings.Join(slices.Sorted(strings.Lines(text)), "")
}

// One session has an instrument; others watch it, and may stop it. Others have other instruments.
func TestWatching(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newTestServer(t)
		scope := srv.armed(t)
		other, err := connect(t.Context(), srv.dial)
		if err != nil {
			t.Fatal(err)
		}
		acquired := make(chan error, 1)
		go func() {
			_, err := scope.Acquire(t.Context(), 1)
			acquired <- err
		}()
		time.Sleep(time.Second)
		if s, err := other.scope.Settings(t.Context()); s != defaultSettings || err != nil {
			t.Errorf("another client sees %+v, %v", s, err)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var e *bsrpc.Error
		if err := other.scope.Arm(short); !errors.As(err, &e) || e.Outcome != bsrpc.OutcomeNotRun {
			t.Errorf("another client arms: %v", err)
		}
		check(t, other.rack.Take(t.Context(), []string{"load", "supply"}))
		check(t, errors.Join(other.supply.Set(t.Context(), 3300), other.load.Set(t.Context(), 100)))
		users, err := other.rack.Users(t.Context())
		want := []User{{"load", 2, 0}, {"scope", 1, 0}, {"supply", 2, 0}}
		if !slices.Equal(users, want) || err != nil {
			t.Errorf("users: %v, %v", users, err)
		}
		check(t, other.scope.Abort(t.Context()))
		wantError(t, "Acquire", <-acquired, "Aborted", "the acquisition was aborted")
		check(t, other.rack.Give(t.Context(), []string{"load", "scope"}))
		load, errLoad := other.load.Level(t.Context())
		supply, errSupply := other.supply.Level(t.Context())
		if check(t, errors.Join(errLoad, errSupply)); load != 0 || supply != 3300 {
			t.Errorf("the load is at %d, the supply at %d", load, supply)
		}
		other.Close()
		srv.Close()
	})
}
