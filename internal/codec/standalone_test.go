package codec

import (
	"reflect"
	"testing"
)

func TestStandaloneWords(t *testing.T) {
	typ := listType([]reflect.Type{reflect.TypeFor[struct{ A []byte }]()})
	noted := func(c *compiler) *node {
		n := c.node(typ, nil, location{})
		c.onlyStandalone(location{path: ".A0.A"}, "first")
		c.onlyStandalone(location{path: ".A0.A"}, "second")
		return n
	}
	const only = " is for Marshal and Unmarshal only, not for calls; send the result of Marshal as a []byte"
	c, err := compile(pathRoot{typ: typ}, noted)
	if err != nil || c.Standalone() == nil || c.Standalone().Error() != `A0.A: "first"`+only {
		t.Errorf("%v, %v", err, c.Standalone())
	}
	for _, root := range []pathRoot{{typ: typ, word: "parameter"}, {typ: typ, place: "parameter 1"}} {
		want := `parameter 1, A: "first"` + only + "\n" + `parameter 1, A: "second"` + only
		if root.word == "" {
			want = `parameter 1, A0.A: "first"` + only + "\n" + `parameter 1, A0.A: "second"` + only
		}
		if _, err := compile(root, noted); err == nil || err.Error() != want {
			t.Errorf("%v", err)
		}
	}
	if c, err = Compile(typ, nil); err != nil || c.Standalone() != nil {
		t.Errorf("%v, %v", err, c.Standalone())
	}
}
