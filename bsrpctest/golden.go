package bsrpctest

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/layout"
)

// Golden compares a contract with the contracts released before, and fails the test if they
// do not work together: a client with the contract and each released server, and each
// released client and a server with the contract. A change that fits must be recorded. Each
// contract has a file of its own.
//
//	func TestContract(t *testing.T) {
//		bsrpctest.Golden(t, "testdata/shop.contract", Shop{})
//	}
//
// contract is a struct of funcs, or a pointer to one: only its type matters. Or it is a
// *bsrpc.Server: then all its methods are compared, registered in any way. In the texts of
// failures a client is the end that calls: for a Server in ClientOptions.Handlers that is the
// program with the other Server.
//
// The file contains the text of every method ever released, one a line behind the date of
// its release, in any order, and comments after #. Commit it with the contract. A new struct
// of funcs is recorded under the name of its type; the service in the file may be changed to
// the one on the wire. The environment changes the file:
//
//	BSRPC_GOLDEN=update go test
//	BSRPC_GOLDEN=retire:2026-01-31 go test
//	BSRPC_GOLDEN=retire-servers:2026-01-31 go test
//
// The first records a contract that fits, under the date of today in UTC, and creates a
// missing file. The second removes the texts replaced by that date, prints which programs this
// parts, and records the contract. The third removes only the servers with these texts, and
// keeps their clients: the lines are marked with the word clients. A line of a release that
// was never used may be deleted by hand.
//
// The verdict is that of layout.Compare, as in bsrpc.Bind. Golden calls tb.Error at most
// once, and does not stop the test.
func Golden(tb testing.TB, file string, contract any) {
	tb.Helper()
	if err := golden(file, contract, os.Getenv(goldenVariable)); err != nil {
		tb.Error("bsrpctest.Golden: " + err.Error())
	}
}

const goldenVariable = "BSRPC_GOLDEN"

// golden is Golden with the value of its variable. It writes the file last, and only if the
// contract fits: a failed command has no effect.
func golden(file string, contract any, value string) error {
	c, err := parseCommand(value)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(file)
	missing := errors.Is(err, os.ErrNotExist)
	if err != nil && !missing {
		return err
	}
	f, err := parseRecords(file, data)
	if err != nil {
		return err
	}
	d, err := describe(contract, f)
	if err != nil {
		return err
	}
	if missing && !c.update {
		return fmt.Errorf("%s does not exist; create it and commit it: %s=update go test", file, goldenVariable)
	}
	// Retire first: what is out of use must not keep the contract from fitting.
	var retired []retirement
	if c.retire != "" {
		retired = f.retire(d, c.retire, c.servers)
	}
	v := compareAll(d, f)
	switch {
	case len(v.misfits) > 0:
		return errors.New(v.misfitText(f, d))
	case !c.update && len(v.unrecorded) > 0:
		return errors.New(v.changeText(f, d) + "record it and commit the file: " + goldenVariable + "=update go test")
	case len(v.unrecorded)+len(retired) == 0:
		return nil
	}
	text := retirementText(f, d, retired, c.servers)
	switch {
	case c.retire == "":
		text = v.changeText(f, d) + "recorded\n"
	case len(v.unrecorded) > 0:
		text += "recorded " + d.name + " as it is now\n"
	}
	f.record(d, v.unrecorded)
	if err := f.write(); err != nil {
		return err
	}
	fmt.Print(text) // go test shows it without -v, in contrast to the log of a test
	return nil
}

// today returns the date of releases recorded now. It is the same in all time zones, so that
// the machines of a team agree. In a bubble of testing/synctest it is the bubble's.
func today() string { return time.Now().UTC().Format(time.DateOnly) }

// A command is what to do with the file after a comparison, or before.
type command struct {
	update  bool
	retire  string // the date; "" for none
	servers bool   // retire servers only
}

// parseCommand parses the value of the variable. A date to come is refused: the releases
// until then are not known.
func parseCommand(value string) (c command, err error) {
	if value == "" {
		return c, nil
	}
	if c.update = true; value == "update" {
		return c, nil
	}
	name, date, _ := strings.Cut(value, ":")
	if c.servers = name == "retire-servers"; !c.servers && name != "retire" {
		return c, fmt.Errorf("%s=%q: want update, or retire: or retire-servers: and a date, as in retire:2026-01-31", goldenVariable, value)
	}
	if _, err := time.Parse(time.DateOnly, date); err != nil || date > today() {
		return c, fmt.Errorf("%s=%q: want a date up to today, as in %s:%s", goldenVariable, value, name, today())
	}
	c.retire = date
	return c, nil
}

// A described is a contract or server as it is now.
type described struct {
	name    string // for messages
	methods []current
}

// A current is one method of a contract as it is now.
type current struct {
	layout   *layout.Method // with names of Go types, if known
	text     string
	optional bool // a server may lack it
}

// name returns the full name of c.
func (c current) name() string { return fullName(c.layout) }

// fullName returns the name of service and method.
func fullName(m *layout.Method) string { return m.Service + "." + m.Name }

// find returns the method with a full name, nil if d has none.
func (d *described) find(name string) *current {
	for i := range d.methods {
		if d.methods[i].name() == name {
			return &d.methods[i]
		}
	}
	return nil
}

// describe returns the methods of a contract or a server. The file has the service of a
// contract: its own is known only when it is bound or registered. So the type may change its
// name, as it may on the wire.
func describe(contract any, f *records) (*described, error) {
	if srv, ok := contract.(*bsrpc.Server); ok {
		d := &described{name: "the server"}
		for _, m := range srv.Methods() {
			l, err := layout.ParseMethod(m.Layout) // without the names of Go types
			if err != nil {
				return nil, fmt.Errorf("%s: %w", m.Name, err)
			}
			d.methods = append(d.methods, current{layout: l, text: m.Layout})
		}
		if len(d.methods) == 0 {
			return nil, errors.New("the server has no methods; register them first")
		}
		return d, nil
	}
	t := reflect.TypeOf(contract)
	if t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("%T is not a contract; want a struct of funcs, or a *bsrpc.Server", contract)
	}
	service, err := f.service(t.Name())
	if err != nil {
		return nil, err
	}
	stubs, err := method.StubsOf(service, t)
	if err != nil {
		return nil, err
	}
	d := &described{name: service}
	for _, s := range stubs {
		_, name, _ := method.SplitName(s.Name)
		d.methods = append(d.methods, current{s.Sig.Layout(service, name), s.Layout, s.Tag.Optional})
	}
	return d, nil
}
