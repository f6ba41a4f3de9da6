package bsrpc_test

// A draining server waits for its handlers. Their calls to clients still have their callbacks
// and streams.

import (
	"context"
	"fmt"
	"iter"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bsrpc/bsrpc"
)

// A drainClient has methods of a client that take long, and call back.
type drainClient struct {
	Each func(ctx context.Context, n int, note func(int), ask func(context.Context, int) (int, error)) iter.Seq2[int, error]
	Sum  func(ctx context.Context, note func(int), items iter.Seq2[int, error]) (int, error)
	Note func(ctx context.Context, note func(int)) error
}

// A drainServer has a method whose handler calls its client.
type drainServer struct {
	work func(ctx context.Context) error
}

func (s *drainServer) Work(ctx context.Context) error { return s.work(ctx) }

// A lingering is a connection that is read on after its CLOSE frame, as sockets are.
type lingering struct{ net.Conn }

func (lingering) CloseWrite() error { return nil }

// newDrain returns a server and a client of it. proxy is set once the client is admitted.
func newDrain(t *testing.T, s *drainServer, handlers *drainClient) (srv *bsrpc.Server, client *bsrpc.Client, proxy *drainClient, conn *pausedConn) {
	t.Helper()
	srv = bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet, OnConnect: func(ctx context.Context, v *bsrpc.Session) (err error) {
		proxy, err = bsrpc.Bind[drainClient](ctx, v, "Client")
		return err
	}})
	if err := srv.RegisterName("Server", s); err != nil {
		t.Fatal(err)
	}
	methods := bsrpc.NewServer(&bsrpc.ServerOptions{Logger: quiet})
	if err := bsrpc.RegisterAs[drainClient](methods, "Client", handlers); err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	conn = &pausedConn{Conn: near, stop: make(chan struct{}), closed: make(chan struct{})}
	go srv.ServeConn(lingering{far})
	client, err := bsrpc.NewClient(t.Context(), conn, &bsrpc.ClientOptions{Logger: quiet, Handlers: methods})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); srv.Close() })
	return srv, client, proxy, conn
}

func TestShutdownServesTheCallsOfHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handlers := &drainClient{
			Each: func(ctx context.Context, n int, note func(int), ask func(context.Context, int) (int, error)) iter.Seq2[int, error] {
				return func(yield func(int, error) bool) {
					for i := range n {
						time.Sleep(time.Second)
						note(i)
						if got, err := ask(ctx, i); !yield(got, err) || err != nil {
							return
						}
					}
				}
			},
			Sum: func(ctx context.Context, note func(int), items iter.Seq2[int, error]) (sum int, err error) {
				for i, err := range items {
					if err != nil {
						return 0, err
					}
					note(i)
					sum += i
				}
				return sum, nil
			},
			Note: func(ctx context.Context, note func(int)) error { note(1); return nil },
		}
		var srv *bsrpc.Server
		var proxy *drainClient
		down := make(chan error, 1)
		s := &drainServer{work: func(ctx context.Context) error {
			var notes []int // each proxy func returns after its callbacks
			note := func(i int) { notes = append(notes, i) }
			each := proxy.Each(ctx, 3, note, func(_ context.Context, i int) (int, error) { return 10 * i, nil })
			go func() { down <- srv.Shutdown(context.Background()) }()
			var got []int
			for i, err := range each {
				if err != nil {
					return err
				}
				got = append(got, i)
			}
			if !slices.Equal(got, []int{0, 10, 20}) || !slices.Equal(notes, []int{0, 1, 2}) {
				t.Errorf("items %v, notes %v", got, notes)
			}
			notes = nil
			sum, err := proxy.Sum(ctx, note, func(yield func(int, error) bool) {
				for i := 1; i < 4 && yield(i, nil); i++ {
					time.Sleep(time.Second)
				}
			})
			if sum != 6 || !slices.Equal(notes, []int{1, 2, 3}) {
				t.Errorf("sum %d, notes %v", sum, notes)
			}
			return err
		}}
		var client *bsrpc.Client
		srv, client, proxy, _ = newDrain(t, s, handlers)
		if err := client.Call(t.Context(), "Server.Work", nil); err != nil {
			t.Error(err)
		}
		if err := <-down; err != nil {
			t.Error(err)
		}
	})
}

// Shutdown does not wait for a call to a client from another goroutine. But if such a call
// succeeds, its callbacks have run.
func TestShutdownRunsTheCallbacksOfAnsweredCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		goOn := make(chan struct{})
		srv, _, proxy, conn := newDrain(t, new(drainServer), &drainClient{
			Each: func(context.Context, int, func(int), func(context.Context, int) (int, error)) iter.Seq2[int, error] {
				return nil
			},
			Sum:  func(context.Context, func(int), iter.Seq2[int, error]) (int, error) { return 0, nil },
			Note: func(_ context.Context, note func(int)) error { <-goOn; note(1); return nil },
		})
		result := make(chan string, 1)
		go func() {
			n := 0
			err := proxy.Note(context.Background(), func(int) { n++ })
			result <- fmt.Sprint(n, " ", err)
		}()
		synctest.Wait()
		close(conn.stop) // the client does not read the CLOSE
		go srv.Shutdown(context.Background())
		synctest.Wait()
		close(goOn)
		if got := <-result; got != "1 <nil>" {
			t.Errorf("callbacks and error: %s", got)
		}
	})
}
