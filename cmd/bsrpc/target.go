package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bsrpc/bsrpc"
)

// defaultTimeout limits connecting, and a call without streams, without --timeout.
const defaultTimeout = 20 * time.Second

// unixPrefix begins the address of a unix socket.
const unixPrefix = "unix:"

// maxTokenFile limits the bytes of the file of a token.
const maxTokenFile = 64 << 10

// A target is the server of a command, from the flags that all commands have.
type target struct {
	address, ca, cert, key, serverName string
	tokenFile, user                    string
	tls, insecure, json                bool
	timeout                            time.Duration
	maxMessage                         sizeFlag

	config, profile string           // the file of profiles, and the one in use
	token           string           // of the profile, in place of tokenFile
	flags           *pflag.FlagSet   // which flags are on the command line
	stderr          func() io.Writer // for warnings
	queued          *atomic.Bool     // a server has made a client wait for admission; nil as long as there are no flags
}

// addFlags adds the flags of t.
func (t *target) addFlags(f *pflag.FlagSet) {
	f.StringVar(&t.address, "address", "", "`address` of the server, host:port or unix:path, in place of the argument")
	f.BoolVar(&t.tls, "tls", false, "connect with TLS, and trust the authorities of this machine")
	f.StringVar(&t.ca, "ca", "", "connect with TLS, and trust the authorities in this PEM `file`")
	f.StringVar(&t.cert, "cert", "", "PEM `file` with the client's certificate; needs --key")
	f.StringVar(&t.key, "key", "", "PEM `file` with the key of --cert")
	f.StringVar(&t.serverName, "server-name", "", "`name` in the server's certificate, if it is not the host of the address")
	f.StringVar(&t.tokenFile, "token-file", "", "`file` with a token for the server")
	f.StringVar(&t.user, "user", "", "`name` of the user beside the token")
	f.BoolVar(&t.insecure, "insecure-credentials", false, "send the token without TLS too: others may read it")
	f.DurationVar(&t.timeout, "timeout", 0, "time limit of each part: of connecting, and of the call, such as 5s (default 20s; streams and --wait have none)")
	t.maxMessage, t.queued = defaultSize, new(atomic.Bool)
	f.Var(&t.maxMessage, "max-message", "largest result or item to accept, such as 64MiB")
	f.BoolVar(&t.json, "json", false, "print JSON, one value a line; errors too")
	f.StringVar(&t.profile, "profile", "", "`name` of a profile in the config, in place of @name as the address")
	f.StringVar(&t.config, "config", "", "`file` of profiles (default $BSRPC_CONFIG, or bsrpc/config.json in the user's folder of configuration)")
	t.flags = f
}

// split returns the arguments behind the address, which it stores in t. A profile in place of
// the address sets the other flags as well.
func (t *target) split(args []string) ([]string, error) {
	name := t.profile
	if t.address == "" && name == "" {
		if len(args) == 0 {
			return nil, usage("an address is missing: give host:port, unix:path or @profile first, or --address or --profile")
		}
		first := args[0]
		t.address, args = first, args[1:]
		if marked, ok := strings.CutPrefix(first, profileMark); ok && marked == "" {
			return nil, usage("a name is missing: give that of a profile, @name")
		} else if ok {
			t.address, name = "", marked
		} else if !strings.Contains(first, ":") {
			return nil, usage("%q is not an address: give host:port, unix:path or @profile first, or --address or --profile", clean(first, 128))
		}
	}
	if name != "" {
		if err := t.useProfile(name); err != nil {
			return nil, err
		}
	}
	if t.timeout < 0 {
		return nil, usage("--timeout is negative")
	}
	return args, nil
}

// limit returns the context of a part of the command. Without --timeout a part that may take
// any time has no limit.
func (t *target) limit(ctx context.Context, open bool) (context.Context, context.CancelFunc) {
	switch {
	case t.timeout > 0:
		return context.WithTimeout(ctx, t.timeout)
	case open:
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, defaultTimeout)
}

// dial connects to the server.
func (t *target) dial(ctx context.Context) (*bsrpc.Client, error) {
	opts, err := t.options()
	if err != nil {
		return nil, err
	}
	return t.dialWith(ctx, opts)
}

// dialWith is dial with options of the caller's.
func (t *target) dialWith(ctx context.Context, opts *bsrpc.ClientOptions) (*bsrpc.Client, error) {
	network, address := "tcp", t.address
	if path, ok := strings.CutPrefix(address, unixPrefix); ok {
		network, address = "unix", path
	} else if _, _, err := net.SplitHostPort(address); err != nil {
		return nil, usage("address %q: want host:port, unix:path or @profile", clean(address, maxWord))
	}
	ctx, cancel := t.limit(ctx, false)
	defer cancel()
	client, err := bsrpc.Dial(ctx, network, address, opts)
	if err != nil {
		return nil, t.notConnected(err, opts.TLS != nil)
	}
	return client, nil
}

// options returns the options of the client. Its calls are limited by contexts alone.
func (t *target) options() (*bsrpc.ClientOptions, error) {
	opts := &bsrpc.ClientOptions{
		NoReconnect: true, MaxMessage: int(t.maxMessage), DialTimeout: bsrpc.NoLimit, DefaultCallTimeout: bsrpc.NoLimit,
		InsecureCredentials: t.insecure, Logger: slog.New(slog.DiscardHandler), OnWait: t.waits,
	}
	var err error
	if opts.TLS, err = t.tlsConfig(); err != nil {
		return nil, err
	}
	if t.tokenFile == "" && t.token == "" {
		if t.user != "" {
			return nil, usage("--user needs --token-file")
		}
		return opts, nil
	}
	if opts.TLS == nil && !t.insecure && !strings.HasPrefix(t.address, unixPrefix) {
		return nil, usage("a token is sent with TLS only; add --tls or --ca, or --insecure-credentials if others may read it")
	}
	token := t.token
	if token == "" {
		data, err := readFile(t.tokenFile, maxTokenFile)
		if err != nil {
			return nil, usage("--token-file: %v", err)
		}
		token = strings.TrimRight(string(data), "\r\n")
	}
	c := bsrpc.NewCredentials(t.user, token)
	opts.Credentials = func(context.Context) (bsrpc.Credentials, error) { return c, nil }
	return opts, nil
}

// waits says that the server is full, and the position of this client in its queue.
func (t *target) waits(position int) {
	if t.queued == nil {
		return
	}
	t.queued.Store(true)
	text := "the server is full; this command is in its queue"
	if position > 0 {
		text = fmt.Sprintf("the server is full; this command is at position %d of its queue", position)
	}
	t.printLine(t.stderr(), map[string]any{"event": "waiting", "text": text, "position": position}, "waiting: "+text)
}

// tlsConfig returns the configuration of TLS, or nil without TLS.
func (t *target) tlsConfig() (*tls.Config, error) {
	if !t.tls && t.ca == "" && t.cert == "" && t.key == "" && t.serverName == "" {
		return nil, nil
	}
	config := &tls.Config{ServerName: t.serverName}
	if t.ca != "" {
		pem, err := os.ReadFile(t.ca)
		if err != nil {
			return nil, usage("--ca: %v", err)
		}
		if config.RootCAs = x509.NewCertPool(); !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usage("--ca: %s has no certificate in PEM", t.ca)
		}
	}
	if (t.cert == "") != (t.key == "") {
		return nil, usage("--cert and --key need each other")
	}
	if t.cert != "" {
		pair, err := tls.LoadX509KeyPair(t.cert, t.key)
		if err != nil {
			return nil, usage("--cert, --key: %v", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// readFile returns the content of a file of at most max bytes.
func readFile(name string, max int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, name, max)
}

// readAll returns all of r, at most max bytes.
func readAll(r io.Reader, name string, max int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, max+1))
	if err == nil && int64(len(data)) > max {
		err = usage("%s has more than %d bytes", name, max)
	}
	return data, err
}

// connected returns the RunE of a command that needs a client. f gets the arguments behind
// the address, of which there are min to max; a max of -1 means any number. The first one of a min is a method.
func (t *target) connected(min, max int, f func(cmd *cobra.Command, s *server, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		args, err := t.split(args)
		if err != nil {
			return err
		}
		if len(args) < min {
			return usage("a method is missing; want: %s", cmd.UseLine())
		}
		if max >= 0 && len(args) > max {
			return tooMany(cmd, args)
		}
		s, err := t.connect(cmd.Context())
		if err != nil {
			return err
		}
		defer s.Close()
		return f(cmd, s, args)
	}
}

// tooMany returns the error for arguments behind the address that a command does not take.
func tooMany(cmd *cobra.Command, args []string) error {
	return usage("%s behind the address; want: %s", count(len(args), "argument"), cmd.UseLine())
}

// connect connects to the server, and opens it. The caller closes it.
func (t *target) connect(ctx context.Context) (*server, error) {
	client, err := t.dial(ctx)
	if err != nil {
		return nil, err
	}
	s, err := t.open(ctx, client)
	if err != nil {
		client.Close()
	}
	return s, err
}
