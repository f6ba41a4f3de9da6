package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
)

// A server is the serving end: in this process, or in a child.
type server struct {
	network, address string
	ask              func(order) (usage, error) // of the child; zero in this process
	stop             func()
}

// An order is what a child is told before it answers with its usage.
type order struct {
	Collect bool // the garbage
	Release bool // the calls of Hold
}

// startServer serves a peer in this process.
func startServer(p peer, network string) (*server, error) {
	l, remove, err := listen(network)
	if err != nil {
		return nil, err
	}
	stop := p.serve(l)
	return &server{
		network: network,
		address: l.Addr().String(),
		ask:     func(order) (usage, error) { return usage{}, nil },
		stop:    func() { stop(); l.Close(); remove() },
	}, nil
}

func listen(network string) (l net.Listener, remove func(), err error) {
	if network != "unix" {
		l, err = net.Listen(network, "127.0.0.1:0")
		return l, func() {}, err
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, nil, err
	}
	l, err = net.Listen(network, filepath.Join(dir, "s"))
	return l, func() { os.RemoveAll(dir) }, err
}

// startChild serves a peer in a child process. It says its address, answers
// each order with its usage, and ends when its input does.
func startChild(p peer, network string) (*server, error) {
	cmd, err := command("serve", p.name(), network)
	if err != nil {
		return nil, err
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	dec := json.NewDecoder(out)
	s := &server{network: network, stop: func() { in.Close(); cmd.Wait() }}
	s.ask = func(o order) (u usage, err error) {
		if err = json.NewEncoder(in).Encode(o); err == nil {
			err = dec.Decode(&u)
		}
		return u, err
	}
	if err := dec.Decode(&s.address); err != nil {
		s.stop()
		return nil, fmt.Errorf("child server: %w", err)
	}
	return s, nil
}

// serveAsChild is the child's end of startChild.
func serveAsChild(name, network string, in io.Reader, out io.Writer) error {
	p, err := findPeer(name)
	if err != nil {
		return err
	}
	s, err := startServer(p, network)
	if err != nil {
		return err
	}
	defer s.stop()
	enc := json.NewEncoder(out)
	if err := enc.Encode(s.address); err != nil {
		return err
	}
	dec := json.NewDecoder(bufio.NewReader(in))
	for {
		var o order
		if err := dec.Decode(&o); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if o.Release {
			held.release()
		}
		if o.Collect {
			freeMemory()
		}
		if err := enc.Encode(measureUsage()); err != nil {
			return err
		}
	}
}

// command runs this program again, in another role.
func command(args ...string) (*exec.Cmd, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), roleVariable+"=1")
	cmd.Stderr = os.Stderr
	return cmd, nil
}

const roleVariable = "BSRPC_BENCH_ROLE"
