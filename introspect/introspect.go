// Package introspect is the contract of the service bsrpc.v1, in which every server describes
// itself: its methods, the health of its services, and for operators its sessions, exclusive
// groups and counters. Bind it like any contract:
//
//	server, err := bsrpc.Bind[introspect.Contract](ctx, client, introspect.Service)
//
// Later versions add fields and methods by the rules of docs/evolution.md.
package introspect

import (
	"context"
	"iter"
	"time"

	"github.com/bsrpc/bsrpc/stats"
)

// Service is the name of the service.
const Service = "bsrpc.v1"

// A Contract has the methods of the service. They describe only what the client may call: other
// services and methods are unknown to it. Sessions, Groups and Counters are for operators, see
// ServerOptions.OperatorRole; the calls of others fail with CodePermissionDenied. The optional
// methods are absent at a server with HideDescription.
type Contract struct {
	// Services returns the names of the services, in the order of registration, and
	// Service at the end.
	Services func(ctx context.Context) ([]string, error) `bsrpc:"optional,idempotent,roles=*"`

	// Methods sends the methods of a service in the order of registration, those of all
	// services for "". An unknown service is an error with CodeNotFound.
	Methods func(ctx context.Context, service string) iter.Seq2[Method, error] `bsrpc:"optional,idempotent,roles=*,names=service"`

	// Health returns the state of a service, or of the whole server for "". An unknown
	// service is an error with CodeNotFound.
	Health func(ctx context.Context, service string) (Health, error) `bsrpc:"idempotent,roles=*,names=service"`

	// WatchHealth sends the state as Health returns it, and then each later one; a slow
	// reader gets the newest alone. The stream ends when the server begins to shut down,
	// after a last state.
	WatchHealth func(ctx context.Context, service string) iter.Seq2[Health, error] `bsrpc:"idempotent,roles=*,names=service"`

	// Sessions returns the admitted sessions, in the order of their ids, and then those that
	// wait for admission, the next one first.
	Sessions func(ctx context.Context) ([]Session, error) `bsrpc:"idempotent"`

	// Groups returns the exclusive groups, in the order of their names.
	Groups func(ctx context.Context) ([]Group, error) `bsrpc:"idempotent"`

	// Counters returns the figures of the server, as Server.Stats does.
	Counters func(ctx context.Context) (Counters, error) `bsrpc:"idempotent"`
}

// A Method describes one method.
type Method struct {
	Name   string   // service and method: "Greeter.Hello"
	Layout string   // canonical text of the name and the wire format, see docs/protocol.md
	Hash   [32]byte // SHA-256 of the layout, as in BIND
	Kind   string   // "unary", "oneway", "client stream", "server stream" or "bidirectional stream"

	Params  []string // names of the parameters, from names= in the server's contract; nil without
	Options []string // words of the server's contract without formats: "idempotent", "timeout=5s", "roles=admin"
	Secrets []string // places tagged secret: "parameter 1.Password", "result 1.Users[].Token"
}

// A Health is the state of a service, or of a server.
type Health struct {
	Serving  bool // ready for calls, see Server.SetHealth
	Draining bool // the server has begun to shut down, so it is not Serving
}

// A Session is one client.
type Session struct {
	ID    uint64
	Name  string // of the client, from Authenticate; "" without
	Addr  string
	Since time.Time // of its admission; zero before
	Calls uint64    // so far

	Position uint64 `bsrpc:"optional"` // in the line for admission, 1 for the next one; 0 for an admitted session
}

// A Group is an exclusive group.
type Group struct {
	Name     string
	Holder   uint64    // the id of the session; 0 if the group is free
	Acquired bool      // by Session.Acquire; otherwise only a call holds the group
	Since    time.Time // of Acquired
	Waiting  []uint64  // the ids of the sessions in line, the next one first
}

// Counters are the figures of a server.
type Counters = stats.Server
