package similar

import (
	"slices"
	"strings"
	"testing"
)

func TestSimilar(t *testing.T) {
	words := []string{"Shop", "Ship", "Shops", "lab.v1.Scope", "PlaceOrder", "PlaceOrders", strings.Repeat("x", 65)}
	for key, want := range map[string]string{
		"Shoop": "Shop", "shop": "Shop Ship Shops", "Scope": "lab.v1.Scope", "lab.v2.Scope": "lab.v1.Scope", "x.lab.v1.scope": "lab.v1.Scope",
		"PlaceOrdr": "PlaceOrder PlaceOrders", "Get": "", "": "", strings.Repeat("x", 65): "", strings.Repeat("x", 64): "",
	} {
		if got := strings.Join(Similar(key, slices.Values(words), 3, 100), " "); got != want {
			t.Errorf("%q: got %q, want %q", key, got, want)
		}
	}
	if got := Similar("shop", slices.Values(words), 2, 100); !slices.Equal(got, []string{"Shop", "Ship"}) {
		t.Errorf("limit of two results: %v", got)
	}
	if got := Similar("PlaceOrder", slices.Values(words), 3, 4); got != nil {
		t.Errorf("considered more than four: %v", got)
	}
}

func TestNearest(t *testing.T) {
	fields := []string{"MaxMessage", "MaxInflight", "HandshakeTimeout", "ID"}
	tests := map[string]string{
		"max-mesage": "MaxMessage", "MaxMessages": "MaxMessage", "max in flight": "MaxInflight", "handshaketime": "HandshakeTimeout",
		"di": "ID", "idx": "ID", "timeout": "", "port": "", "": "",
	}
	for key, want := range tests {
		if got := Nearest(key, fields); got != want {
			t.Errorf("nearest to %q is %q, want %q", key, got, want)
		}
	}
}

func TestLevenshtein(t *testing.T) {
	tests := []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"kitten", "sitting", 3}, {"depth", "deth", 1}, {"ab", "ba", 1}, {"shpo", "shop", 1}, {"abc", "cab", 2},
	}
	for _, test := range tests {
		if got := editDistance(test.a, test.b); got != test.want {
			t.Errorf("%q to %q is %d, want %d", test.a, test.b, got, test.want)
		}
		if got := editDistance(test.b, test.a); got != test.want {
			t.Errorf("%q to %q is %d, want %d", test.b, test.a, got, test.want)
		}
	}
}
