package bsrpc

import (
	"fmt"
)

// exception makes an error that a basic peer is told by a name of Python's or
// of the package's own.
func exception(name, format string, args ...any) *Error {
	return &Error{Name: name, Message: fmt.Sprintf(format, args...)}
}
