package bsrpc

import (
	"errors"
	"fmt"
	"strings"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/method"
)

// What a basic client is told instead of a result: the name of an exception,
// which a Python client raises, and a text. A name that it does not know is
// raised as the package's ServerError.

// Exceptions that a basic server decides by itself. The texts that are the
// package's own stand as its users match them.
var (
	errNotInitialized = exception("ProtocolError", "Need to initialize connection first")
	errInitialized    = exception("ProtocolError", "Initialization already occurred")
	errShortCommand   = exception("ProtocolError", "Insufficient bytes in command.")
	errNotBasic       = exception("ProtocolError", "this server does not speak the basic wire (ServerOptions.Basic)")
	errShutdown       = exception(serverShutdown, "the server is shutting down")
	errQueueFull      = exception("ConnectionError", "queue full")
	errOverflow       = exception("OverflowError", "int too big to convert")
)

// exception makes an error that a basic peer is told by a name of Python's or
// of the package's own.
func exception(name, format string, args ...any) *fault.Fault {
	return &fault.Fault{Name: name, Message: fmt.Sprintf(format, args...)}
}

func tooSmall(size int64) *fault.Fault {
	return exception("ProtocolError", "Reported message size too small: %d", size)
}

// pythonSafe are the exceptions of Python, and of the package, that its client
// can make of one text and that do no harm there.
const pythonSafe = " ValueError TypeError KeyError IndexError OverflowError ZeroDivisionError RuntimeError " +
	"NotImplementedError PermissionError TimeoutError ConnectionError OSError ProtocolError ServerShutdown "

// pythonUnsafe are the other exceptions among the builtins of Python up to
// 3.14 (https://docs.python.org/3/library/exceptions.html): a client would end
// by some of them, and others it cannot make.
const pythonUnsafe = " ArithmeticError AssertionError AttributeError BaseException BaseExceptionGroup BlockingIOError BrokenPipeError " +
	"BufferError BytesWarning ChildProcessError ConnectionAbortedError ConnectionRefusedError ConnectionResetError " +
	"DeprecationWarning EOFError EncodingWarning EnvironmentError Exception ExceptionGroup FileExistsError " +
	"FileNotFoundError FloatingPointError FutureWarning GeneratorExit IOError ImportError ImportWarning " +
	"IndentationError InterruptedError IsADirectoryError KeyboardInterrupt LookupError MemoryError ModuleNotFoundError " +
	"NameError NotADirectoryError PendingDeprecationWarning ProcessLookupError PythonFinalizationError RecursionError " +
	"ReferenceError ResourceWarning RuntimeWarning StopAsyncIteration StopIteration SyntaxError SyntaxWarning SystemError " +
	"SystemExit TabError UnboundLocalError UnicodeDecodeError UnicodeEncodeError UnicodeError UnicodeTranslateError " +
	"UnicodeWarning UserWarning Warning WindowsError _IncompleteInputError "

// safeException returns name if a Python client may be told it, else instead.
func safeException(name, instead string) string {
	switch padded := " " + name + " "; {
	case strings.Contains(pythonSafe, padded):
		return name
	case !method.IsIdentifier(name), strings.Contains(pythonUnsafe, padded):
		return instead
	}
	return name
}

// exceptionFrom returns what a basic client is told of a handler's error.
func exceptionFrom(err error, maxText int) *fault.Fault {
	if e, ok := publicError(err).(*Error); ok && !e.Remote {
		err = exception(e.Name, "%s", strings.TrimPrefix(e.Message, fault.Prefix))
	}
	_, f := wireError(err, maxText)
	return exception(safeException(f.Name, "RuntimeError"), "%s", cutText(f.Message, maxText))
}

// turnedAway returns what a basic client is told that OnConnect has refused.
func turnedAway(err error, maxText int) *fault.Fault {
	e := exceptionFrom(err, maxText)
	e.Name = "PermissionError"
	var namer exceptionNamer
	if errors.As(err, &namer) {
		e.Name = safeException(namer.ExceptionName(), e.Name)
	}
	return e
}
