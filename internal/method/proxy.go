package method

import (
	"fmt"
	"reflect"

	"github.com/bsrpc/bsrpc/internal/codec"
)

// A Stub is one func of a struct contract: the calling side of a method.
type Stub struct {
	Description
	Sig *Signature
	Tag *codec.MethodTag
	Key string // of the tag, if probably meant to be bsrpc

	index []int // of the field
}

// StubsOf returns the funcs of a struct contract. Its error lists all problems.
func StubsOf(service string, contract reflect.Type) ([]*Stub, error) {
	if contract.Kind() != reflect.Struct {
		return nil, fmt.Errorf("bsrpc: bind %s: %s", cut(service, 64), notContract(contract, "a client's is a struct of funcs"))
	}
	stubs, problems := stubsOf(service, contract)
	return stubs, ServiceError("bind", service, problems)
}

func stubsOf(service string, contract reflect.Type) (stubs []*Stub, problems []Problem) {
	wanted, problems := contractOf(service, contract)
	for _, w := range wanted {
		sig, more := compile(service+"."+w.goName, w.typ, 0, w.tag)
		if problems = append(problems, more...); more != nil {
			continue
		}
		problems = append(problems, sig.apply(service+"."+w.goName, w.tag)...)
		s := &Stub{Description: describe(service, w.name, sig), Sig: sig, Tag: w.tag, Key: w.key, index: w.index}
		if ValidService(service) == nil {
			problems = append(problems, s.problems()...)
		}
		stubs = append(stubs, s)
	}
	return stubs, problems
}

// Fill sets the stub's field of a proxy to a func that calls c.
func (s *Stub) Fill(proxy reflect.Value, c Caller) {
	s.Sig.fill(proxy.FieldByIndex(s.index), c)
}
