//go:build bsrpc_long

package bsrpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bsrpc/bsrpc/internal/wire"
)

// The figures of docs/reliability.md, "Floods and memory":
//
//	go test -tags bsrpc_long -run 'TestFlood' -v .
//
// Nothing here is asserted but that the witness never fails.

// A flood sends, over one connection of an attacker, until the connection ends.
var floods = map[string]func(p *rawPeer){
	"call and cancel": func(p *rawPeer) {
		for id := uint64(2); ; {
			var b []byte
			for range 500 {
				b = append(b, frameBytes(wire.Frame{Type: wire.Request, Arg: rawHold, ID: id}, nil)...)
				b = append(b, frameBytes(wire.Frame{Type: wire.Cancel, ID: id}, nil)...)
				id++
			}
			p.write(b)
		}
	},
	"calls that hang": func(p *rawPeer) {
		p.nc.SetDeadline(time.Time{})
		for id := uint64(2); ; id++ { // few above MaxInflight, which would end the connection
			p.send(wire.Frame{Type: wire.Request, Arg: rawDeaf, ID: id}, nil)
			if id > 1024 {
				time.Sleep(time.Second)
			}
		}
	},
	"quick call and cancel": func(p *rawPeer) {
		for id := uint64(2); ; {
			var b []byte
			for range 500 {
				b = append(b, frameBytes(wire.Frame{Type: wire.Request, Arg: rawAdd, ID: id}, []byte(u32(1)+u32(2)))...)
				b = append(b, frameBytes(wire.Frame{Type: wire.Cancel, ID: id}, nil)...)
				id++
			}
			p.write(b)
		}
	},
	"calls": func(p *rawPeer) {
		for id := uint64(2); ; {
			var b []byte
			for range 500 {
				b = append(b, frameBytes(wire.Frame{Type: wire.Request, Arg: rawAdd, ID: id}, []byte(u32(1)+u32(2)))...)
				id++
			}
			p.write(b)
		}
	},
	"unknown methods": func(p *rawPeer) {
		for id := uint64(2); ; {
			var b []byte
			for range 500 {
				b = append(b, frameBytes(wire.Frame{Type: wire.Request, Arg: 999, ID: id}, nil)...)
				id++
			}
			p.write(b)
		}
	},
	"long messages": func(p *rawPeer) {
		body := make([]byte, 1<<20-4)
		for id := uint64(2); ; id++ {
			p.mostOf(id, len(body)+4, len(body)+4)
		}
	},
	"late credit": func(p *rawPeer) {
		b := bytes.Repeat(wire.AppendCredit(nil, &wire.Frame{ID: 1, Arg: 1, Flags: wire.FromCaller}, 1), 1000)
		for {
			p.write(b)
		}
	},
	"connections": func(*rawPeer) {}, // handshake, BIND, and close
	"violations":  func(p *rawPeer) { p.write(frameBytes(wire.Frame{Type: wire.Stop, ID: 1}, nil)) },
}

// Attackers that send nothing, for comparison: they use as much CPU time as they get, on one
// goroutine or on two.
var burners = map[string]int{"burner of 1": 1, "burner of 2": 2}

// alone ends the kind of a flood over one connection.
const alone = ", one connection"

// silence is an attacker with many connections that sends nothing after BIND.
const (
	silence     = "silence"
	silentConns = 10_000
)

// TestFloodChild is an attacker, run by the tests below.
func TestFloodChild(t *testing.T) {
	kind, address := os.Getenv("BSRPC_FLOOD"), os.Getenv("BSRPC_ADDRESS")
	if kind == "" {
		t.Skip("run by other tests")
	}
	go func() { // the end of the test that has started this process
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	for range burners[kind] {
		go func() {
			for {
			}
		}()
	}
	if burners[kind] > 0 {
		select {}
	}
	flood, crowd := floods[kind], 50
	if of, ok := strings.CutSuffix(kind, alone); ok {
		flood, crowd = floods[of], 1
	} else if kind == silence {
		flood, crowd = func(*rawPeer) { select {} }, silentConns
	}
	handshakes := make(chan struct{}, 50) // more are paused as failing ones of an address
	for {
		var wg sync.WaitGroup
		for range crowd {
			wg.Go(func() {
				t.Run("", func(t *testing.T) {
					handshakes <- struct{}{}
					done := sync.OnceFunc(func() { <-handshakes })
					defer done()
					nc, err := net.Dial("tcp", address)
					if err != nil {
						return
					}
					defer nc.Close()
					p := &rawPeer{t: t, nc: nc}
					p.runHandshake()
					done()
					go func() {
						buf := make([]byte, 64<<10)
						for {
							if _, err := nc.Read(buf); err != nil {
								nc.Close()
								return
							}
						}
					}()
					flood(p)
				})
			})
		}
		wg.Wait()
	}
}

// listen serves srv on a socket.
func listen(t *testing.T, srv *Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return l.Addr().String()
}

// latencies makes calls one after another, and returns their times, sorted, and how many
// were refused for MaxHandlers.
func latencies(t *testing.T, proxy *testeeContract, d time.Duration) (times []time.Duration, refused int) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		began := time.Now()
		sum, err := proxy.Add(t.Context(), 1, 2)
		if CodeOf(err) == CodeResourceExhausted {
			refused++
		} else if sum != 3 || err != nil {
			t.Fatalf("the witness: %d, %v", sum, err)
		}
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	return times, refused
}

func percentile(times []time.Duration, p int) time.Duration {
	return times[(len(times)-1)*p/100].Round(time.Microsecond)
}

// measureFloods skips a test that measures, and takes long, unless it is asked for.
func measureFloods(t *testing.T) {
	t.Helper()
	if os.Getenv("BSRPC_FLOODS") == "" {
		t.Skip("set BSRPC_FLOODS to measure")
	}
}

// attack starts an attacker. The test kills it, and waits for it.
func attack(t *testing.T, kind, address string) *os.Process {
	t.Helper()
	attacker := exec.Command(os.Args[0], "-test.run", "TestFloodChild")
	attacker.Env = append(os.Environ(), "BSRPC_FLOOD="+kind, "BSRPC_ADDRESS="+address)
	alive, err := attacker.StdinPipe()
	if err == nil {
		err = attacker.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { alive.Close() })
	return attacker.Process
}

// What a flood of one connection costs the server for each call, or for each connection if
// there is no call.
func TestFloodCost(t *testing.T) {
	measureFloods(t)
	for _, kind := range []string{"violations", "call and cancel"} {
		t.Run(kind, func(t *testing.T) {
			service := newTestee()
			defer close(service.release)
			var calls atomic.Int64
			go func() {
				for range service.began {
					calls.Add(1)
				}
			}()
			srv := testeeServer(t, service, nil)
			attacker := attack(t, kind+alone, listen(t, srv))
			time.Sleep(time.Second)
			done := func() int64 {
				srv.sessions.mu.Lock()
				defer srv.sessions.mu.Unlock()
				return max(calls.Load(), int64(srv.sessions.lastID))
			}
			used, before := cpuTime(t, os.Getpid()), done()
			time.Sleep(4 * time.Second)
			used, n := cpuTime(t, os.Getpid())-used, done()-before
			attacker.Kill()
			attacker.Wait()
			fmt.Printf("%-22s %.1f us of the server's CPU time each, %d a second\n", kind, float64(used.Microseconds())/float64(n), n/4)
		})
	}
}

// The witness is a client of one caller beside 50 connections of another process.
func TestFloodWitness(t *testing.T) {
	measureFloods(t)
	kinds := slices.Collect(maps.Keys(burners))
	for kind := range floods {
		kinds = append(kinds, kind, kind+alone)
	}
	slices.Sort(kinds)
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			service := newTestee()
			defer close(service.release)
			go func() { // or Hold waits for room after 65,536 calls
				for {
					select {
					case <-service.began:
					case <-service.release:
						return
					}
				}
			}()
			address := listen(t, testeeServer(t, service, nil))
			client, err := Dial(t.Context(), "tcp", address, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			proxy, err := Bind[testeeContract](t.Context(), client, "Probe")
			if err != nil {
				t.Fatal(err)
			}
			alone := cpuTime(t, os.Getpid())
			idle, _ := latencies(t, proxy, time.Second)
			alone = cpuTime(t, os.Getpid()) - alone
			attacker := attack(t, kind, address)
			time.Sleep(time.Second)
			server, theirs := cpuTime(t, os.Getpid()), cpuTime(t, attacker.Pid)
			flooded, refused := latencies(t, proxy, 5*time.Second)
			server, theirs = cpuTime(t, os.Getpid())-server, cpuTime(t, attacker.Pid)-theirs
			attacker.Kill()
			attacker.Wait()
			fmt.Printf("%-38s idle p50 %-8v p99 %-8v flooded p50 %-8v p99 %-8v max %-8v rate %.0f %% refused %d; processors: %.2f here, %.0f %% of it the witness's, %.2f there\n", kind, percentile(idle, 50), percentile(idle, 99), percentile(flooded, 50), percentile(flooded, 99), percentile(flooded, 100), 100*float64(len(flooded)-refused)/5/float64(len(idle)), refused, server.Seconds()/5, 100*float64(len(flooded)-refused)/server.Seconds()*alone.Seconds()/float64(len(idle)), theirs.Seconds()/5)
		})
	}
}

// cpuTime returns the CPU time of a process, on Linux: 100 ticks a second.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')'):]))
	user, _ := strconv.Atoi(fields[12])
	system, _ := strconv.Atoi(fields[13])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// heapAndStacks returns the memory in use.
func heapAndStacks() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// Memory of a server. The 200 peers are sockets of its own process.
func TestFloodMemory(t *testing.T) {
	measureFloods(t)
	srv := testeeServer(t, newTestee(), nil)
	address := listen(t, srv)
	dial := func(n int, then func(p *rawPeer)) (closeAll func()) {
		var all []net.Conn
		for range n {
			nc, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, nc)
			p := &rawPeer{t: t, nc: nc}
			p.runHandshake()
			then(p)
		}
		return func() {
			for _, nc := range all {
				nc.Close()
			}
		}
	}
	before := heapAndStacks()
	attacker := attack(t, silence, address)
	for deadline := time.Now().Add(time.Minute); len(srv.Sessions()) < silentConns; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d silent connections of %d", len(srv.Sessions()), silentConns)
		}
	}
	time.Sleep(time.Second)
	after := heapAndStacks()
	fmt.Printf("%d silent connections: %.1f MiB, %.1f KiB each\n", silentConns, float64(after-before)/(1<<20), float64(after-before)/silentConns/1024)
	attacker.Kill()
	attacker.Wait()
	settle(t, srv)
	before = heapAndStacks()
	closeAll := dial(200, func(p *rawPeer) { p.write(bigRequest(2, rawEcho, 16<<20, 1024)) })
	time.Sleep(time.Second)
	after = heapAndStacks()
	fmt.Printf("200 peers announce 16 MiB and send 1 KiB: %.1f MiB, %.1f KiB each, %d bytes booked\n", float64(after-before)/(1<<20), float64(after-before)/200/1024, srv.budget.Booked())
	closeAll()
	settle(t, srv)
	goroutines := runtime.NumGoroutine()
	before = heapAndStacks()
	for range 10_000 {
		client, err := Dial(t.Context(), "tcp", address, &ClientOptions{Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		client.Close()
	}
	settle(t, srv)
	fmt.Printf("after 10,000 connects and closes: %+d goroutines, %+.1f MiB\n", runtime.NumGoroutine()-goroutines, float64(heapAndStacks()-before)/(1<<20))
}

// settle waits until the server has no connection left.
func settle(t *testing.T, srv *Server) {
	for range 100 {
		time.Sleep(100 * time.Millisecond)
		srv.mu.Lock()
		n := len(srv.conns)
		srv.mu.Unlock()
		if n == 0 {
			time.Sleep(time.Second)
			return
		}
	}
	t.Error("connections are left")
}

// An honest client 100 ms away, while another address connects as fast as it can.
func TestFloodOfConnects(t *testing.T) {
	measureFloods(t)
	srv := testeeServer(t, newTestee(), nil)
	address := listen(t, srv)
	ctx, cancel := context.WithCancel(t.Context())
	var connects [4]int
	var wg sync.WaitGroup
	for i := range connects {
		wg.Go(func() {
			from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
			var open []net.Conn
			for ctx.Err() == nil {
				if nc, err := from.DialContext(ctx, "tcp", address); err == nil {
					connects[i]++
					open = append(open, nc)
				}
				if len(open) > 500 {
					open[0].(*net.TCPConn).SetLinger(0)
					open[0].Close()
					open = open[1:]
				}
			}
			for _, nc := range open {
				nc.Close()
			}
		})
	}
	began := time.Now()
	in := 0
	for range 50 {
		nc, err := net.Dial("tcp", address)
		if err != nil {
			continue
		}
		late := make(chan struct{})
		time.AfterFunc(100*time.Millisecond, func() { close(late) })
		if client, err := NewClient(t.Context(), &lateConn{nc, late}, &ClientOptions{Logger: quiet}); err == nil {
			in++
			client.Close()
		} else if !errors.Is(err, context.Canceled) {
			t.Log(err)
		}
	}
	took := time.Since(began)
	cancel()
	wg.Wait()
	n := 0
	for _, c := range connects {
		n += c
	}
	fmt.Printf("beside %.0f connects a second, a client 100 ms away gets in %d of 50 times\n", float64(n)/took.Seconds(), in)
}
