package main

import (
	"testing"

	"github.com/bsrpc/bsrpc/introspect"
	"github.com/bsrpc/bsrpc/layout"
)

// An example is a call with values that fit, unless it would be long.
func TestExample(t *testing.T) {
	for text, want := range map[string]string{
		"A.M()": "",
		"A.M(stream(int.le4), reader, func(int.le4) oneway)": "A.M @FILE @FILE null",
		"A.M(string.le4, int.le8, float.le4, bool)":          "A.M '' 0 0 false",
		"A.M(time, duration, bytes.le4)":                     "A.M 0001-01-01T00:00:00Z 0s ''",
		"A.M({N []{M map[string.le4]uint.le8; P *bool}})":    `A.M '{"N": [{"M": {}, "P": null}]}'`,
		"A.M({Next *^2; Kids []^2; Name string.le1})":        `A.M '{"Next": null, "Kids": [], "Name": ""}'`,
		"A.M([3]uint.le1)":                                   "A.M '[0, 0, 0]'",
		"A.M([16][16][16][16][16]uint.le1)":                  "",
		"A.M([100000000]uint.le1)":                           "",
	} {
		l, err := layout.ParseMethod(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		m := &method{introspect.Method{Name: "A.M", Layout: text}, l}
		if got := m.example(); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
