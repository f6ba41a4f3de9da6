package httpbsrpc

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/bsrpc/bsrpc/layout"
)

// appendArgs appends the encoding of arguments, which are a list in JSON. Optional parameters
// at the end may be absent. An error begins with its place in the method.
func appendArgs(b []byte, m *layout.Method, text []byte) ([]byte, error) {
	var args []json.RawMessage
	if len(bytes.TrimSpace(text)) > 0 {
		if err := json.Unmarshal(text, &args); err != nil || args == nil {
			return nil, fmt.Errorf(": want a JSON list of the arguments")
		}
	}
	if most, least := len(m.Params), len(m.Params)-m.OptionalParams; len(args) > most || len(args) < least {
		return nil, fmt.Errorf(": %d arguments; the method has %d parameters", len(args), most)
	}
	var err error
	for i, p := range m.Params {
		if i < len(args) {
			b, err = layout.ParseJSON(b, p, args[i])
		} else { // an absent field of a struct is zero
			b, err = layout.ParseJSON(b, &layout.Type{Kind: layout.Struct, Fields: []layout.Field{{Name: "absent", Type: p}}}, []byte("{}"))
		}
		if err != nil {
			return nil, fmt.Errorf(", parameter %d: %w", i+1, err)
		}
	}
	return b, nil
}

// appendResults appends the results as a list in JSON, and returns the type of a stream among
// them, which is not in the list.
func appendResults(b []byte, m *layout.Method, data []byte) (text []byte, stream *layout.Type, err error) {
	b = append(b, '[')
	first := len(b)
	for i, t := range m.Results {
		if t.Kind == layout.Stream || t.Kind == layout.Reader {
			stream = t
			continue
		}
		if len(b) > first {
			b = append(b, ',')
		}
		if b, data, err = (layout.JSON{}).Decode(b, t, data); err != nil {
			return nil, nil, fmt.Errorf(", result %d: %w", i+1, err)
		}
	}
	return append(b, ']'), stream, nil
}
