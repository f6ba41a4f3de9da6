package interop

// Clients of both kinds that wait for one place, and how a server stops.

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/bsrpc/bsrpc"
)

// A queue watches the sessions of an exclusive server.
type queue struct {
	srv      *bsrpc.Server
	addr     string
	service  *service
	admitted chan uint64 // the ids of sessions, as they get the place
	left     chan uint64

	mu      sync.Mutex
	holders []uint64
}

func newQueue(t testing.TB, opts bsrpc.ServerOptions) *queue {
	t.Helper()
	q := &queue{service: newService(), admitted: make(chan uint64, 100), left: make(chan uint64, 100)}
	opts.MaxSessions = 1
	opts.OnConnect = func(_ context.Context, s *bsrpc.Session) error {
		q.mu.Lock()
		defer q.mu.Unlock()
		if q.holders = append(q.holders, s.ID()); len(q.holders) > 1 {
			t.Errorf("one place, holders %v", q.holders)
		}
		q.admitted <- s.ID()
		return nil
	}
	opts.OnDisconnect = func(s *bsrpc.Session) {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.holders = slices.DeleteFunc(q.holders, func(id uint64) bool { return id == s.ID() })
		q.left <- s.ID()
	}
	q.srv, q.addr = serve(t, q.service, opts)
	return q
}

// nativeWaiter connects, and sends its client when that is admitted.
func (q *queue) nativeWaiter(t testing.TB) (position chan int, admitted chan *bsrpc.Client) {
	position, admitted = make(chan int, 100), make(chan *bsrpc.Client, 1)
	go func() {
		client, err := bsrpc.Dial(context.Background(), "tcp", q.addr, &bsrpc.ClientOptions{OnWait: func(n int) { position <- n }})
		if err != nil {
			t.Error(err)
		}
		admitted <- client
	}()
	return position, admitted
}

// Waiters of both kinds are served in the order in which they came.
func TestQueueOfBothKinds(t *testing.T) {
	q := newQueue(t, bsrpc.ServerOptions{})
	holder := connected(t, q.addr)
	first := receive(t, q.admitted, "admission")

	python1 := drive(t, q.addr)
	python1.order("connect")
	python1.await("polled")
	position2, native2 := q.nativeWaiter(t)
	if n := receive(t, position2, "position"); n != 2 {
		t.Errorf("the second waiter has position %d", n)
	}
	python3 := drive(t, q.addr)
	python3.order("connect")
	python3.await("polled")
	position4, native4 := q.nativeWaiter(t)
	if n := receive(t, position4, "position"); n != 4 {
		t.Errorf("the fourth waiter has position %d", n)
	}

	var order []uint64
	leave := []func(){
		func() { holder.cmd.Process.Kill() },
		func() {
			python1.wantReply(nil)
			python1.want("hello Ann", "hello", "Ann")
			python1.want(nil, "disconnect")
		},
		func() { receive(t, native2, "client").Close() },
		func() {
			python3.wantReply(nil)
			python3.cmd.Process.Kill()
		},
		func() { receive(t, native4, "client").Close() },
	}
	for i, f := range leave {
		f()
		order = append(order, receive(t, q.left, "departure"))
		if i < len(leave)-1 {
			receive(t, q.admitted, "admission")
		}
	}
	if !slices.IsSorted(order) || order[0] != first || len(order) != 5 {
		t.Errorf("sessions %v had the place", order)
	}
}

// A client that is killed while its command runs frees the place when that has
// returned.
func TestKilledWhileItHolds(t *testing.T) {
	q := newQueue(t, bsrpc.ServerOptions{})
	holder := connected(t, q.addr)
	holder.order("pause", 0)
	receive(t, q.service.began, "pause")
	next := drive(t, q.addr)
	next.order("connect")
	next.await("polled")
	holder.cmd.Process.Kill()
	next.wantReply(nil)
	next.want("hello Bob", "hello", "Bob")
}

func TestRefuseWhenFull(t *testing.T) {
	q := newQueue(t, bsrpc.ServerOptions{RefuseWhenFull: true})
	holder := connected(t, q.addr)
	drive(t, q.addr).wantRaised("ConnectionError", "Server exception: queue full", "connect")
	holder.want("hello Bob", "hello", "Bob")
}

// Shutdown serves what it has begun, answers what comes later, and sends idle
// clients nothing.
func TestShutdownOfServer(t *testing.T) {
	s := newService()
	srv, addr := serve(t, s, bsrpc.ServerOptions{})
	busy, idle := connected(t, addr), connected(t, addr)
	idle.want("hello Bob", "hello", "Bob")
	busy.order("pause", 0)
	receive(t, s.began, "pause")
	stopped := make(chan error, 1)
	go func() { stopped <- srv.Shutdown(context.Background()) }()
	idle.wantRaised("DisconnectedError", "", "raw", hexBytes(nil)) // reads without asking
	close(s.release)
	busy.wantReply(0)
	busy.wantRaised("DisconnectedError", "", "raw", hexBytes(nil))
	if err := receive(t, stopped, "end of Shutdown"); err != nil {
		t.Error(err)
	}
}

// What a client has sent behind the command that is served is answered.
func TestShutdownAnswersWhatHasCome(t *testing.T) {
	s := newService()
	srv, addr := serve(t, s, bsrpc.ServerOptions{})
	d, idle := connected(t, addr), connected(t, addr)
	d.order("raw", hexBytes([]byte("\x0b\x00\x00\x00\x01\x0f\x00\x00\x00\x00\x00"+"\x07\x00\x00\x00\x01\x03\x00"))) // pause(0), func_no_args()
	receive(t, s.began, "pause")
	stopped := make(chan error, 1)
	go func() { stopped <- srv.Shutdown(context.Background()) }()
	idle.wantRaised("DisconnectedError", "", "raw", hexBytes(nil)) // all have been told
	close(s.release)
	d.wantReply(hexBytes([]byte{0, 0, 0, 0}))
	d.wantRaised("ServerShutdown", "the server is shutting down", "raw", hexBytes(nil))
	if err := receive(t, stopped, "end of Shutdown"); err != nil {
		t.Error(err)
	}
}

func TestSessionCloseTellsWhy(t *testing.T) {
	s := newService()
	srv, addr := serve(t, s, bsrpc.ServerOptions{})
	d := connected(t, addr)
	d.order("pause", 0)
	receive(t, s.began, "pause")
	srv.Sessions()[0].Close("calibration")
	if r := d.reply(); fmt.Sprint(r.Raised) != "[ConnectionError Server exception: calibration]" {
		t.Errorf("raised %q", r.Raised)
	}
}
