package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/layout"
	"github.com/bsrpc/bsrpc/trace"
)

// compare returns what differs, or why that cannot be told.
func (r *replay) compare(c *liveCall) (list []change, why string) {
	failed := c.failure
	if failed == nil && !c.leaves() {
		failed = c.out.failure
	}
	if old, now := failed, failureOfCall(c.err); old != nil || now != nil {
		if old != nil && now != nil && old.Code == now.Code && old.Name == now.Name {
			return nil, "" // messages are for people
		}
		return []change{{errorPlace, textOf(old), textOf(now)}}, ""
	}
	switch {
	case c.recordedCall.results == nil:
		return nil, "the layout of its results is unknown"
	case c.answer == nil:
		return nil, "its results are above 1 MiB"
	}
	body := c.answer
	old := c.recordedCall.results
	for i := range max(len(old.Results), len(c.method.layout.Results)) {
		was, now := at(old.Results, i), at(c.method.layout.Results, i)
		place, skip := fmt.Sprintf("result %d", i+1), r.ignores(c, i)
		if was != nil && now != nil && isStream(was) && isStream(now) {
			if skip.whole() {
				continue
			}
			more, ok := r.compareStream(c, i, was, now, skip.below("[]"))
			if !ok {
				return nil, "an item is above 1 MiB, or not valid"
			}
			list = append(list, more...)
			continue
		}
		var text, live json.RawMessage
		if was != nil && !isStream(was) {
			var err error
			if text, body, err = (layout.JSON{MaxSize: -1}).Decode(nil, was, body); err != nil {
				return nil, place + " of the recording is not valid"
			}
		}
		if i < len(c.results) {
			live = c.results[i]
		}
		list = append(list, r.between(c, i, false, place, text, live, skip)...)
	}
	return list, ""
}

// at returns an element of a list of results, nil behind its end.
func at(list []*layout.Type, i int) *layout.Type {
	if i < len(list) {
		return list[i]
	}
	return nil
}

func isStream(l *layout.Type) bool { return l.Kind == layout.Stream || l.Kind == layout.Reader }

// between returns the differences of two values, or items, of result i, except at the places to skip. One
// that is nil is absent.
func (r *replay) between(c *liveCall, i int, item bool, place string, old, now json.RawMessage, skip places) []change {
	oldMasked, nowMasked := old, now
	if !r.showValues {
		oldMasked, nowMasked = c.masks(i, item, old, now)
	}
	list, more := maskedChanges(old, now, oldMasked, nowMasked, skip)
	for i := range list {
		switch sub := list[i].Place; {
		case sub == hidden.Place:
			list[i].Place = place + " " + sub
		case sub != "" && sub[0] != '[':
			list[i].Place = place + "." + sub
		default:
			list[i].Place = place + sub
		}
	}
	if more > 0 {
		list = append(list, change{Place: fmt.Sprintf("%s: and %d more", place, more)})
	}
	return list
}

// masks masks the two values of result i, or of an item of it. What one of the servers tags secret
// is so in both. If nothing is known of the recorded layout, all of it is secret.
func (c *liveCall) masks(i int, item bool, old, now json.RawMessage) (oldMasked, nowMasked json.RawMessage) {
	secret := (&call{method: c.method}).secrets(i, item)
	known := c.method.layout.String() == c.recordedCall.results.String()
	if c.about != nil && c.about.layout.String() == c.recordedCall.results.String() {
		secret, known = append(secret, (&call{method: c.about}).secrets(i, item)...), true
	}
	mask := func(l *layout.Type, text json.RawMessage) json.RawMessage {
		switch {
		case text == nil || l == nil:
			return text
		case item:
			l = l.Elem
		}
		return masked(l, text, secret)
	}
	if oldMasked = mask(at(c.recordedCall.results.Results, i), old); !known && old != nil {
		oldMasked = json.RawMessage(stars)
	}
	return oldMasked, mask(at(c.method.layout.Results, i), now)
}

// compareStream compares the result streams, except at the places to skip in items. ok is false if the
// recorded items are not all there.
func (r *replay) compareStream(c *liveCall, i int, was, now *layout.Type, skip places) (list []change, ok bool) {
	place := fmt.Sprintf("result %d", i+1)
	if was.Kind == layout.Reader {
		old := bytes.Join(c.out.items, nil)
		if c.leaves() {
			old = old[:min(len(old), len(c.bytes))]
		}
		if bytes.Equal(old, c.bytes) {
			return nil, true
		}
		n := 0
		for n < min(len(old), len(c.bytes)) && old[n] == c.bytes[n] {
			n++
		}
		return []change{{Place: fmt.Sprintf("%s differs from byte %d on", place, n)}}, true
	}
	if c.out.missing {
		return nil, false
	}
	items, ok := c.out.json(was.Elem)
	if !ok {
		return nil, false
	}
	for n := range max(len(items), len(c.items)) {
		var old, now json.RawMessage
		if n < len(items) {
			old = items[n]
		}
		if n < len(c.items) {
			now = c.items[n]
		}
		if list = append(list, r.between(c, i, true, fmt.Sprintf("%s[%d]", place, n), old, now, skip)...); len(list) > maxChanges {
			return append(list[:maxChanges], change{Place: place + ": and more"}), true
		}
	}
	return list, true
}

// failureOfCall returns the error of a call as a trace has it, nil without one.
func failureOfCall(err error) *trace.Failure {
	if err == nil {
		return nil
	}
	f := failureOf(err)
	t := &trace.Failure{Name: f.Name, Message: f.Message}
	var e *bsrpc.Error
	if errors.As(err, &e) {
		t.Code = uint16(e.Code)
	}
	return t
}

// textOf returns the text of a failure as JSON.
func textOf(f *trace.Failure) json.RawMessage {
	text := "none"
	if f != nil {
		text = f.String()
	}
	return quoted(text)
}
