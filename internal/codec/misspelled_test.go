package codec

import (
	"fmt"
	"reflect"
	"testing"
)

func TestFindMisspelledKey(t *testing.T) {
	for tag, want := range map[reflect.StructTag]string{
		``:                            "",
		`bsrpc:"le4"`:                 "",
		`bsrcp:"le4"`:                 "bsrcp",
		`bsprc:"le4"`:                 "bsprc",
		`bsrp:"le4"`:                  "bsrp",
		`srpc:"le4"`:                  "srpc",
		`bbsrpc:"le4"`:                "bbsrpc",
		`bsrpcs:"le4"`:                "bsrpcs",
		`bzrpc:"le4"`:                 "bzrpc",
		`BSRPC:"le4"`:                 "BSRPC",
		`json:"price" Bsrcp:"le4"`:    "Bsrcp",
		`bsrcp:"le4" bsrpc:"le4"`:     "", // for two libraries
		`bsrpc:"le4" bsrcp:"le4"`:     "",
		`bson:"le4"`:                  "",
		`rpc:"le4"`:                   "",
		`json:"bsrcp:\"le4\""`:        "",
		`bsrcp`:                       "",
		`b:"x" bs:"y" bsrcp:"z" q:`:   "bsrcp",
		`protobuf:"bytes,1,opt,name"`: "",
	} {
		if got := FindMisspelledKey(tag); got != want {
			t.Errorf("%s: got %q, want %q", tag, got, want)
		}
	}
}

type misspelling struct {
	Price  int `bsrcp:"le4"`
	Lines  []misspelledLine
	Next   *misspelling
	hidden int `bsrcp:"le4"`
	Left   struct {
		Out int `bsrcp:"le4"`
	} `bsrpc:"-"`
}

type misspelledLine struct {
	Name string `BSRPC:"fixed=4"`
	Good int    `bsrpc:"le4"`
}

func TestFindMisspelledKeys(t *testing.T) {
	_ = misspelling{}.hidden
	types := []reflect.Type{reflect.TypeFor[int](), reflect.TypeFor[map[string]*misspelling](), reflect.TypeFor[misspelledLine]()}
	if got := fmt.Sprint(FindMisspelledKeys(types)); got != "[{misspelling.Price bsrcp} {misspelledLine.Name BSRPC}]" {
		t.Error(got)
	}
}
