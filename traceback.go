package bsrpc

import (
	"fmt"
	"strings"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/method"
)

// What a basic server's exceptions become. Names and texts are only text here:
// nothing is looked up by them but a code.

// exceptionCodes are the codes of Python's exceptions, and of the package's
// own. Others are CodeUnknown.
var exceptionCodes = map[string]fault.Code{
	"ValueError":          fault.InvalidArgument,
	"TypeError":           fault.InvalidArgument,
	"KeyError":            fault.NotFound,
	"IndexError":          fault.OutOfRange,
	"OverflowError":       fault.OutOfRange,
	"PermissionError":     fault.PermissionDenied,
	"TimeoutError":        fault.DeadlineExceeded,
	"NotImplementedError": fault.Unimplemented,
	"ConnectionError":     fault.Unavailable,
	serverShutdown:        fault.Unavailable,
	"ProtocolError":       fault.Internal,
}

// serverShutdown is what a server of the package raises at every client when it
// shuts down.
const serverShutdown = "ServerShutdown"

// errorOfException makes the error of what a basic server answers with an
// exception.
func errorOfException(name, text string, maxText int) *fault.Fault {
	e := &fault.Fault{
		Code: fault.Unknown, Name: cutText(name, maxName), Message: cutText(messageOf(name, text), maxText), Detail: cutText(text, maxDetail),
		Outcome: fault.Answered, Remote: true,
	}
	if code, ok := exceptionCodes[name]; ok {
		e.Code = code
	}
	if name == serverShutdown {
		e.Outcome = fault.NotRun
	}
	return e
}

// answerOfException is errorOfException for the call of a command. A server that
// does not know a command repeats its id; another is that of a call which the
// command, in running, has made elsewhere.
func answerOfException(id uint16, name, text string, maxText int) *fault.Fault {
	e := errorOfException(name, text, maxText)
	if name == "ProtocolError" && e.Message == fmt.Sprintf("Unknown command with id: %d", id) {
		e.Code, e.Outcome = fault.Unimplemented, fault.NotRun
	}
	return e
}

// maxDetail is how much is kept of a traceback.
const maxDetail = 64 << 10

// cutText makes text of what a peer has sent.
func cutText(s string, n int) string { return strings.ToValidUTF8(fault.Cut(s, n), "\uFFFD") }

// refusedBy makes the error of an INIT that is answered with an exception.
func refusedBy(name, text string, maxText int) *fault.Fault {
	e := errorOfException(name, text, maxText)
	if e.Outcome = fault.NotRun; e.Code == fault.Internal || e.Code == fault.Unknown {
		e.Code = fault.Unavailable
	}
	return e
}

// messageOf takes an exception's message out of its traceback: what follows
// the last line that begins with its type, to the end. Without such a line text
// is the message, as it was before the package sent tracebacks.
func messageOf(name, text string) string {
	for end := len(text); end > 0; {
		start := strings.LastIndexByte(text[:end], '\n') + 1
		if message, ok := afterType(text[start:], name); ok {
			return strings.TrimSuffix(message, "\n")
		}
		end = start - 1
	}
	return text
}

// afterType returns what follows the type that text begins with, behind ": "
// or the end of the line.
func afterType(text, name string) (message string, ok bool) {
	line, _, _ := strings.Cut(text, "\n")
	path, _, _ := strings.Cut(line, ": ")
	if i := strings.LastIndexByte(path, '.'); name == "" || path[i+1:] != name || i >= 0 && !isModule(path[:i]) {
		return "", false
	}
	rest := text[len(path):]
	if message, ok = strings.CutPrefix(rest, ": "); ok {
		return message, true
	}
	return strings.TrimPrefix(rest, "\n"), true
}

// isModule says whether s is the name of a module: identifiers with dots, and
// <locals> for what was declared in a function.
func isModule(s string) bool {
	for part := range strings.SplitSeq(s, ".") {
		if part != "<locals>" && !method.IsIdentifier(part) {
			return false
		}
	}
	return true
}
