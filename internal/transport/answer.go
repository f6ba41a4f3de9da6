package transport

import (
	"context"
	"slices"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// The answer to a call of this end, as its caller gets it.

// setReply copies an answer into its call. The caller has yet to wake the call.
func (call *Call) setReply(m *Message) {
	call.reply = reply{m.Type, m.Flags, m.Arg, m.Own, m.Body}
	if len(m.Meta) > 0 {
		call.meta = &answerMeta{all: slices.Clone(m.Meta)}
	}
	if !m.Own {
		call.body = append(call.body[:0], m.Body...)
		call.reply.body = call.body
	}
}

// result returns the error of an answered call.
func (call *Call) result(ctx context.Context, c *Conn) error {
	if call.err != nil {
		return call.err
	}
	var meta wire.ReplyMetadata
	if call.meta != nil {
		var err error
		if meta, err = wire.ReadReplyMetadata(call.reply.typ, call.meta.all); err != nil {
			return fault.New(fault.Internal, call.reply.outcome(), "metadata of the answer: %v", err)
		}
		call.meta.entries = meta.Entries
	}
	if call.reply.typ != wire.Error {
		return nil
	}
	remote, err := c.readFault(call.reply.arg, call.reply.body)
	if err != nil {
		return fault.New(fault.Internal, call.reply.outcome(), "answer: %v", err)
	}
	remote.Outcome, remote.Identities = call.reply.outcome(), meta.Identities
	if own := call.Timeout.OwnFault(ctx, call.reply.flags&wire.Expired != 0, remote); own != nil {
		return own
	}
	return remote
}

// outcome returns the outcome of an answered call. The header of the answer tells it, even
// if the rest cannot be used.
func (r *reply) outcome() fault.Outcome {
	if r.flags&wire.NotRun != 0 {
		return fault.NotRun
	}
	return fault.Answered
}

// readFault reads the fault in an ERROR or CLOSE frame. Code 0 would be an error that counts
// as success.
func (c *Conn) readFault(code uint16, body []byte) (*fault.Fault, error) {
	if code == 0 {
		return nil, wire.ErrNoCode
	}
	f, err := wire.ReadFailure(body)
	if err != nil {
		return nil, err
	}
	return c.remoteFault(fault.Code(code), &f), nil
}

// remoteFault returns a fault sent by the peer.
func (c *Conn) remoteFault(code fault.Code, f *wire.Failure) *fault.Fault {
	return &fault.Fault{Code: code, Name: f.Name, Message: f.Message, LogID: f.LogID, Remote: true, ByClient: c.cfg.Serves}
}
