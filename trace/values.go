package trace

import (
	"github.com/bsrpc/bsrpc/layout"
)

// Values in lines. Without the layout of a method they are hex.

// argsOf returns the layouts of arguments, or nil if they are unknown: the trace began after
// BIND, or the ends have agreed by a hash alone.
func argsOf(c *call) []*layout.Type {
	if c == nil || c.method == nil || c.method.args == nil {
		return nil
	}
	return c.method.args.Params
}

// resultsOf returns the layouts of results, or nil if they are unknown. They may be of another
// version than the arguments: each end sends its own.
func resultsOf(c *call) []*layout.Type {
	if c == nil || c.method == nil || c.method.results == nil {
		return nil
	}
	return c.method.results.Results
}

// A method with secret places is shown only where its layout is known, since the places are
// found by it.

// values describes complete arguments or results. body is nil if they were too long to keep.
func (d *Decoder) values(e *Event, types []*layout.Type, what string, body []byte) {
	e.Complete, e.Body = true, body
	if secret, ok := d.opts.shows(e.Method); ok && len(secret) == 0 && len(body) > 0 {
		e.add("", "%s", hexOf(body, d.opts.maxValue()/2))
	}
}

// itemText returns an item as it is shown, "" if it is not.
func (d *Decoder) itemText(c *call, st *stream, item []byte) string {
	if secret, ok := d.opts.shows(c.method.name); ok && len(secret) == 0 {
		return hexOf(item, d.opts.maxValue()/2)
	}
	return ""
}
