package basic

import (
	"net"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// checkInit returns the exception for a frame that is not an INIT of this version, nil
// for one. closes reports whether the connection ends with the exception.
func checkInit(f *Frame) (e *fault.Fault, closes bool) {
	if f.Refused != nil {
		return f.Refused, false
	}
	if f.Type == wire.BasicRequest {
		return errNotInitialized, false
	}
	if f.Type != wire.Init {
		return unexpected(f), false
	}
	major, ok := wire.ReadBasicMajor(f.Payload)
	switch {
	case !ok:
		return Exception("ValueError", "Cannot deserialize version, insufficient bytes: %d. Expected 3", len(f.Payload)), true
	case major != 0:
		return Exception("ProtocolError", "Incorrect major version: %d. Expected 0", major), false
	}
	return nil, false
}

// AwaitInit returns the first INIT of a client, beginning with frame f. It answers
// anything else by an exception. If this exception is to end the connection, AwaitInit
// returns it as refusal, unsent.
func AwaitInit(nc net.Conn, f Frame) (init Frame, refusal *fault.Fault, err error) {
	for {
		e, closes := checkInit(&f)
		if e == nil || closes {
			return f, e, nil
		}
		if _, err = nc.Write(wire.AppendException(nil, e.Name, e.Message)); err == nil {
			f, err = ReadFrame(nc, wire.MaxInit)
		}
		if err != nil {
			return f, nil, err
		}
	}
}

// Unsupported returns the exception for a first frame at a server without the basic wire.
func Unsupported(f *Frame) *fault.Fault {
	switch e, closes := checkInit(f); {
	case f.Type != wire.Init:
		return errNotInitialized
	case closes:
		return e
	}
	return errUnsupported
}
