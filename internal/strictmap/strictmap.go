// Package strictmap sets the fields of a struct from a map, as read from a
// configuration file or from a tag, and lets nothing pass that was not meant.
package strictmap

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/mitchellh/mapstructure"
)

// Decode sets fields of the struct that into points to from the keys of in,
// or reports everything that is wrong with in and changes nothing. Fields
// without a key keep their values.
//
// A key is the name of an exported field in any case, with or without a - or _
// between its words: MaxMessage, maxmessage, max-message, MAX_MESSAGE. What a
// key may hold is said by the type of its field:
//
//	bool           true or false
//	string         text
//	int8 to uint   a whole number of any numeric type, or a number or size as text: "512", "16MiB"
//	time.Duration  text with a unit, "1m30s", or a time.Duration
//	both           "NoLimit", which is -1
//	struct         a map again
//	slice          a list of these
//
// Fields of other types cannot be set from a map. There are no other
// conversions: what does not fit, a key that is unknown, given twice or
// without a value, is an error that names the key and what it wants. No error
// holds a value, for it may be a secret.
func Decode(in map[string]any, into any) error {
	target := reflect.ValueOf(into)
	if target.Kind() != reflect.Pointer || target.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("strictmap: Decode into %T, which is no pointer to a struct", into))
	}
	result := reflect.New(target.Type().Elem())
	result.Elem().Set(target.Elem())

	var c checker
	decoder, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		DecodeHook:  c.check,
		ErrorUnused: true,
		ZeroFields:  true, // a list replaces the list that was there
		MatchName:   func(key, field string) bool { return key == field },
		TagName:     " ", // no tag has this name
		Result:      result.Interface(),
	})
	if err == nil {
		err = decoder.Decode(entry{value: in})
	}
	if len(c.problems) > 0 {
		return errors.Join(c.problems...)
	}
	if err != nil { // its text may quote a value
		return fmt.Errorf("a value does not fit %s", target.Type().Elem())
	}
	target.Elem().Set(result.Elem())
	return nil
}

// An entry is a value on its way through mapstructure, which would tell the
// hook nothing of where it stands.
type entry struct {
	path  string
	value any
}

// checker holds the decode hook: mapstructure walks the struct, and sets only
// what the hook has checked and made of exactly the field's type.
type checker struct {
	problems []error
}

func (c *checker) problem(path, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if path != "" {
		text = path + ": " + text
	}
	c.problems = append(c.problems, errors.New(text))
}

// check is called for each entry with the place that it is for. It returns
// what mapstructure is to set; after a problem that is a zero, and the whole
// result is thrown away.
func (c *checker) check(from, to reflect.Value) (any, error) {
	e := from.Interface().(entry)
	if e.value != nil {
		if made, ok := c.convert(e, to.Type()); ok {
			return made, nil
		}
	}
	c.problem(e.path, "want %s, have %s", wanted(to.Type()), given(e.value, to.Type()))
	return reflect.Zero(to.Type()).Interface(), nil
}

// convert returns the value of e for a place of type t.
func (c *checker) convert(e entry, t reflect.Type) (made any, ok bool) {
	v := reflect.ValueOf(e.value)
	switch {
	case t == durationType && isNoLimit(e.value):
		return time.Duration(-1), true
	case isInt(t.Kind()) && isNoLimit(e.value):
		return reflect.ValueOf(-1).Convert(t).Interface(), true
	case t == durationType:
		return duration(e.value)
	case isInt(t.Kind()) || isUint(t.Kind()):
		return integer(v, t)
	case t.Kind() == reflect.Struct && v.Kind() == reflect.Map && v.Type().Key().Kind() == reflect.String:
		return c.fields(e.path, v, t), true
	case t.Kind() == reflect.Slice && (v.Kind() == reflect.Slice || v.Kind() == reflect.Array):
		return elements(e.path, v), true
	case t.Kind() == reflect.Bool && v.Kind() == reflect.Bool:
		return v.Bool(), true
	case t.Kind() == reflect.String && v.Type() == reflect.TypeFor[string]():
		return v.String(), true
	}
	return nil, false
}

// wanted says in words what a place of type t takes.
func wanted(t reflect.Type) string {
	switch k := t.Kind(); {
	case t == durationType:
		return `a duration as text with its unit, such as "1m30s" or "250ms"`
	case isInt(k) || isUint(k):
		return wantedInteger(t)
	case k == reflect.Bool:
		return "true or false"
	case k == reflect.Struct:
		return "a map, whose keys are " + strings.Join(settable(t), ", ")
	case k == reflect.Slice:
		return "a list"
	}
	return "text"
}

// given says in words what a value is that does not fit a place of type t, and
// never the value.
func given(v any, t reflect.Type) string {
	switch k := reflect.ValueOf(v).Kind(); {
	case v == nil:
		return "no value"
	case k == reflect.String && isNumber(t):
		return givenText(reflect.ValueOf(v).String(), t)
	case reflect.TypeOf(v) == reflect.TypeFor[string]():
		return "text"
	case k == reflect.Bool:
		return "a bool"
	case reflect.TypeOf(v) == durationType:
		return "a duration"
	case isInt(k) || isUint(k) || k == reflect.Float32 || k == reflect.Float64:
		return givenNumber(reflect.ValueOf(v), t)
	case k == reflect.Map && t.Kind() == reflect.Struct:
		return "a map whose keys are not text"
	case k == reflect.Map:
		return "a map"
	case k == reflect.Slice || k == reflect.Array:
		return "a list"
	}
	return "a " + reflect.TypeOf(v).String()
}

// elements returns an entry for each element of a list.
func elements(path string, list reflect.Value) []entry {
	entries := make([]entry, list.Len())
	for i := range entries {
		entries[i] = entry{fmt.Sprintf("%s[%d]", path, i), list.Index(i).Interface()}
	}
	return entries
}

// fields returns an entry for each field of struct type t that a key names.
func (c *checker) fields(path string, in reflect.Value, t reflect.Type) map[string]any {
	entries := make(map[string]any)
	spelt := make(map[string]string) // field name: the key that set it
	for _, key := range sortedKeys(in) {
		f, known := find(t, key)
		if !known {
			c.problem(path, "unknown key %s", unknown(key, t))
			continue
		}
		place := key
		if path != "" {
			place = path + "." + key
		}
		if before, twice := spelt[f.Name]; twice {
			c.problem(place, "sets the same field as %s; keep one of them", before)
			continue
		}
		spelt[f.Name] = key
		if !fits(f.Type) {
			c.problem(place, "cannot be set from a map, its type is %s; set the field in Go", f.Type)
			continue
		}
		value := in.MapIndex(reflect.ValueOf(key).Convert(in.Type().Key()))
		entries[f.Name] = entry{place, value.Interface()}
	}
	return entries
}

// sortedKeys makes what is reported independent of the order of a map.
func sortedKeys(m reflect.Value) []string {
	keys := make([]string, 0, m.Len())
	for _, k := range m.MapKeys() {
		keys = append(keys, k.String())
	}
	slices.Sort(keys)
	return keys
}

// find returns the exported field of t that key names.
func find(t reflect.Type, key string) (reflect.StructField, bool) {
	if f, ok := t.FieldByName(key); ok && f.IsExported() && len(f.Index) == 1 {
		return f, true
	}
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() && names(key, f.Name) {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

// settable lists the fields of t that a map can set.
func settable(t reflect.Type) []string {
	var list []string
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() && fits(f.Type) {
			list = append(list, f.Name)
		}
	}
	return list
}

// fits reports whether values of type t can come from a map.
func fits(t reflect.Type) bool {
	switch k := t.Kind(); k {
	case reflect.Bool, reflect.String, reflect.Struct:
		return true
	case reflect.Slice:
		return fits(t.Elem())
	default:
		return isInt(k) || isUint(k)
	}
}

var durationType = reflect.TypeFor[time.Duration]()
