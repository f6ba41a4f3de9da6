package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/bsrpc/bsrpc"
)

// A rack is the receiver of Rack, and has the instruments.
type rack struct {
	scope  *scope
	supply *source
	load   *source
	say    sayFunc
	srv    *bsrpc.Server
}

// newServer returns a server for a rack, whose acquisitions take some time. Many clients
// connect at a time; each instrument is for one of them.
func newServer(acquisition time.Duration, says *transcript) (*bsrpc.Server, error) {
	r := &rack{
		scope:  &scope{instrument: &instrument{acquisition: acquisition, say: says.as("scope")}},
		supply: &source{unit: "mV", say: says.as("supply")},
		load:   &source{unit: "mA", say: says.as("load")},
		say:    says.as("rack"),
	}
	r.srv = bsrpc.NewServer(&bsrpc.ServerOptions{
		Basic: true, // for Python clients
		OnConnect: func(ctx context.Context, s *bsrpc.Session) error {
			r.say("session %d, %v, has connected", s.ID(), s.RemoteAddr())
			return nil
		},
		// The next user gets the instruments when OnDisconnect has returned, also after a
		// crash of the client or a lost connection.
		OnDisconnect: func(s *bsrpc.Session) {
			r.switchOff(r.takenBy(s))
			r.say("session %d left after %d calls in %v", s.ID(), s.Calls(), time.Since(s.Since()).Round(time.Second/10))
		},
	})
	return r.srv, errors.Join(
		bsrpc.RegisterAs[Rack](r.srv, "Rack", r),
		bsrpc.RegisterAs[Scope](r.srv, "Scope", &scopeService{r.scope, r}),
		bsrpc.RegisterAs[Supply](r.srv, "Supply", r.supply),
		bsrpc.RegisterAs[Load](r.srv, "Load", r.load),
	)
}

// takenBy returns the instruments that a session has.
func (r *rack) takenBy(s *bsrpc.Session) (instruments []string) {
	for _, g := range r.srv.Groups() {
		if g.Acquired && g.Holder == s {
			instruments = append(instruments, g.Name)
		}
	}
	return instruments
}

// switchOff makes instruments safe for the next user. No settings remain.
func (r *rack) switchOff(instruments []string) {
	for _, name := range instruments {
		switch name {
		case "scope":
			r.scope.reset(nil)
		case "supply":
			r.supply.Set(0)
		case "load":
			r.load.Set(0)
		}
	}
}

// Take takes all of the instruments, or none.
func (r *rack) Take(ctx context.Context, instruments []string) error {
	s := bsrpc.SessionFrom(ctx)
	before := len(r.takenBy(s))
	if err := s.Acquire(ctx, instruments...); err != nil {
		return err
	}
	if now := r.takenBy(s); len(now) > before {
		r.say("session %d has the %s", s.ID(), strings.Join(now, " and the "))
	}
	return nil
}

// Give leaves out instruments that the session has not.
func (r *rack) Give(ctx context.Context, instruments []string) {
	s := bsrpc.SessionFrom(ctx)
	for _, name := range r.takenBy(s) {
		for _, given := range instruments {
			if name == given {
				r.switchOff([]string{name})
			}
		}
	}
	s.Release(instruments...)
}

func (r *rack) Users() (users []User) {
	for _, g := range r.srv.Groups() {
		u := User{Instrument: g.Name, Waiting: len(g.Waiting)}
		if g.Holder != nil {
			u.Session = g.Holder.ID()
		}
		users = append(users, u)
	}
	return users
}

// A scopeService is the receiver of Scope.
type scopeService struct {
	*scope
	rack *rack
}

// Configure takes the scope for the session: the call has it already.
func (s *scopeService) Configure(ctx context.Context, settings Settings) error {
	if err := settings.check(); err != nil {
		return err
	}
	if err := s.rack.Take(ctx, []string{"scope"}); err != nil {
		return err
	}
	s.reset(&settings)
	return nil
}
