package basic

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/bsrpc/bsrpc/internal/fault"
)

// The exceptions of a server. An exception has a name and a text, and a Python client
// raises it by its name. An unknown name becomes the package's ServerError.

// Exceptions of the library. Those with a text of the Python package keep it, because
// its users match them.
var (
	errNotInitialized = Exception("ProtocolError", "Need to initialize connection first")
	errInitialized    = Exception("ProtocolError", "Initialization already occurred")
	errShortCommand   = Exception("ProtocolError", "Insufficient bytes in command.")
	errUnsupported    = Exception("ProtocolError", "this server does not speak the basic wire (ServerOptions.Basic)")
	errShutdown       = Exception(serverShutdown, "the server is shutting down")
	errQueueFull      = Exception("ConnectionError", "queue full")
)

// Exception returns the fault for an exception by name and text.
//
//go:noinline
func Exception(name, format string, args ...any) *fault.Fault {
	return &fault.Fault{Name: name, Message: fmt.Sprintf(format, args...)}
}

// UnknownCommand returns the exception for a command without a method.
func UnknownCommand(id uint16) *fault.Fault {
	return Exception("ProtocolError", "Unknown command with id: %d", id)
}

// Overflow returns the exception for a result outside the range of its format.
func Overflow() *fault.Fault { return Exception("OverflowError", "int too big to convert") }

func tooSmall(size int64) *fault.Fault {
	return Exception("ProtocolError", "Reported message size too small: %d", size)
}

func unexpected(f *Frame) *fault.Fault {
	return Exception("ProtocolError", "Unexpected msg_type: %d", uint8(f.Type))
}

// safeNames are the exceptions of Python and of the package which a client can create
// from one text, and survives.
const safeNames = " ValueError TypeError KeyError IndexError OverflowError ZeroDivisionError RuntimeError " +
	"NotImplementedError PermissionError TimeoutError ConnectionError OSError ProtocolError ServerShutdown "

// unsafeNames are the other builtin exceptions of Python up to 3.14
// (https://docs.python.org/3/library/exceptions.html). Some end the client, some need
// other arguments.
const unsafeNames = " ArithmeticError AssertionError AttributeError BaseException BaseExceptionGroup BlockingIOError BrokenPipeError " +
	"BufferError BytesWarning ChildProcessError ConnectionAbortedError ConnectionRefusedError ConnectionResetError " +
	"DeprecationWarning EOFError EncodingWarning EnvironmentError Exception ExceptionGroup FileExistsError " +
	"FileNotFoundError FloatingPointError FutureWarning GeneratorExit IOError ImportError ImportWarning " +
	"IndentationError InterruptedError IsADirectoryError KeyboardInterrupt LookupError MemoryError ModuleNotFoundError " +
	"NameError NotADirectoryError PendingDeprecationWarning ProcessLookupError PythonFinalizationError RecursionError " +
	"ReferenceError ResourceWarning RuntimeWarning StopAsyncIteration StopIteration SyntaxError SyntaxWarning SystemError " +
	"SystemExit TabError UnboundLocalError UnicodeDecodeError UnicodeEncodeError UnicodeError UnicodeTranslateError " +
	"UnicodeWarning UserWarning Warning WindowsError _IncompleteInputError "

// SafeName returns name, or instead if a Python client must not receive name.
func SafeName(name, instead string) string {
	switch padded := " " + name + " "; {
	case strings.Contains(safeNames, padded):
		return name
	case !isIdentifier(name), strings.Contains(unsafeNames, padded):
		return instead
	}
	return name
}

// isIdentifier reports whether s is an identifier of Go, and so of Python.
func isIdentifier(s string) bool {
	for i, r := range s {
		if r != '_' && !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r)) {
			return false
		}
	}
	return s != ""
}
