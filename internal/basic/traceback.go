package basic

import (
	"strings"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// The exceptions of a server, as faults at the client. Names and texts remain text: a
// name selects a code, and nothing else.

// exceptionCodes are the codes for exceptions of Python and of the package. All others
// are fault.Unknown.
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

// serverShutdown is the exception of a Python server for each client as it shuts down.
const serverShutdown = "ServerShutdown"

// MaxTraceback is the most that is received and kept of a traceback, in bytes.
const MaxTraceback = 64 << 10

// faultOf returns the fault for an exception.
func faultOf(name, text string, maxText int) *fault.Fault {
	f := &fault.Fault{
		Code: fault.Unknown, Name: cut(name, fault.MaxName), Message: cut(messageOf(name, text), maxText), Detail: cut(text, MaxTraceback),
		Outcome: fault.Answered, Remote: true,
	}
	if code, ok := exceptionCodes[name]; ok {
		f.Code = code
	}
	if name == serverShutdown {
		f.Outcome = fault.NotRun
	}
	return f
}

// faultOfCommand returns the fault for an exception that answers a command. A server
// without this command repeats its id. Any other id belongs to a call by the command's
// own handler.
func faultOfCommand(id uint16, name, text string, maxText int) *fault.Fault {
	f := faultOf(name, text, maxText)
	if unknown := UnknownCommand(id); name == unknown.Name && f.Message == unknown.Message {
		f.Code, f.Outcome = fault.Unimplemented, fault.NotRun
	}
	return f
}

// InitRefusal returns the fault for an EXCEPTION that answers INIT.
func InitRefusal(payload []byte, maxText int) (*fault.Fault, error) {
	name, text, err := wire.ReadException(payload)
	if err != nil {
		return nil, err
	}
	f := faultOf(name, text, maxText)
	if f.Outcome = fault.NotRun; f.Code == fault.Internal || f.Code == fault.Unknown {
		f.Code = fault.Unavailable
	}
	return f, nil
}

// cut returns at most n bytes of text from a peer, as valid UTF-8.
func cut(s string, n int) string { return fault.ValidUTF8(fault.Cut(s, n)) }

// messageOf returns the message of an exception from its traceback: the text from the
// last line beginning with the type of the exception. Without such a line the whole text
// is the message, as sent by old versions of the package.
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

// afterType returns the text after the type at its beginning, and after ": " or the end
// of the line.
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

// isModule reports whether s is the name of a module: identifiers with dots between
// them, and <locals> for a declaration in a function.
func isModule(s string) bool {
	for part := range strings.SplitSeq(s, ".") {
		if part != "<locals>" && !isIdentifier(part) {
			return false
		}
	}
	return true
}
