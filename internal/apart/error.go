package apart

import (
	"bytes"
	"cmp"
	"errors"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// maxText limits the text of an error in a reply: the greatest limit that a server can have.
const maxText = 32 << 10

// Received returns the fault of a caller for one in a reply. What has carried the reply is code
// of the user, so its texts may have any length.
func Received(f *fault.Fault) *fault.Fault {
	own := *f
	own.Remote, own.Code = true, cmp.Or(f.Code, fault.Unknown)
	own.Name, own.Message, own.LogID = fault.Cut(f.Name, fault.MaxName), fault.Cut(f.Message, maxText), fault.Cut(f.LogID, fault.MaxName)
	return &own
}

// AppendError appends what travels of a received fault: the code, the outcome, whether the time of
// the call was over at the server, the identities, and the texts.
func AppendError(b []byte, f *fault.Fault, expired bool) []byte {
	var flags byte
	if expired {
		flags = 1
	}
	failure := wire.Failure{Name: f.Name, Message: f.Message, LogID: f.LogID}
	b = append(b, byte(f.Code), byte(f.Code>>8), byte(f.Outcome), flags)
	return failure.Append(wire.AppendString32(b, string(f.Identities)))
}

// ReadError reads a fault from AppendError, the whole of b.
func ReadError(b []byte) (f *fault.Fault, expired bool, err error) {
	c := wire.NewCursor(b)
	f = &fault.Fault{Code: fault.Code(c.Uint16()), Outcome: fault.Outcome(c.Uint8())}
	flags, ids := c.Uint8(), c.Bytes32()
	if err = c.Err(); err != nil {
		return nil, false, err
	}
	text, err := wire.ReadFailure(b[len(b)-c.Len():])
	if err == nil {
		_, err = wire.ReadIdentities(ids)
	}
	if err == nil && f.Code == 0 {
		err = wire.ErrNoCode
	}
	if err == nil && (f.Outcome > fault.Answered || flags > 1 || len(ids) > wire.MaxIdentityRoom) {
		err = errors.New("values out of range")
	}
	if err != nil {
		return nil, false, err
	}
	f.Name, f.Message, f.LogID, f.Identities = text.Name, text.Message, text.LogID, bytes.Clone(ids)
	return f, flags == 1, nil
}

// NeedsConnection returns why a method cannot be called without a connection, "" if it can.
func NeedsConnection(sig *method.Signature) string {
	if len(sig.ParamStreams()) > 0 || sig.ParamFuncs() != nil {
		return "a parameter that is a stream, a reader or a func needs a connection"
	}
	return ""
}

// An Addr stands for the address of an end that a transport does not know.
type Addr struct{}

// Network returns the name of the library, and String that there is no connection.
func (Addr) Network() string { return "bsrpc" }
func (Addr) String() string  { return "apart from connections" }
