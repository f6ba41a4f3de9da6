package natsbsrpc_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/tinylib/msgp/msgp"
)

// BenchmarkCall is a small call, beside a request of nats.go with the same argument and result in msgp,
// one at a time and of 64 callers.
func BenchmarkCall(b *testing.B) {
	body := make([]byte, 32)
	broker := newBroker(b)
	serve(b, broker.connect(), newServer(b, newDepot("a"), nil))
	p, nc := bind(b, dial(b, broker.connect(), nil)), broker.connect()
	answer := func(m *nats.Msg) {
		if got, _, err := msgp.ReadBytesBytes(m.Data, nil); err != nil {
			b.Error(err)
		} else {
			m.Respond(msgp.AppendBytes(nil, got))
		}
	}
	if _, err := broker.connect().Subscribe("echo", func(m *nats.Msg) { go answer(m) }); err != nil {
		b.Fatal(err)
	}
	request := func() error {
		m, err := nc.Request("echo", msgp.AppendBytes(nil, body), 10*time.Second)
		if err == nil {
			_, _, err = msgp.ReadBytesBytes(m.Data, nil)
		}
		return err
	}
	for name, call := range map[string]func() error{
		"bsrpc": func() error { _, err := p.Echo(body); return err },
		"nats":  request,
	} {
		b.Run(name+"/1", func(b *testing.B) {
			defer reportCPU(b)()
			for b.Loop() {
				if err := call(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/64", func(b *testing.B) {
			defer reportCPU(b)()
			b.SetParallelism(64)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := call(); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

// reportCPU reports the time of processors that a call takes at both ends and at the broker, which other
// programs on the machine disturb less than its latency.
func reportCPU(b *testing.B) (end func()) {
	used := func() int64 {
		var r syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
			b.Fatal(err)
		}
		return r.Utime.Nano() + r.Stime.Nano()
	}
	before := used()
	return func() { b.ReportMetric(float64(used()-before)/float64(b.N), "cpu-ns/op") }
}
