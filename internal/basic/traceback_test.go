package basic

import (
	"strings"
	"testing"
)

func TestTraceback(t *testing.T) {
	const head = "Traceback (most recent call last):\n  File \"server.py\", line 3, in f\n    raise Failure\n"
	for _, tt := range []struct{ name, text, want string }{
		{"ValueError", "", ""},
		{"ValueError", "bare message", "bare message"},
		{"ValueError", "bare\nof two lines\n", "bare\nof two lines\n"},
		{"ValueError", head + "ValueError: too small\n", "too small"},
		{"ValueError", head + "ValueError: too small", "too small"},
		{"ValueError", head + "ValueError: of\ntwo lines\n", "of\ntwo lines"},
		{"ValueError", head + "ValueError: ends in a newline\n\n", "ends in a newline\n"},
		{"ValueError", head + "ValueError: \n", ""},
		{"ValueError", head + "ValueError\n", ""},
		{"ValueError", head + "ValueError", ""},
		{"Broken", head + "instrument.errors.Broken: smoke\n", "smoke"},
		{"Broken", head + "instrument.make.<locals>.Broken: smoke\n", "smoke"},
		{"Broken", head + "NotBroken: smoke\n", head + "NotBroken: smoke\n"},
		{"Broken", head + "not a module.Broken: smoke\n", head + "not a module.Broken: smoke\n"},
		{"KeyError", head + "KeyError: 'x'\n\nDuring handling of the above exception, another exception occurred:\n\n" + head + "KeyError: 'y'\n", "'y'"},
		{"TypeError", head + "KeyError: 'x'\n\nThe above exception was the direct cause of the following exception:\n\n" + head + "TypeError: no\n", "no"},
		{"ValueError", head + "ValueError: first\nValueError: a message's own line\n", "a message's own line"},
		{"ValueError", head + "ValueError: see: that\n", "see: that"},
		{"ValueError", head + "ValueError:no space\n", head + "ValueError:no space\n"},
		{"", head + ": nothing\n", head + ": nothing\n"},
	} {
		if got := messageOf(tt.name, tt.text); got != tt.want {
			t.Errorf("%s in %q: got %q, want %q", tt.name, tt.text, got, tt.want)
		}
	}
}

func FuzzTraceback(f *testing.F) {
	f.Add("ValueError", "Traceback (most recent call last):\n  File \"s.py\"\nValueError: a\nb\n")
	f.Add("X", "a.b.<locals>.X: y")
	f.Fuzz(func(t *testing.T, name, text string) {
		message := messageOf(name, text)
		if !strings.Contains(text, message) {
			t.Errorf("%q is not in %q", message, text)
		}
		if name != "" && isIdentifier(name) && !strings.Contains(text, "\n"+name) {
			whole := "Traceback\n" + name + ": " + text + "\n"
			if got := messageOf(name, whole); !strings.Contains(text, "."+name) && got != text {
				t.Errorf("got %q, want %q", got, text)
			}
		}
	})
}
