package bsrpc

import (
	"maps"
	"slices"
	"strings"

	"github.com/bsrpc/bsrpc/internal/fault"
	"github.com/bsrpc/bsrpc/internal/method"
	"github.com/bsrpc/bsrpc/internal/strictmap"
	"github.com/bsrpc/bsrpc/internal/wire"
)

// A name that a server has not got may be a slip of the pen: its answer to BIND
// tells names that are alike. What that costs is bounded, because anybody may ask.
const (
	nearMost   = 3    // names told of one that is not there
	nearAsked  = 3    // names of an answer that get some
	nearLooked = 1024 // names that are looked at for each
)

// suggest completes the answers for what the server has not got. It returns how
// many bytes its texts have.
func (v *serverConn) suggest(r *wire.BindRequest, answers []wire.BindResult) (texts uint64) {
	service := v.registry.service(r.Service)
	if service == nil {
		for i := range answers {
			answers[i].Status = wire.BindNoService
		}
		if len(answers) > 0 {
			answers[0].Text = strings.Join(v.registry.servicesLike(r.Service), nearSep)
			texts = uint64(len(answers[0].Text))
		}
		return texts
	}
	asked := 0
	for i := range answers {
		if answers[i].Status != wire.BindUnknown {
			continue
		}
		if asked++; asked > nearAsked {
			break
		}
		names := strictmap.Similar(r.Names[i], maps.Keys(service), nearMost, nearLooked)
		for j := range names {
			names[j] = r.Service + "." + names[j]
		}
		answers[i].Text = strings.Join(names, nearSep)
		texts += uint64(len(answers[i].Text))
	}
	return texts
}

// servicesLike returns the names of services that are like one.
func (r *registry) servicesLike(name string) []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return strictmap.Similar(name, r.table.Services(), nearMost, nearLooked)
}

const nearSep = ", "

// nearOf returns the names in the server's answer for one that it has not got.
// What is no name does not reach a text.
func nearOf(answer *wire.BindResult) string {
	names := strings.Split(fault.Cut(answer.Text, 4<<10), nearSep)
	names = slices.DeleteFunc(names, func(name string) bool { return method.ValidService(name) != nil })
	return strings.Join(names[:min(len(names), nearMost)], nearSep)
}

// thereIs appends to a text what the server has instead.
func thereIs(text, have, near string) string {
	if near == "" {
		return text
	}
	return text + "; " + have + " " + near
}
