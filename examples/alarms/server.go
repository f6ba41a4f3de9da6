package main

import (
	"context"
	"fmt"
	"log"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/bsrpc/bsrpc"
)

// A monitor watches the sensors and calls the operators.
type monitor struct {
	log     *log.Logger
	rng     *rand.Rand
	sensors []*sensor
	lastID  int64

	mu           sync.Mutex // guards the rest
	members      map[*bsrpc.Session]*member
	active       map[int64]*active
	acknowledged int // alarms
}

// An active alarm has a context, which ends with it.
type active struct {
	Alarm
	ctx context.Context
	end context.CancelFunc
}

func newMonitor(log *log.Logger, seed uint64) *monitor {
	return &monitor{
		log: log, rng: rand.New(rand.NewPCG(seed, 0)), sensors: newSensors(),
		members: make(map[*bsrpc.Session]*member), active: make(map[int64]*active),
	}
}

// server returns a server for m.
func (m *monitor) server() (*bsrpc.Server, error) {
	srv := bsrpc.NewServer(&bsrpc.ServerOptions{OnConnect: m.connect, OnDisconnect: m.disconnect})
	return srv, bsrpc.RegisterAs[Alarms](srv, "Alarms", m)
}

// maxWaiting is how many alarms may wait for a slow client.
const maxWaiting = 16

// A member is a client that is called.
type member struct {
	*Operator
	name    string
	session *bsrpc.Session
	waiting chan func(context.Context) error // calls of Raise and Clear, in order
}

type operatorKey struct{}

// connect binds the methods of a client, before its first call. A client without them, or
// with others, is refused.
func (m *monitor) connect(ctx context.Context, s *bsrpc.Session) error {
	operator, err := bsrpc.Bind[Operator](ctx, s, "Operator")
	if err != nil {
		return err
	}
	s.Set(operatorKey{}, operator)
	return nil
}

// Subscribe implements Alarms.
func (m *monitor) Subscribe(ctx context.Context, name string) ([]Alarm, error) {
	s := bsrpc.SessionFrom(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.members[s] != nil {
		return nil, &bsrpc.Error{Code: bsrpc.CodeAlreadyExists, Message: "subscribed already"}
	}
	o := &member{
		Operator: s.Value(operatorKey{}).(*Operator), name: name, session: s,
		waiting: make(chan func(context.Context) error, maxWaiting),
	}
	m.members[s] = o
	go o.deliver(m.log)
	list := []Alarm{}
	for _, id := range slices.Sorted(maps.Keys(m.active)) {
		list = append(list, m.active[id].Alarm)
	}
	return list, nil
}

// disconnect drops a client that has left. Its proxy returns errors from now on.
func (m *monitor) disconnect(s *bsrpc.Session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if o := m.members[s]; o != nil {
		m.log.Printf("server: %s has left", o.name)
		delete(m.members, s)
	}
}

// post adds a call to those waiting for the client. It does not wait: a client that does not
// keep up loses its session, and delays no other.
func (o *member) post(call func(context.Context) error) {
	select {
	case o.waiting <- call:
	default:
		o.session.Close(fmt.Sprintf("too slow: %d alarms are waiting", maxWaiting))
	}
}

// deliver makes the calls of post until the session ends. Each waits while the client has as
// many open calls as it allows.
func (o *member) deliver(log *log.Logger) {
	ctx := o.session.Context()
	for {
		select {
		case <-ctx.Done():
			return
		case call := <-o.waiting:
			if err := call(ctx); err != nil && ctx.Err() == nil {
				log.Printf("server: %s: %v", o.name, err)
			}
		}
	}
}

// step moves the sensors once, and reports the alarms that begin or end.
func (m *monitor) step() {
	for _, s := range m.sensors {
		switch a, begins := s.step(m.rng, func() int64 { m.lastID++; return m.lastID }); {
		case a == nil:
		case begins:
			m.raise(*a)
		default:
			m.clear(*a)
		}
	}
}

// raise tells all operators of an alarm, and asks them to acknowledge it.
func (m *monitor) raise(a Alarm) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.log.Printf("server: %v", a)
	ctx, end := context.WithCancel(context.Background())
	m.active[a.ID] = &active{a, ctx, end}
	for _, o := range m.members {
		o.post(func(ctx context.Context) error { return o.Raise(ctx, a) })
	}
	go m.ask(ctx, a, slices.Collect(maps.Values(m.members)))
}

// clear tells all operators of the end of an alarm, and withdraws the question.
func (m *monitor) clear(a Alarm) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.active[a.ID].end()
	delete(m.active, a.ID)
	for _, o := range m.members {
		o.post(func(ctx context.Context) error { return o.Clear(ctx, a) })
	}
}

// ask asks operators to acknowledge an alarm, all at the same time. The first answer counts.
func (m *monitor) ask(ctx context.Context, a Alarm, operators []*member) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // cancels the calls to the others
	answers := make(chan string, len(operators))
	for _, o := range operators {
		go func() {
			if note, err := o.Acknowledge(ctx, a); err == nil {
				answers <- fmt.Sprintf("%s: %s", o.name, note)
			}
		}()
	}
	select {
	case answer := <-answers:
		m.log.Printf("server: alarm %d is acknowledged by %s", a.ID, answer)
		m.mu.Lock()
		m.acknowledged++
		m.mu.Unlock()
	case <-ctx.Done():
		m.log.Printf("server: alarm %d is over before it was acknowledged", a.ID)
	}
}

// state returns the number of clients, and of acknowledged alarms.
func (m *monitor) state() (members, acknowledged int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.members), m.acknowledged
}

// close ends the alarms.
func (m *monitor) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range m.active {
		a.end()
	}
}
