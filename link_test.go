package bsrpc

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/bsrpc/bsrpc/internal/codec"
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/method"
)

// An echo is a link without a connection: it answers each call with its arguments.
type echo struct {
	noLink
	calls []string
	err   error
}

func (e *echo) bind(ctx context.Context, service string, proxy reflect.Value) error {
	return bindContract(ctx, e, service, proxy)
}

func (e *echo) bindMethods(_ context.Context, _ string, methods []*boundMethod) error {
	for i, m := range methods {
		m.bind(e, uint16(i))
	}
	return nil
}

func (e *echo) call(_ context.Context, m *boundMethod, _ *binding, v *method.Values) error {
	e.calls = append(e.calls, m.Name)
	if e.err != nil {
		return e.err
	}
	var enc codec.Encoder
	if err := m.Sig.AppendArgs(&enc, v); err != nil {
		return err
	}
	v.Dec.Data = bytes.Clone(enc.Buf)
	return method.ReadResults(m.Sig, v)
}

// A proxy only binds and calls through its link.
func TestProxiesCallAnyLink(t *testing.T) {
	type contract struct {
		Pair func(ctx context.Context, s string, n int64) (string, int64, error)
		One  func(p *[]byte) (*[]byte, error)
	}
	e := new(echo)
	proxy, err := Bind[contract](t.Context(), e, "S")
	if err != nil {
		t.Fatal(err)
	}
	if s, n, err := proxy.Pair(t.Context(), "a", -1); s != "a" || n != -1 || err != nil {
		t.Errorf("Pair: %q, %d, %v", s, n, err)
	}
	b := []byte("b")
	if p, err := proxy.One(&b); err != nil || p == &b || string(*p) != "b" {
		t.Errorf("One: %v, %v", p, err)
	}
	e.err = fault.Refusal(fault.Unavailable, "no connection")
	_, err = proxy.One(nil)
	wantCall(t, err, CodeUnavailable, OutcomeNotRun, "S.One: no connection")
	e.err = errors.New("its own")
	if _, err := proxy.One(nil); err != e.err {
		t.Errorf("got %v, want the link's error", err)
	}
	_, _, err = proxy.Pair(nil, "", 0)
	wantCall(t, err, CodeInvalidArgument, OutcomeNotRun, "nil context")
	if n := len(e.calls); n != 4 {
		t.Errorf("the link was called for %q", e.calls)
	}
}
