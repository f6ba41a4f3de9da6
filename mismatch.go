package bsrpc

import (
	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/numbering"
)

// A MismatchError lists the differences between a client's contract and a server's
// methods. Bind returns it together with a proxy. Methods known only to the server are
// not a difference. If the server lacks the whole service, there is one Difference
// with the service as its Method. If a server binds over a Session, the contract is its own
// and the methods are the client's.
type MismatchError struct {
	Service     string
	Methods     int          // number of methods in the contract
	Differences []Difference // not empty; in the order of the contract
}

// A Difference is one disagreement between client and server. Client and Server are
// texts for people, and may be cut.
type Difference struct {
	Method string // "Shop.PlaceOrder"
	Place  string // "parameter 1, Order.Price", with the client's type names; "" for the method itself
	Client string // the client's layout or field names at Place; "" if it has none
	Server string // the same for the server
	Note   string // a possible cause, such as a misspelt tag key at the client
	Fix    string // a change at one end that would make them fit, by the rules of docs/evolution.md; "" if there is none
	Near   string // for a name unknown to the end with the methods: at most three similar names it has
}

// String returns the difference in one line:
// "Shop.PlaceOrder, parameter 1, Order.Price: client int.le4, server uint.le8".
func (d Difference) String() string { return numbering.Difference(d).String() }

// Error returns all differences, one a line.
func (e *MismatchError) Error() string {
	list := make([]numbering.Difference, len(e.Differences))
	for i, d := range e.Differences {
		list[i] = numbering.Difference(d)
	}
	return numbering.Text(e.Service, e.Methods, list)
}

// add adds the differences of a method, and makes its calls fail. Those of a service that
// the peer lacks are the same for each method.
func (e *MismatchError) add(m *boundMethod, found []numbering.Difference) {
	one := &MismatchError{Service: e.Service, Methods: 1}
	for _, d := range found {
		one.Differences = append(one.Differences, Difference(d))
	}
	if found[0].Method != e.Service || e.Differences == nil {
		e.Differences = append(e.Differences, one.Differences...)
	}
	why := &fault.Fault{Code: fault.FailedPrecondition, Message: one.Error(), Outcome: fault.NotRun, Err: one}
	m.refuse(fault.About(m.Name, why).(*fault.Fault))
}
