// Package strictmap decodes a map, from a configuration file, into a
// struct. It is strict: no lossy conversions, unknown keys or duplicates.
package strictmap

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mitchellh/mapstructure"
)

// Decode sets the fields of the struct at into from the keys of in. If there
// are errors it reports all of them, joined, and changes nothing. Fields
// without a key keep their values.
//
// A key is the name of an exported field in any case, with or without a - or _
// between its words: MaxMessage, maxmessage, max-message, MAX_MESSAGE. The type
// of the field determines the values:
//
//	bool           true or false
//	string         text
//	int8 to uint   a whole number of any numeric type, or a number or size as text: "512", "16MiB"
//	fs.FileMode    text with octal permissions, "0660"
//	time.Duration  text with a unit, "1m30s", or a time.Duration
//	both           "NoLimit", meaning -1
//	struct         a map
//	slice          a list of any of these
//
// Fields of other types cannot be set from a map, and there are no other
// conversions. An unknown or duplicate key, a nil value or a value out of range
// is an error with the key and the expected type. Errors never contain a value:
// it may be a secret.
func Decode(in map[string]any, into any) error {
	target := reflect.ValueOf(into)
	if target.Kind() != reflect.Pointer || target.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("strictmap: Decode into %T, not a pointer to a struct", into))
	}
	// Decode into a copy: a failed Decode must not change the target.
	result := reflect.New(target.Type().Elem())
	result.Elem().Set(target.Elem())

	var c checker
	decoder, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		DecodeHook:  c.check,
		ErrorUnused: true,
		ZeroFields:  true, // replace existing slices instead of merging into them
		MatchName:   func(key, field string) bool { return key == field },
		TagName:     " ", // disables tags: none can have this key
		Result:      result.Interface(),
	})
	if err == nil {
		err = decoder.Decode(entry{value: in})
	}
	if len(c.problems) > 0 {
		return errors.Join(c.problems...)
	}
	if err != nil { // do not wrap it: its text may quote a value
		return fmt.Errorf("a value does not fit %s", target.Type().Elem())
	}
	target.Elem().Set(result.Elem())
	return nil
}

// An entry is a value with its path. Mapstructure passes no path to decode
// hooks, so all values are wrapped in entries.
type entry struct {
	path  string
	value any
}

// A checker is the decode hook. It converts each value to the exact type of its
// field, so that mapstructure's own, weaker conversions never run.
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

// check is called for each entry with its destination. It returns the value to
// set. After a problem that is the zero value, and Decode discards the result.
func (c *checker) check(from, to reflect.Value) (any, error) {
	e := from.Interface().(entry)
	if e.value != nil {
		if made, ok := c.convert(e, to.Type()); ok {
			return made, nil
		}
	}
	c.problem(e.path, "want %s, have %s", want(to.Type()), have(e.value, to.Type()))
	return reflect.Zero(to.Type()).Interface(), nil
}

// convert returns the value of e as a value of type t, if it is valid.
func (c *checker) convert(e entry, t reflect.Type) (made any, ok bool) {
	v := reflect.ValueOf(e.value)
	switch {
	case t == modeType:
		return mode(e.value)
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

// want describes the valid values of type t.
func want(t reflect.Type) string {
	switch k := t.Kind(); {
	case t == modeType:
		return `permissions as octal text, such as "0660"`
	case t == durationType:
		return `a duration as text with its unit, such as "1m30s" or "250ms"`
	case isInt(k) || isUint(k):
		return wantInteger(t)
	case k == reflect.Bool:
		return "true or false"
	case k == reflect.Struct:
		return "a map with the keys " + strings.Join(settable(t), ", ")
	case k == reflect.Slice:
		return "a list"
	}
	return "text"
}

// have describes a value invalid for type t, without quoting it.
func have(v any, t reflect.Type) string {
	switch k := reflect.ValueOf(v).Kind(); {
	case v == nil:
		return "no value"
	case k == reflect.String && isNumber(t):
		return haveString(reflect.ValueOf(v).String(), t)
	case reflect.TypeOf(v) == reflect.TypeFor[string]():
		return "text"
	case k == reflect.Bool:
		return "a bool"
	case reflect.TypeOf(v) == durationType:
		return "a duration"
	case isInt(k) || isUint(k) || k == reflect.Float32 || k == reflect.Float64:
		return haveNumber(reflect.ValueOf(v), t)
	case k == reflect.Map && t.Kind() == reflect.Struct:
		return "a map with other keys than text"
	case k == reflect.Map:
		return "a map"
	case k == reflect.Slice || k == reflect.Array:
		return "a list"
	}
	return "a " + reflect.TypeOf(v).String()
}

// elements returns the entries of a list.
func elements(path string, list reflect.Value) []entry {
	entries := make([]entry, list.Len())
	for i := range entries {
		entries[i] = entry{fmt.Sprintf("%s[%d]", path, i), list.Index(i).Interface()}
	}
	return entries
}

// fields returns the entries of in by field name of the struct type t.
func (c *checker) fields(path string, in reflect.Value, t reflect.Type) map[string]any {
	entries := make(map[string]any)
	keyOf := make(map[string]string) // field name to key
	for _, key := range sortedKeys(in) {
		f, known := findField(t, key)
		if !known {
			c.problem(path, "unknown key %s", unknownKey(key, t))
			continue
		}
		place := key
		if path != "" {
			place = path + "." + key
		}
		if before, twice := keyOf[f.Name]; twice {
			c.problem(place, "sets the same field as %s; keep one of them", before)
			continue
		}
		keyOf[f.Name] = key
		if !isSettable(f.Type) {
			c.problem(place, "cannot be set from a map: its type is %s; set the field in Go", f.Type)
			continue
		}
		// MapIndex needs a key of the map's own key type.
		value := in.MapIndex(reflect.ValueOf(key).Convert(in.Type().Key()))
		entries[f.Name] = entry{place, value.Interface()}
	}
	return entries
}

// sortedKeys returns the keys of m in a fixed order, for reproducible errors.
func sortedKeys(m reflect.Value) []string {
	keys := make([]string, 0, m.Len())
	for _, k := range m.MapKeys() {
		keys = append(keys, k.String())
	}
	slices.Sort(keys)
	return keys
}

// findField returns the exported field of t named by key.
func findField(t reflect.Type, key string) (reflect.StructField, bool) {
	if f, ok := t.FieldByName(key); ok && f.IsExported() && len(f.Index) == 1 {
		return f, true
	}
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() && matches(key, f.Name) {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

// settable returns the names of t's settable fields.
func settable(t reflect.Type) []string {
	var list []string
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() && isSettable(f.Type) {
			list = append(list, f.Name)
		}
	}
	return list
}

// isSettable reports whether a map can set fields of type t.
func isSettable(t reflect.Type) bool {
	switch k := t.Kind(); k {
	case reflect.Bool, reflect.String, reflect.Struct:
		return true
	case reflect.Slice:
		return isSettable(t.Elem())
	default:
		return isInt(k) || isUint(k)
	}
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	modeType     = reflect.TypeFor[fs.FileMode]()
)

// mode returns the permissions in octal text with a leading 0. Numbers are refused: 660 and 0660
// are easily taken for each other.
func mode(v any) (made any, ok bool) {
	text, isText := v.(string)
	n, err := strconv.ParseUint(text, 8, 9)
	return fs.FileMode(n), isText && err == nil && strings.HasPrefix(text, "0")
}
