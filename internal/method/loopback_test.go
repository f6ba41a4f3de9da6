package method

import (
	"bytes"
	"context"
	"reflect"
	"testing"
	"time"
)

// A loopback is the connection between a proxy and a method: what travels are the
// bytes that the codecs make, and the method runs on a goroutine of its own.
type loopback struct{ f *Func }

func (l loopback) Call(ctx context.Context, v *Values) error {
	if err := v.sig.AppendArgs(&v.Enc, v); err != nil {
		return err
	}
	request := bytes.Clone(v.Enc.Buf)
	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	var response []byte
	done := make(chan error)
	go func() {
		served := l.f.Sig.NewValues()
		defer served.Free()
		served.Ctx, served.Dec.Data = ctx, request
		err := served.ReadArgs()
		if err == nil {
			err = l.f.Invoke(nil, served)
		}
		if err == nil {
			err = served.AppendResults()
			response = bytes.Clone(served.Enc.Buf)
		}
		done <- err
	}()
	if err := <-done; err != nil {
		return err
	}
	v.Dec.Data = response
	return ReadResults(v.sig, v)
}

// bindTo returns a proxy of a contract for the methods of a table, after it has
// compared their hashes.
func bindTo(t *testing.T, table *Table[*Func], service string, contract reflect.Type) reflect.Value {
	t.Helper()
	stubs, err := StubsOf(service, contract)
	if err != nil {
		t.Fatal(err)
	}
	proxy := reflect.New(contract).Elem()
	for _, s := range stubs {
		f, ok := table.Find(s.Name)
		if !ok || f.Hash != s.Hash {
			t.Fatalf("%s: the table has %v", s.Layout, f)
		}
		s.Fill(proxy, loopback{f})
	}
	return proxy
}

type callerFunc func(context.Context, *Values) error

func (f callerFunc) Call(ctx context.Context, v *Values) error { return f(ctx, v) }

// bindable is StubsOf with funcs that are not served.
func bindable(service string, contract reflect.Type) ([]*Stub, error) {
	stubs, problems := stubsOf(service, contract)
	return stubs, ServiceError("bind", service, problems)
}
