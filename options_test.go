package bsrpc

import (
	"log/slog"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bsrpc/bsrpc/internal/admission"
	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/limits"
	"github.com/bsrpc/bsrpc/internal/option"
)

var defaultSettings = settings{Settings: option.Settings{
	Conn: limits.Conn{
		MaxMessage:   16 << 20,
		MaxInflight:  1024,
		MaxErrorText: 4 << 10,
		ConnBytes:    32 << 20,
		StreamWindow: 64 << 10,
		ConnWindow:   4 << 20,
		MaxStreams:   1024,
		OutQueue:     8 << 20,
		WriteStall:   10 * time.Second,
		FrameTimeout: 60 * time.Second,
		PingAfter:    30 * time.Second,
		PingTimeout:  20 * time.Second,
		Lease:        20 * time.Second,
	},
	HandshakeTimeout:   10 * time.Second,
	DefaultCallTimeout: 20 * time.Second,
	Bounds:             codec.Bounds{Depth: 64, Budget: 64 << 20},
	MaxHandshakes:      256,
	MaxConns:           10_000,
	MaxHandlers:        16_384,
	ServerBytes:        512 << 20,
	Peers:              admission.PeerLimits{Conns: math.MaxInt, Waiting: math.MaxInt, CallRate: math.MaxInt},
	MaxSessions:        math.MaxInt,
	MaxWaiting:         64,
	SessionMaxHold:     math.MaxInt64,
	GroupMaxHold:       math.MaxInt64,
	MaxConcurrentCalls: math.MaxInt,
	DialTimeout:        10 * time.Second,
	PollInterval:       250 * time.Millisecond,
	MaxEndpoints:       8,
}}

// noLimits has NoLimit in every field that allows it.
var noLimits = Limits{
	DecodeBudget: NoLimit, MaxHandshakes: NoLimit, MaxConns: NoLimit, MaxHandlers: NoLimit,
	ConnBytes: NoLimit, ServerBytes: NoLimit, OutQueue: NoLimit, WriteStall: NoLimit, FrameTimeout: NoLimit, PingAfter: NoLimit, PingTimeout: NoLimit,
	PeerConns: NoLimit, PeerWaiting: NoLimit, PeerCallRate: NoLimit,
}

func TestOptionsResolve(t *testing.T) {
	owner := map[bool]string{true: "the server's", false: "the client's"}
	with := func(change func(*settings)) settings {
		b := defaultSettings
		change(&b)
		return b
	}
	unlimited := func(b *settings) {
		b.Bounds.Budget, b.ConnBytes, b.ServerBytes = math.MaxInt64, math.MaxInt64, math.MaxInt64
		b.MaxHandshakes, b.MaxConns, b.MaxHandlers, b.OutQueue = math.MaxInt, math.MaxInt, math.MaxInt, math.MaxInt
		b.WriteStall, b.FrameTimeout, b.PingAfter, b.PingTimeout = math.MaxInt64, math.MaxInt64, math.MaxInt64, math.MaxInt64
	}
	tests := []struct {
		name    string
		options interface{ resolve() (*settings, error) }
		want    settings
	}{
		{"no server options", (*ServerOptions)(nil), defaultSettings},
		{"no client options", (*ClientOptions)(nil), defaultSettings},
		{"zero server options", &ServerOptions{}, defaultSettings},
		{"zero client options", &ClientOptions{}, defaultSettings},
		{"server fields", &ServerOptions{MaxMessage: 1, MaxInflight: 2, HandshakeTimeout: time.Minute}, with(func(b *settings) {
			b.MaxMessage, b.MaxInflight, b.HandshakeTimeout = 1, 2, time.Minute
		})},
		{"client fields", &ClientOptions{DialTimeout: time.Minute, DefaultCallTimeout: time.Millisecond}, with(func(b *settings) {
			b.DialTimeout, b.DefaultCallTimeout = time.Minute, time.Millisecond
		})},
		{"limits", &ServerOptions{Limits: Limits{10_000, 1, 32 << 10, 2, 3, 4, 32 << 20, 16 << 20, 2048, 7, 5, time.Second, time.Hour, time.Minute, time.Hour, 0, 8, 9, 10}}, with(func(b *settings) {
			b.Bounds.Depth, b.Bounds.Budget, b.MaxErrorText = 10_000, 1, 32<<10
			b.MaxHandshakes, b.MaxConns, b.MaxHandlers, b.OutQueue = 2, 3, 4, 5
			b.ServerBytes, b.WriteStall, b.FrameTimeout = 16<<20, time.Second, time.Hour
			b.StreamWindow, b.ConnWindow = 2048, 7
			b.Peers = admission.PeerLimits{Conns: 8, Waiting: 9, CallRate: 10}
			b.PingAfter, b.PingTimeout = time.Minute, time.Hour
		})},
		{"what follows MaxMessage", &ServerOptions{MaxMessage: 1 << 30}, with(func(b *settings) {
			b.MaxMessage, b.Bounds.Budget, b.ConnBytes, b.ServerBytes = 1<<30, 4<<30, 2<<30, 2<<30
		})},
		{"what follows ConnBytes", &ClientOptions{Limits: Limits{ConnBytes: 1 << 30}}, with(func(b *settings) {
			b.ConnBytes, b.ServerBytes = 1<<30, 1<<30
		})},
		{"what follows StreamWindow", &ClientOptions{Limits: Limits{StreamWindow: 300 << 20}}, with(func(b *settings) {
			b.StreamWindow, b.ServerBytes = 300<<20, 1200<<20
		})},
		{"what follows ServerBytes", &ServerOptions{MaxMessage: 32 << 10, Limits: Limits{ServerBytes: 32 << 10}}, with(func(b *settings) {
			b.MaxMessage, b.ServerBytes, b.StreamWindow = 32<<10, 32<<10, 8<<10
		})},
		{"a connection without a limit", &ServerOptions{Limits: Limits{ConnBytes: NoLimit}}, with(func(b *settings) { b.ConnBytes = math.MaxInt64 })},
		{"no limits at a server", &ServerOptions{MaxInflight: NoLimit, HandshakeTimeout: NoLimit, Limits: noLimits}, with(func(b *settings) {
			unlimited(b)
			b.MaxInflight, b.HandshakeTimeout = math.MaxInt, math.MaxInt64
		})},
		{"no limits at a client", &ClientOptions{DialTimeout: NoLimit, DefaultCallTimeout: NoLimit, Limits: noLimits}, with(func(b *settings) {
			unlimited(b)
			b.DialTimeout, b.DefaultCallTimeout = math.MaxInt64, math.MaxInt64
		})},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.options.resolve()
			if err != nil {
				t.Error(err)
			}
			_, server := test.options.(*ServerOptions)
			test.want.Owner = owner[server]
			if diff := cmp.Diff(&test.want, got, cmp.AllowUnexported(settings{}, access{})); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// Every number out of range is reported and replaced by its default.
func TestOptionsOutOfRange(t *testing.T) {
	tests := []struct {
		name    string
		options interface{ resolve() (*settings, error) }
		want    string
	}{
		{"one", &ServerOptions{MaxMessage: NoLimit}, "bsrpc: ServerOptions: MaxMessage: want 1 B to 1 GiB, or 0 for 16 MiB"},
		{"a relation", &ClientOptions{Limits: Limits{ConnBytes: 32<<20 - 1}},
			"bsrpc: ClientOptions: Limits.ConnBytes: want 32 MiB (2 x MaxMessage) or more, NoLimit (-1), or 0 for 32 MiB"},
		{"a window above a quarter of all", &ClientOptions{Limits: Limits{StreamWindow: 8 << 20, ServerBytes: 32<<20 - 1}},
			"bsrpc: ClientOptions: Limits.ServerBytes: want 32 MiB (4 x StreamWindow) or more, NoLimit (-1), or 0 for 512 MiB"},
		{"a number without a unit", &ClientOptions{DialTimeout: 10},
			"bsrpc: ClientOptions: DialTimeout: want 1ms or more, NoLimit (-1), or 0 for 10s"},
		{"server", &ServerOptions{MaxMessage: 1<<30 + 1, MaxInflight: -2, HandshakeTimeout: -2}, `bsrpc: ServerOptions: 3 problems
    MaxMessage: want 1 B to 1 GiB, or 0 for 16 MiB
    MaxInflight: want 1 or more, NoLimit (-1), or 0 for 1024
    HandshakeTimeout: want 1ms or more, NoLimit (-1), or 0 for 10s`},
		{"client", &ClientOptions{MaxMessage: -2, DialTimeout: -2, DefaultCallTimeout: -time.Second}, `bsrpc: ClientOptions: 3 problems
    MaxMessage: want 1 B to 1 GiB, or 0 for 16 MiB
    DialTimeout: want 1ms or more, NoLimit (-1), or 0 for 10s
    DefaultCallTimeout: want 1ms or more, NoLimit (-1), or 0 for 20s`},
		{"limits", &ServerOptions{Limits: Limits{-1, -2, -1, -2, -2, -2, 1, 16<<20 - 1, -1, -1, -2, time.Microsecond, -2, -2, -2, 0, 0, 0, 0}}, `bsrpc: ServerOptions: 15 problems
    Limits.MaxDepth: want 1 to 10000, or 0 for 64
    Limits.DecodeBudget: want 1 B or more, NoLimit (-1), or 0 for 64 MiB
    Limits.MaxErrorText: want 1 B to 32 KiB, or 0 for 4 KiB
    Limits.MaxHandshakes: want 1 or more, NoLimit (-1), or 0 for 256
    Limits.MaxConns: want 1 or more, NoLimit (-1), or 0 for 10000
    Limits.MaxHandlers: want 1 or more, NoLimit (-1), or 0 for 16384
    Limits.ConnBytes: want 32 MiB (2 x MaxMessage) or more, NoLimit (-1), or 0 for 32 MiB
    Limits.StreamWindow: want 1 KiB to 1 GiB, or 0 for 64 KiB
    Limits.ServerBytes: want 16 MiB (MaxMessage) or more, NoLimit (-1), or 0 for 512 MiB
    Limits.ConnWindow: want 1 B to 1 GiB, or 0 for 4 MiB
    Limits.OutQueue: want 1 B or more, NoLimit (-1), or 0 for 8 MiB
    Limits.WriteStall: want 10ms or more, NoLimit (-1), or 0 for 10s
    Limits.FrameTimeout: want 10ms or more, NoLimit (-1), or 0 for 1m0s
    Limits.PingAfter: want 10ms or more, NoLimit (-1), or 0 for 30s
    Limits.PingTimeout: want 10ms or more, NoLimit (-1), or 0 for 20s`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.options.resolve()
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(test.want, err.Error()); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			got.Owner, got.StreamWindow = "", defaultSettings.StreamWindow // a window may be good, and the other option not
			if diff := cmp.Diff(&defaultSettings, got, cmp.AllowUnexported(settings{}, access{})); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestDecodeServerOptions(t *testing.T) {
	got, err := DecodeServerOptions(map[string]any{
		"max-message":       "64MiB",
		"MaxInflight":       10.0,
		"handshake_timeout": "5s",
		"limits": map[string]any{
			"maxconns": 100, "DECODE_BUDGET": NoLimit, "conn-bytes": "1GiB", "frame-timeout": "1m30s",
		},
	})
	want := &ServerOptions{
		MaxMessage: 64 << 20, MaxInflight: 10, HandshakeTimeout: 5 * time.Second,
		Limits: Limits{MaxConns: 100, DecodeBudget: NoLimit, ConnBytes: 1 << 30, FrameTimeout: 90 * time.Second},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error %v; -want +got\n%s", err, diff)
	}
}

func TestDecodeClientOptions(t *testing.T) {
	got, err := DecodeClientOptions(map[string]any{"dial-timeout": "5s", "DefaultCallTimeout": "1h", "limits": map[string]any{"MaxDepth": 3}})
	want := &ClientOptions{DialTimeout: 5 * time.Second, DefaultCallTimeout: time.Hour, Limits: Limits{MaxDepth: 3}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error %v; -want +got\n%s", err, diff)
	}
	if got, err := DecodeClientOptions(nil); err != nil || !reflect.DeepEqual(got, new(ClientOptions)) {
		t.Errorf("no map: %v, error %v", got, err)
	}
}

func TestDecodeOptionsErrors(t *testing.T) {
	_, err := DecodeServerOptions(map[string]any{"dial-timeout": "5s"})
	want := `bsrpc: ServerOptions: unknown key "dial-timeout"; the keys are MaxMessage, MaxInflight, HandshakeTimeout, MaxSessions, MaxWaiting, RefuseWhenFull, SessionMaxHold, GroupMaxHold, MaxConcurrentCalls, DefaultCallTimeout, MaxStreams, Basic, OperatorRole, HideDescription, SocketMode, Limits`
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	got, err := DecodeClientOptions(map[string]any{
		"DialTimeout": 10, "dial-timeout": "1s", "logger": slog.Default(), "max-mesage": 1,
		"limits": map[string]any{"MaxConns": 1.9, "WriteStall": nil},
	})
	if got != nil || err == nil {
		t.Fatalf("%v, error %v", got, err)
	}
	lines := []string{
		"bsrpc: ClientOptions: 6 problems",
		"dial-timeout: sets the same field as DialTimeout; keep one of them",
		"logger: cannot be set from a map: its type is *slog.Logger; set the field in Go",
		`unknown key "max-mesage"; did you mean MaxMessage?`,
		`DialTimeout: want a duration as text with its unit, such as "1m30s" or "250ms", have a number without a unit`,
		`limits.MaxConns: want a whole number, or a size such as "16MiB", have a fraction`,
		`limits.WriteStall: want a duration as text with its unit, such as "1m30s" or "250ms", have no value`,
	}
	for i, line := range strings.Split(err.Error(), "\n") {
		if i >= len(lines) || !strings.HasPrefix(strings.TrimSpace(line), lines[i]) {
			t.Errorf("line %d: %s", i, line)
		}
	}
}

func TestSizeText(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1: "1 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1536 B", 1 << 50: "1024 TiB"} {
		if got := option.SizeText(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
