// Package natsbsrpc carries calls over NATS: to any of several servers, without their addresses.
//
// Serve makes each service of a Server a NATS service, which the command nats micro lists. Any
// number of instances may serve the same service: each call goes to one of them. Dial returns a
// client, whose proxies, options and errors are those of any client from bsrpc.NewClientOver.
// Each calls a method of all instances.
//
// Calls need no connection between client and server, so methods with funcs, or with streams among
// their parameters, and methods with exclusive= are refused in Bind. Deadlines, cancellation, metadata, errors,
// oneway calls and result streams are as over a connection. Each call compares the contract
// with the instance that it reaches, so instances of several versions may run side by side.
//
// NATS delivers a message at most once. A call whose request, instance or answer is lost ends
// with its time, or after fifteen seconds, and its outcome is unknown. Without an instance a call fails at once, with OutcomeNotRun and
// nats.ErrNoResponders. Messages dropped because an end is too slow are an error, too:
// nats.ErrSlowConsumer at a client, and one in the log and the statistics of an Instance.
//
// Anyone with access to the subjects of PROTOCOL.md can call, and can read what is sent,
// credentials included. Use the accounts and permissions of NATS, and TLS.
package natsbsrpc

import (
	"cmp"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/bsrpc/bsrpc"
)

// ServeOptions are the options of Serve. The zero value, and nil, have the defaults. The options
// are copied.
type ServeOptions struct {
	// Version is that of the services, in the form of semantic versions. "" means "0.0.0".
	Version string

	// Queue is the queue group: of the instances with the same one, a call reaches one. "" means
	// micro.DefaultQueueGroup.
	Queue string

	// Prefix begins all subjects of calls. It must be that of the clients. "" means "bsrpc".
	Prefix string

	// Description and Metadata are for people and tools.
	Description string
	Metadata    map[string]string

	// Address is a host and a port at which the Server also serves connections, as clients reach
	// it. Endpoints finds it, in the metadata of the services as bsrpc-address. "" means none.
	Address string

	// MaxMessage limits the size in bytes of the arguments of a call that is longer than a
	// message of the broker. Sixteen such calls arrive at the same time, others wait. Zero means
	// 16 MiB. ServerOptions.MaxMessage limits all calls.
	MaxMessage int

	// Logger gets messages that are dropped, or are not of this protocol. Nil means
	// slog.Default().
	Logger *slog.Logger
}

// DialOptions are the options of Dial. The zero value, and nil, have the defaults. The options
// are copied.
type DialOptions struct {
	// Prefix is that of the servers. "" means "bsrpc".
	Prefix string

	// Client has the options of calls. Its MaxMessage limits results and items.
	Client *bsrpc.ClientOptions
}

const (
	defaultPrefix     = "bsrpc"
	defaultMaxMessage = 16 << 20
)

// pingEvery is the gap between the messages by which each end of a call says that it has the
// call. Only tests change it.
var pingEvery = 5 * time.Second

// An end ends a call after so many gaps without a message of the other end. A caller without a limit of
// its own has DefaultCallTimeout, which should not come first.
const (
	silentInstance = 3
	silentCaller   = 4
)

// Subjects, behind the prefix. Names of services that begin with bsrpc. are those of the library.
const (
	bindTo     = "." + bsrpc.BindMethod + "." // and the service
	cancelTo   = ".bsrpc.v1.Cancel."          // and the service
	instanceTo = ".bsrpc.v1.Instance."        // and the instance, and what follows
	callTo     = ".Call."                     // and the method
	pieceTo    = ".Piece."                    // and the subject of the caller
)

// prefixOf returns a valid prefix.
func prefixOf(prefix string) (string, error) {
	prefix = cmp.Or(prefix, defaultPrefix)
	for _, token := range strings.Split(prefix, ".") {
		if token == "" || strings.ContainsAny(token, " \t\r\n*>") {
			return "", errors.New("bsrpc: NATS: Prefix is not the beginning of a subject; use names with dots between")
		}
	}
	return prefix, nil
}

// serviceName returns the name of a service for NATS, which knows letters, digits, - and _ only.
func serviceName(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
			return r
		}
		return '-'
	}, name)
}
