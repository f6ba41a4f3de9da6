package bsrpc

import (
	"context"
	"fmt"
	"reflect"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/method"
)

// A Factory makes a receiver for each session. PerSession makes one, and
// Register, RegisterName and RegisterAs take it in place of a receiver. The same
// Factory may be registered under several names: a session has one receiver of it.
type Factory struct{ maker *maker }

type maker struct {
	typ  reflect.Type // of what is made; methods have a pointer to it, or itself if it is one
	make func(context.Context, *Session) (any, error)
}

// PerSession returns a Factory whose receivers live as long as one session. make
// is called after OnConnect, under a context that ends when the client goes; its
// error refuses the session. If R has Close() or Close() error, that is called
// when the session has left and none of its handlers runs, before OnDisconnect.
//
// R is the type whose methods are registered, a pointer as a rule: PerSession
// takes the place of the value that Register would be given.
func PerSession[R any](make func(context.Context, *Session) (R, error)) Factory {
	m := &maker{typ: reflect.TypeFor[R]()}
	if make != nil {
		m.make = func(ctx context.Context, s *Session) (any, error) { return make(ctx, s) }
	}
	return Factory{m}
}

// split returns a Made and its maker for a Factory, and any other receiver as it is.
// A Factory that cannot make one is a problem.
func split(service string, given any) (any, *maker, []method.Problem) {
	f, ok := given.(Factory)
	switch {
	case !ok:
		return given, nil, nil
	case f.maker == nil:
		return nil, nil, []method.Problem{{Path: service, Text: "zero Factory; use PerSession"}}
	case f.maker.make == nil:
		return nil, nil, []method.Problem{{Path: service, Text: fmt.Sprintf("PerSession[%v]: nil func", f.maker.typ)}}
	}
	return method.Made{Type: f.maker.typ}, f.maker, nil
}

// receiver makes the receiver of one session.
func (m *maker) receiver(ctx context.Context, s *Session) (r method.Receiver, err error) {
	made, err := m.make(ctx, s)
	if err != nil {
		return r, err
	}
	r, ok := method.ReceiverOf(made)
	if !ok {
		return r, fault.Refusal(fault.Internal, "PerSession[%v] returned nil without an error", m.typ)
	}
	return r, nil
}
