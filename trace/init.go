package trace

import (
	"errors"
	"fmt"

	"github.com/bsrpc/bsrpc/internal/plural"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// initFields are the names of the fields of INIT: those of options where there is one, so that a
// reader finds them in the documentation.
var initFields = map[wire.FieldType]string{
	wire.FieldMaxMessage:   "MaxMessage",
	wire.FieldConnBytes:    "ConnBytes",
	wire.FieldMaxInflight:  "MaxInflight",
	wire.FieldPosition:     "position",
	wire.FieldPingAfter:    "PingAfter",
	wire.FieldStreamWindow: "StreamWindow",
	wire.FieldMaxStreams:   "MaxStreams",
	wire.FieldAcceptsCalls: "accepts-calls",
	wire.FieldEvolves:      "evolves",
	wire.FieldStateless:    "stateless",
	wire.FieldReconnects:   "reconnects",
	wire.FieldAuth:         "auth-follows",
}

// nativeHead is the length of the native part of an INIT before its fields: the magic and the
// version.
const nativeHead = 5

// init describes an INIT of either wire, and learns from it which one s has. A native client
// begins with a frame that is an INIT of both wires; the answer of the server decides.
func (d *Decoder) init(s *side, e *Event) {
	e.Frame = wire.Init.String()
	payload := s.buf[wire.BasicHeaderSize:]
	if s.state == native {
		e.add("", "again, which is a protocol violation")
	}
	var h *wire.Hello
	var err error
	head := 3
	if s.from == FromClient {
		h, err = wire.ReadClientInit(payload)
	} else {
		h, err = wire.ReadServerInit(payload)
		head = 1
	}
	switch {
	case errors.Is(err, wire.ErrBasic):
		d.basicInit(s, e, payload)
		return
	case h == nil:
		s.state = basic
		e.add("", "malformed: %v", err)
		return
	}
	s.state = native
	e.add("native", "%d", h.Version)
	if s.from == FromServer {
		d.welcome(e, h)
	}
	if h.Version == wire.NativeVersion {
		addInitFields(e, payload[head+nativeHead:])
	}
	if err != nil {
		e.add("", "malformed: %s", quote(err.Error(), maxMessage))
	}
}

// welcome describes the decision of a server. An INIT with 0 is a refusal if it has a reason,
// and otherwise the beginning of a wait.
func (d *Decoder) welcome(e *Event, h *wire.Hello) {
	switch {
	case h.RefusalCode != 0:
		e.Failure = &Failure{Code: h.RefusalCode, Message: h.Refusal}
		e.add("", "refused")
	case h.Waiting:
		e.add("", "waiting")
	default:
		e.add("", "admitted")
	}
}

// addInitFields adds the fields of an INIT in their order on the wire. Unknown ones are shown by
// number: later versions will have some.
func addInitFields(e *Event, fields []byte) {
	// The error is that of ReadClientInit, already shown.
	wire.ReadFields(fields, func(t wire.FieldType, v []byte) (bool, error) {
		name, known := initFields[t]
		switch {
		case t == wire.FieldRefusal: // a Failure
		case !known || len(v) > 8:
			e.add(fmt.Sprintf("field-%04x", uint16(t)), "%s", hexOf(v, 16))
		case len(v) == 1 && v[0] == 1:
			e.add("", "%s", name)
		case t == wire.FieldPingAfter:
			e.add(name, "%dms", numberOf(v))
		default:
			e.add(name, "%d", numberOf(v))
		}
		return true, nil
	})
}

// auth describes an AUTH frame. The token is never shown, neither in the line nor in the hex
// dump, where the name of the user is masked with it. The error of a malformed frame could
// quote some of it.
func (e *Event) auth(frame []byte, most int) {
	e.from, e.to = frameHead, len(frame)
	user, token, err := wire.ReadAuth(frame[wire.BasicHeaderSize:])
	if err != nil {
		e.add("", "malformed")
		return
	}
	e.add("user", "%s", quote(user, most))
	e.add("token", "%s", plural.Of(len(token), "byte"))
}
