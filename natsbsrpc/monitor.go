package natsbsrpc

import (
	"encoding/hex"
	"encoding/json"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/bsrpc/bsrpc"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// PING, INFO and STATS, as package micro answers them. Its own Service is not used: it counts a
// request when its func returns, and runs one at a time, so it cannot count calls that run
// side by side. Its types are.

// semantic is the form of a version, as package micro checks it.
var semantic = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9a-zA-Z.-]+)?(\+[0-9a-zA-Z.-]+)?$`)

// A service is a service of an Instance.
type service struct {
	name      string // of bsrpc
	identity  micro.ServiceIdentity
	instance  *Instance
	endpoints []*endpoint // BindMethod first
}

// An endpoint is a method of a service.
type endpoint struct {
	micro.EndpointInfo
	method string // in the Request
	direct string // the subject behind that of the instance
	sub    *nats.Subscription

	mu    sync.Mutex
	stats micro.EndpointStats
}

// add adds a method to its service.
func (i *Instance) add(m bsrpc.Method) {
	name := m.Name[:strings.LastIndexByte(m.Name, '.')]
	s := i.serviceOf(name)
	if s == nil {
		s = &service{name: name, instance: i, identity: micro.ServiceIdentity{Name: serviceName(name), ID: i.id, Version: i.opts.Version, Metadata: i.opts.Metadata}}
		s.add("bsrpc-Bind", i.opts.Prefix+bindTo+name, nil).method = bsrpc.BindMethod
		s.endpoints[0].direct = bindTo + name
		i.services = append(i.services, s)
	}
	e := s.add(serviceName(m.Name[len(name)+1:]), i.opts.Prefix+"."+m.Name, map[string]string{"bsrpc-hash": hex.EncodeToString(m.Hash[:])})
	e.method, e.direct = m.Name, callTo+m.Name
}

func (s *service) add(name, subject string, metadata map[string]string) *endpoint {
	e := &endpoint{EndpointInfo: micro.EndpointInfo{Name: name, Subject: subject, QueueGroup: s.instance.opts.Queue, Metadata: metadata}}
	e.stats = micro.EndpointStats{Name: e.Name, Subject: e.Subject, QueueGroup: e.QueueGroup}
	s.endpoints = append(s.endpoints, e)
	return e
}

// serviceOf returns the service with a name; nil without one.
func (i *Instance) serviceOf(name string) *service {
	for _, s := range i.services {
		if s.name == name {
			return s
		}
	}
	return nil
}

// count counts a call that is over. The text of an error of a handler stays out of the statistics:
// only its caller may see it.
func (e *endpoint) count(began time.Time, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stats.NumRequests++
	e.stats.ProcessingTime += time.Since(began)
	if err != nil {
		e.stats.NumErrors++
		e.stats.LastError = err.Error()
	}
}

// counted returns the statistics. Dropped messages are errors.
func (e *endpoint) counted() *micro.EndpointStats {
	e.mu.Lock()
	defer e.mu.Unlock()
	stats := e.stats
	if n := stats.NumRequests; n > 0 {
		stats.AverageProcessingTime = stats.ProcessingTime / time.Duration(n)
	}
	if n, err := e.sub.Dropped(); err == nil && n > 0 {
		stats.NumErrors += n
		stats.LastError = nats.ErrSlowConsumer.Error()
	}
	return &stats
}

// verbs returns the answers to PING, INFO and STATS by their subjects.
func (s *service) verbs() map[string]func() any {
	answers := make(map[string]func() any)
	for verb, answer := range map[micro.Verb]func() any{micro.PingVerb: s.ping, micro.InfoVerb: s.info, micro.StatsVerb: s.statistics} {
		all, _ := micro.ControlSubject(verb, "", "")
		kind, _ := micro.ControlSubject(verb, s.identity.Name, "")
		one, _ := micro.ControlSubject(verb, s.identity.Name, s.identity.ID)
		answers[all], answers[kind], answers[one] = answer, answer, answer
	}
	return answers
}

func (s *service) ping() any {
	return micro.Ping{ServiceIdentity: s.identity, Type: micro.PingResponseType}
}

func (s *service) info() any {
	info := micro.Info{ServiceIdentity: s.identity, Type: micro.InfoResponseType, Description: s.instance.opts.Description}
	for _, e := range s.endpoints {
		info.Endpoints = append(info.Endpoints, e.EndpointInfo)
	}
	return info
}

func (s *service) statistics() any {
	stats := micro.Stats{ServiceIdentity: s.identity, Type: micro.StatsResponseType, Started: s.instance.started}
	for _, e := range s.endpoints {
		stats.Endpoints = append(stats.Endpoints, e.counted())
	}
	return stats
}

// monitor answers PING, INFO or STATS.
func (i *Instance) monitor(m *nats.Msg, answer func() any) {
	if m.Reply == "" {
		return
	}
	if b, err := json.Marshal(answer()); err == nil {
		i.nc.Publish(m.Reply, b)
	}
}
