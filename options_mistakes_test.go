package bsrpc_test

import (
	"encoding/json"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
)

const (
	wantSize     = `: want a whole number, or a size such as "16MiB", have `
	wantDuration = `: want a duration as text with its unit, such as "1m30s" or "250ms", have `
	serverKeys   = "; the keys are MaxMessage, MaxInflight, HandshakeTimeout, MaxSessions, MaxWaiting, RefuseWhenFull, SessionMaxHold, GroupMaxHold, MaxConcurrentCalls, DefaultCallTimeout, MaxStreams, Basic, OperatorRole, HideDescription, SocketMode, Limits"
)

// Each line is a key of a configuration file, its value, and what is wrong:
// when it is decoded, or else when the server serves.
var optionMistakes = []struct {
	key   string
	value any
	want  string
}{
	// Keys.
	{"MaxMesage", 1, `unknown key "MaxMesage"; did you mean MaxMessage?`},
	{"max.message", 1, `unknown key "max.message"; did you mean MaxMessage?`},
	{"MaxConns", 100, `unknown key "MaxConns"; it belongs in the map Limits`},
	{"write-stall", "5s", `unknown key "write-stall"; it belongs in the map Limits`},
	{"limits.MaxConns", 100, `unknown key "limits.MaxConns"; it belongs in the map Limits`},
	{"Limits", map[string]any{"MaxCons": 1}, `Limits: unknown key "MaxCons"; did you mean MaxConns?`},
	{"Limits", map[string]any{"MaxMessage": 1}, `Limits: unknown key "MaxMessage"; the keys are MaxDepth, `},
	{"password", "hunter2", `unknown key "password"` + serverKeys},
	{"OnConnect", "hunter2", "OnConnect: cannot be set from a map: its type is func(context.Context, *bsrpc.Session) error; set the field in Go"},
	{"Logger", slog.Default(), "Logger: cannot be set from a map: its type is *slog.Logger; set the field in Go"},

	// Kinds.
	{"MaxMessage", nil, "MaxMessage" + wantSize + "no value"},
	{"MaxMessage", true, "MaxMessage" + wantSize + "a bool"},
	{"MaxMessage", "hunter2", "MaxMessage" + wantSize + "other text"},
	{"MaxMessage", "16MB", "MaxMessage" + wantSize + "other text"},
	{"MaxMessage", "16 mib", "MaxMessage" + wantSize + "other text"},
	{"MaxMessage", "1.5GiB", "MaxMessage" + wantSize + "other text"},
	{"MaxMessage", 1.5, "MaxMessage" + wantSize + "a fraction"},
	{"MaxMessage", json.Number("1.5"), "MaxMessage" + wantSize + "a fraction or an exponent"},
	{"MaxMessage", 1e300, "MaxMessage" + wantSize + "a number too large"},
	{"MaxMessage", "99999999TiB", "MaxMessage" + wantSize + "a number too large"},
	{"MaxMessage", "99999999999999999999", "MaxMessage" + wantSize + "a number too large"},
	{"MaxMessage", time.Second, "MaxMessage" + wantSize + "a duration"},
	{"MaxMessage", []any{1}, "MaxMessage" + wantSize + "a list"},
	{"MaxMessage", map[string]any{}, "MaxMessage" + wantSize + "a map"},
	{"HandshakeTimeout", 10, "HandshakeTimeout" + wantDuration + "a number without a unit"},
	{"HandshakeTimeout", "10", "HandshakeTimeout" + wantDuration + "a number without a unit"},
	{"HandshakeTimeout", 1.5, "HandshakeTimeout" + wantDuration + "a number without a unit"},
	{"HandshakeTimeout", "-1", "HandshakeTimeout" + wantDuration + "a number without a unit"},
	{"HandshakeTimeout", "ten seconds", "HandshakeTimeout" + wantDuration + "other text"},
	{"HandshakeTimeout", "10 s", "HandshakeTimeout" + wantDuration + "other text"},
	{"RefuseWhenFull", "yes", "RefuseWhenFull: want true or false, have text"},
	{"Basic", 1, "Basic: want true or false, have a number"},
	{"Limits", 100, "Limits: want a map with the keys MaxDepth, "},
	{"Limits", map[string]any{"WriteStall": 5}, "Limits.WriteStall" + wantDuration + "a number without a unit"},

	// Ranges.
	{"MaxMessage", "1025MiB", "MaxMessage: want 1 B to 1 GiB, or 0 for 16 MiB"},
	{"MaxMessage", "NoLimit", "MaxMessage: want 1 B to 1 GiB, or 0 for 16 MiB"},
	{"MaxMessage", -1, "MaxMessage: want 1 B to 1 GiB, or 0 for 16 MiB"},
	{"MaxInflight", -2, "MaxInflight: want 1 or more, NoLimit (-1), or 0 for 1024"},
	{"HandshakeTimeout", "-5s", "HandshakeTimeout: want 1ms or more, NoLimit (-1), or 0 for 10s"},
	{"HandshakeTimeout", "5us", "HandshakeTimeout: want 1ms or more, NoLimit (-1), or 0 for 10s"},
	{"Limits", map[string]any{"ConnBytes": "1MiB"}, "Limits.ConnBytes: want 32 MiB (2 x MaxMessage) or more, NoLimit (-1), or 0 for 32 MiB"},
	{"Limits", map[string]any{"MaxDepth": "NoLimit"}, "Limits.MaxDepth: want 1 to 10000, or 0 for 64"},
}

func TestOptionMistakes(t *testing.T) {
	for _, test := range optionMistakes {
		opts, err := bsrpc.DecodeServerOptions(map[string]any{test.key: test.value})
		if err == nil {
			err = bsrpc.NewServer(opts).Serve(closedListener(t))
		}
		if err == nil || !strings.HasPrefix(err.Error(), "bsrpc: ServerOptions: "+test.want) {
			t.Errorf("%s of %T:\n\t%v\nwant\n\tbsrpc: ServerOptions: %s", test.key, test.value, err, test.want)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error holds the value", test.key)
		}
	}
}

// closedListener returns a listener from which nothing comes.
func closedListener(t *testing.T) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	return l
}

// A configuration file can contain NoLimit.
func TestNoLimitAsText(t *testing.T) {
	opts, err := bsrpc.DecodeServerOptions(map[string]any{
		"max-inflight": "NoLimit", "handshake-timeout": "nolimit", "limits": map[string]any{"conn-bytes": "NoLimit", "max-conns": -1},
	})
	if err != nil || opts.MaxInflight != bsrpc.NoLimit || opts.HandshakeTimeout != bsrpc.NoLimit ||
		opts.Limits.ConnBytes != bsrpc.NoLimit || opts.Limits.MaxConns != bsrpc.NoLimit {
		t.Errorf("%+v, %v", opts, err)
	}
}
