package strictmap

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
