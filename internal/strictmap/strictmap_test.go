package strictmap

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type options struct {
	MaxMessage int
	Port       int16
	Small      uint8
	Wide       uint64
	HTTPName   string
	Wait       time.Duration
	On         bool
	Level      level
	Limits     limits
	Roles      []string
	Places     []limits
	Hook       func()
	Any        any
	Next       *options
	hidden     int
}

type level int8

type limits struct{ DecodeBudget, MaxDepth int }

// TestDecode decodes one key per row, with the resulting struct or the exact
// error.
func TestDecode(t *testing.T) {
	tests := []struct {
		key   string
		value any
		want  options
		err   string
	}{
		{key: "MaxMessage", value: 5, want: options{MaxMessage: 5}},
		{key: "maxmessage", value: int8(-1), want: options{MaxMessage: -1}},
		{key: "max-message", value: uint64(7), want: options{MaxMessage: 7}},
		{key: "MAX_MESSAGE", value: "512", want: options{MaxMessage: 512}},
		{key: "MaxMessage", value: "16MiB", want: options{MaxMessage: 16 << 20}},
		{key: "MaxMessage", value: "1 KiB", want: options{MaxMessage: 1 << 10}},
		{key: "MaxMessage", value: "-2GiB", want: options{MaxMessage: -2 << 30}},
		{key: "MaxMessage", value: "12B", want: options{MaxMessage: 12}},
		{key: "MaxMessage", value: 3.0, want: options{MaxMessage: 3}},
		{key: "MaxMessage", value: json.Number("4"), want: options{MaxMessage: 4}},
		{key: "Wide", value: uint64(math.MaxUint64), want: options{Wide: math.MaxUint64}},
		{key: "Wide", value: "3TiB", want: options{Wide: 3 << 40}},
		{key: "Wide", value: "-0", want: options{}},
		{key: "Port", value: -32768, want: options{Port: -32768}},
		{key: "Level", value: -128, want: options{Level: -128}},
		{key: "http_name", value: "x", want: options{HTTPName: "x"}},
		{key: "Wait", value: "1m30s", want: options{Wait: 90 * time.Second}},
		{key: "Wait", value: "2h", want: options{Wait: 2 * time.Hour}},
		{key: "Wait", value: "NoLimit", want: options{Wait: -1}},
		{key: "MaxMessage", value: "nolimit", want: options{MaxMessage: -1}},
		{key: "Wait", value: time.Second, want: options{Wait: time.Second}},
		{key: "On", value: true, want: options{On: true}},
		{key: "limits", value: map[string]any{"max-depth": 3}, want: options{Limits: limits{MaxDepth: 3}}},
		{key: "limits", value: map[string]string{"DecodeBudget": "1KiB"}, want: options{Limits: limits{DecodeBudget: 1024}}},
		{key: "roles", value: []any{"a", "b"}, want: options{Roles: []string{"a", "b"}}},
		{key: "roles", value: []string{}, want: options{Roles: []string{}}},
		{key: "places", value: []any{map[string]any{"MaxDepth": 1}}, want: options{Places: []limits{{MaxDepth: 1}}}},

		{key: "MaxMessage", value: 1.9, err: wantInt("MaxMessage", "a fraction")},
		{key: "MaxMessage", value: math.NaN(), err: wantInt("MaxMessage", "a fraction")},
		{key: "MaxMessage", value: math.Inf(1), err: wantInt("MaxMessage", "a number too large")},
		{key: "MaxMessage", value: 1e17, err: wantInt("MaxMessage", "a number too large")},
		{key: "MaxMessage", value: uint64(1 << 63), err: wantInt("MaxMessage", "a number too large")},
		{key: "MaxMessage", value: "1.5GiB", err: wantInt("MaxMessage", "other text")},
		{key: "MaxMessage", value: "16MB", err: wantInt("MaxMessage", "other text")},
		{key: "MaxMessage", value: "MiB", err: wantInt("MaxMessage", "other text")},
		{key: "MaxMessage", value: "--1", err: wantInt("MaxMessage", "other text")},
		{key: "MaxMessage", value: "", err: wantInt("MaxMessage", "other text")},
		{key: "MaxMessage", value: "16777216TiB", err: wantInt("MaxMessage", "a number too large")},
		{key: "MaxMessage", value: time.Second, err: wantInt("MaxMessage", "a duration")},
		{key: "MaxMessage", value: true, err: wantInt("MaxMessage", "a bool")},
		{key: "MaxMessage", value: []any{1}, err: wantInt("MaxMessage", "a list")},
		{key: "max_message", value: nil, err: wantInt("max_message", "no value")},
		{key: "Port", value: 70000, err: "Port: want a whole number from -32768 to 32767, have a number too large"},
		{key: "Small", value: -1, err: "Small: want a whole number from 0 to 255, have a number too small"},
		{key: "Small", value: "1KiB", err: "Small: want a whole number from 0 to 255, have a number too large"},
		{key: "Wide", value: -1, err: wantInt("Wide", "a number too small")},
		{key: "Level", value: 128, err: "Level: want a whole number from -128 to 127, have a number too large"},
		{key: "HTTPName", value: 5, err: "HTTPName: want text, have a number"},
		{key: "HTTPName", value: json.Number("5"), err: "HTTPName: want text, have a json.Number"},
		{key: "Wait", value: 10, err: wantDuration + "a number without a unit"},
		{key: "Wait", value: "10", err: wantDuration + "a number without a unit"},
		{key: "Wait", value: "0", err: wantDuration + "a number without a unit"},
		{key: "Wait", value: 1.5, err: wantDuration + "a number without a unit"},
		{key: "Wait", value: "soon", err: wantDuration + "other text"},
		{key: "Wait", value: true, err: wantDuration + "a bool"},
		{key: "MaxMessage", value: json.Number("1e3"), err: wantInt("MaxMessage", "a fraction or an exponent")},
		{key: "MaxMessage", value: "99999999999999999999KiB", err: wantInt("MaxMessage", "a number too large")},
		{key: "Wait", value: nil, err: wantDuration + "no value"},
		{key: "On", value: "true", err: "On: want true or false, have text"},
		{key: "On", value: 1, err: "On: want true or false, have a number"},
		{key: "Roles", value: "a", err: "Roles: want a list, have text"},
		{key: "Roles", value: []any{"a", nil}, err: "Roles[1]: want text, have no value"},
		{key: "Limits", value: 5, err: "Limits: want a map with the keys DecodeBudget, MaxDepth, have a number"},
		{key: "Limits", value: limits{}, err: "Limits: want a map with the keys DecodeBudget, MaxDepth, have a strictmap.limits"},
		{key: "Limits", value: map[int]any{1: 1}, err: "Limits: want a map with the keys DecodeBudget, MaxDepth, have a map with other keys than text"},
		{key: "limits", value: map[string]any{"max-depth": "x"}, err: wantInt("limits.max-depth", "other text")},
		{key: "places", value: []any{map[string]any{"Max": 1}}, err: `places[0]: unknown key "Max"; the keys are DecodeBudget, MaxDepth`},
		{key: "limits", value: map[string]any{"MaxDeth": 1}, err: `limits: unknown key "MaxDeth"; did you mean MaxDepth?`},

		{key: "max-depth", value: 1, err: `unknown key "max-depth"; it belongs in the map Limits`},
		{key: "limits.max-depth", value: 1, err: `unknown key "limits.max-depth"; it belongs in the map Limits`},
		{key: "max--message", value: 1, err: `unknown key "max--message"; did you mean MaxMessage?`},
		{key: "ma-xmessage", value: 1, err: `unknown key "ma-xmessage"; did you mean MaxMessage?`},
		{key: "http-nam", value: 1, err: `unknown key "http-nam"; did you mean HTTPName?`},
		{key: "max-message-", value: 1, err: `unknown key "max-message-"; did you mean MaxMessage?`},
		{key: "hidden", value: 1, err: `unknown key "hidden"; the keys are ` + allKeys},
		{key: "", value: 1, err: `unknown key ""; the keys are ` + allKeys},
		{key: strings.Repeat("k", 100), value: 1, err: `unknown key "` + strings.Repeat("k", 64) + `"...; the keys are ` + allKeys},
		{key: "Hook", value: func() {}, err: "Hook: cannot be set from a map: its type is func(); set the field in Go"},
		{key: "Any", value: 1, err: "Any: cannot be set from a map: its type is interface {}; set the field in Go"},
		{key: "Next", value: map[string]any{}, err: "Next: cannot be set from a map: its type is *strictmap.options; set the field in Go"},
		{key: "Next", value: nil, err: "Next: cannot be set from a map: its type is *strictmap.options; set the field in Go"},
	}
	for _, test := range tests {
		var got options
		err := Decode(map[string]any{test.key: test.value}, &got)
		if text := textOf(err); text != test.err {
			t.Errorf("%q: %T:\nerror %s\nwant  %s", test.key, test.value, text, test.err)
		}
		if got.hidden != 0 {
			t.Errorf("%q: %T: set an unexported field", test.key, test.value)
		}
		if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(options{})); diff != "" {
			t.Errorf("%q: %T: -want +got\n%s", test.key, test.value, diff)
		}
	}
}

const (
	allKeys      = "MaxMessage, Port, Small, Wide, HTTPName, Wait, On, Level, Limits, Roles, Places"
	wantDuration = `Wait: want a duration as text with its unit, such as "1m30s" or "250ms", have `
)

func wantInt(key, have string) string {
	return key + `: want a whole number, or a size such as "16MiB", have ` + have
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestDecodeReportsAll(t *testing.T) {
	got := options{Port: 80, Roles: []string{"kept"}}
	before := got
	err := Decode(map[string]any{
		"max-message": 1, "MaxMessage": 2, "port": 70000, "roles": []string{"x"},
		"limits": map[string]any{"MaxDepth": nil, "other": 1}, "secret": "hunter2",
	}, &got)
	want := strings.Join([]string{
		"max-message: sets the same field as MaxMessage; keep one of them",
		`unknown key "secret"; the keys are ` + allKeys,
		"port: want a whole number from -32768 to 32767, have a number too large",
		`limits: unknown key "other"; the keys are DecodeBudget, MaxDepth`,
		wantInt("limits.MaxDepth", "no value"),
	}, "\n")
	if diff := cmp.Diff(want, textOf(err)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if diff := cmp.Diff(before, got, cmp.AllowUnexported(options{})); diff != "" {
		t.Errorf("a failed Decode changed the struct: -want +got\n%s", diff)
	}
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) || len(joined.Unwrap()) != 5 {
		t.Errorf("want 5 joined errors, have %T", err)
	}
}

func TestDecodeKeepsOtherFields(t *testing.T) {
	got := options{Port: 80, Roles: []string{"a", "b"}, Limits: limits{MaxDepth: 9}}
	err := Decode(map[string]any{"roles": []string{"c"}, "limits": map[string]any{"decode-budget": 1}}, &got)
	want := options{Port: 80, Roles: []string{"c"}, Limits: limits{DecodeBudget: 1, MaxDepth: 9}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(options{})); diff != "" || err != nil {
		t.Errorf("error %v; -want +got\n%s", err, diff)
	}
	if err := Decode(nil, &got); err != nil {
		t.Errorf("no map: %v", err)
	}
}

// Tags of mapstructure or bsrpc must not rename a field.
func TestDecodeIgnoresTags(t *testing.T) {
	var got struct {
		A int `mapstructure:"b" bsrpc:"le4"`
	}
	if err := Decode(map[string]any{"a": 1}, &got); err != nil || got.A != 1 {
		t.Errorf("A = %d, error %v", got.A, err)
	}
}

func TestDecodePanics(t *testing.T) {
	for _, into := range []any{nil, options{}, new(int), (*options)(nil)} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Decode into %T did not panic", into)
				}
			}()
			_ = Decode(nil, into)
		}()
	}
}
