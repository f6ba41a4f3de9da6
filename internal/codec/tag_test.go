package codec

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseMethodTag(t *testing.T) {
	for _, test := range []struct {
		tag             string
		params, results string // tags, separated by |
		want            MethodTag
	}{
		{``, "", "", MethodTag{ID: -1}},
		{`()`, "", "", MethodTag{ID: -1}},
		{`(le4,le4) le4,id=2`, "le4|le4", "le4", MethodTag{ID: 2}},
		{`(le4)`, "le4", "", MethodTag{ID: -1}},
		{`() le4`, "", "le4", MethodTag{ID: -1}},
		{`( list len=le2 elem=(len=le1 max=32) , ) (be2,varint)`, "list len=le2 elem=(len=le1 max=32)|", "be2|varint", MethodTag{ID: -1}},
		{`(,le2)`, "|le2", "", MethodTag{ID: -1}},
		{`() key=(le2) list`, "", "list key=(le2)", MethodTag{ID: -1}},
		{`id=0`, "", "", MethodTag{}},
		{`id=65535, name=Other`, "", "", MethodTag{ID: 65535, Name: "Other"}},
		{`timeout=60s,idempotent`, "", "", MethodTag{ID: -1, Timeout: time.Minute, Idempotent: true}},
		{`timeout=none,oneway,exclusive=arm`, "", "", MethodTag{ID: -1, Timeout: -1, Oneway: true, Exclusive: "arm"}},
		{`roles=admin|user`, "", "", MethodTag{ID: -1, Roles: []string{"admin", "user"}}},
	} {
		m, err := ParseMethodTag(test.tag)
		if err != nil {
			t.Errorf("%q: %v", test.tag, err)
			continue
		}
		if got := formatTags(m.Params); got != test.params {
			t.Errorf("%q: parameters %q, want %q", test.tag, got, test.params)
		}
		if got := formatTags(m.Results); got != test.results {
			t.Errorf("%q: results %q, want %q", test.tag, got, test.results)
		}
		m.Params, m.Results = nil, nil
		if !reflect.DeepEqual(*m, test.want) {
			t.Errorf("%q: %+v, want %+v", test.tag, *m, test.want)
		}
	}
}

func formatTags(list []*Tag) string {
	var b []string
	for _, tag := range list {
		b = append(b, tag.String())
	}
	return strings.Join(b, "|")
}

func TestParseMethodTagErrors(t *testing.T) {
	for tag, want := range map[string]string{
		`le4`:                    `unknown option "le4"; formats belong in the signature, as in "(le4,le4) le4"; ` + allOptions,
		`list`:                   `unknown option "list"; formats belong in the signature, as in "(le4,le4) le4"; ` + allOptions,
		`idempotnt`:              `unknown option "idempotnt"; did you mean idempotent?`,
		`onway`:                  `unknown option "onway"; did you mean oneway?`,
		`sync`:                   `unknown option "sync"; ` + allOptions,
		`ids=4`:                  `unknown option "ids="; did you mean id=?`,
		`id=65536`:               `id=65536: want a number from 0 to 65535`,
		`id=`:                    `"id=" needs a value, as in id=7`,
		`id=1,id=2`:              `duplicate option "id="`,
		`timeout=5`:              `timeout=5: want a positive duration with a unit, such as 60s, or none`,
		`timeout=-5s`:            `timeout=-5s: want a positive duration with a unit, such as 60s, or none`,
		`oneway=yes`:             `"oneway" takes no value`,
		`name=a.b`:               `name=a.b: want letters, digits and _, not starting with a digit`,
		`roles=a|`:               `roles=a|: want identifiers separated by |, or *`,
		`roles=a|a`:              `roles=a|a: duplicate role "a"`,
		`(le4`:                   `"(le4": unbalanced parentheses`,
		`(le4) (le4`:             `"(le4": unbalanced parentheses`,
		`(le4) (le4) le4`:        `"(le4) le4": unbalanced parentheses`,
		`(le4,size=3)`:           `parameter 2: unknown word "size="; ` + wordsOfValues,
		`() (le4,list list)`:     `result 2: duplicate word "list"`,
		`(nam=x)`:                `parameter 1: unknown word "nam="; ` + wordsOfValues,
		`(name=x)`:               `parameter 1: name= applies to struct fields only`,
		`(elem=(len=le1,max=2))`: `parameter 1: "len=le1,max=2": words are separated by spaces here`,
		`(le4),`:                 `missing option at a comma`,
		`(le4) le4 le8`:          `result 1: two formats, "le4" and "le8"; give one, or separate results by a comma`,
		`(le4),(le4)`:            `unknown option "(le4)"; results follow the parameters without a comma, as in "(le4,le4) le4"`,
		`(le4) le4 timeout=5s`:   `result 1: unknown word "timeout="; it is an option of a func; options follow the formats of a func's tag after a comma`,
		`Timeout=5s`:             `unknown option "Timeout="; did you mean timeout=?`,
	} {
		if m, err := ParseMethodTag(tag); fmt.Sprint(err) != want {
			t.Errorf("%q: %v, %+v\nwant %s", tag, err, m, want)
		}
	}
}
