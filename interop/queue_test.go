package interop

// Clients of both kinds wait in one queue of a server of this library.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/bsrpc/bsrpc"
)

var exclusive = bsrpc.ServerOptions{MaxSessions: 1}

// await starts a Python client that waits in the queue, polling quickly.
func (o *office) await(t *testing.T) *console {
	t.Helper()
	c := o.visit(t, "0.02")
	c.send("connect()")
	c.await("asked")
	return c
}

// A native client waits, and later has a place.
type native struct {
	*bsrpc.Client
	desk *Desk
	err  error
}

// awaitNative starts a client of this library that waits in the queue, where it
// must have the position.
func (o *office) awaitNative(t *testing.T, position int) <-chan native {
	t.Helper()
	waits := make(chan int, 100)
	admitted := make(chan native, 1)
	go func() {
		var n native
		n.Client, n.err = bsrpc.Dial(context.Background(), "tcp", o.addr(), &bsrpc.ClientOptions{
			OnWait: func(position int) { waits <- position },
		})
		if n.err == nil {
			n.desk, n.err = bsrpc.Bind[Desk](context.Background(), n.Client, "Desk")
		}
		admitted <- n
	}()
	if got := within(t, "a position in the queue", waits); got != position {
		t.Errorf("a native client has position %d, want %d", got, position)
	}
	return admitted
}

// Whoever came first is served first, whatever it is.
func TestOneQueue(t *testing.T) {
	interop(t)
	o := openOffice(t, exclusive)
	holder := o.admit(t)
	var want []string
	var natives sync.WaitGroup
	for i := range 6 {
		name := fmt.Sprint("visitor ", i)
		want = append(want, name)
		if i%2 == 0 {
			c := o.await(t)
			c.send(fmt.Sprintf("desk.hello(%q)", name))
			c.send("leave()")
			continue
		}
		admitted := o.awaitNative(t, i+1)
		natives.Go(func() {
			n := <-admitted
			if n.err == nil {
				_, n.err = n.desk.Hello(context.Background(), name)
				n.Close()
			}
			if n.err != nil {
				t.Errorf("%s: %v", name, n.err)
			}
		})
	}
	holder.want("desk.hello('holder')", "'hello holder'")
	holder.want("leave()", "None")
	got := []string{}
	for range 7 {
		got = append(got, within(t, "the next", o.names))
	}
	natives.Wait()
	if want = append([]string{"holder"}, want...); !slices.Equal(got, want) {
		t.Errorf("served\n%q, want\n%q", got, want)
	}
}

// A Python client that is killed gives up its place, also in the middle of a
// call, and the others keep their order.
func TestHolderIsKilled(t *testing.T) {
	interop(t)
	o := openOffice(t, exclusive)
	idle := o.admit(t)
	second, third := o.await(t), o.awaitNative(t, 2)
	fourth := o.await(t)

	idle.kill()
	second.wantAnswer("None")
	second.send("desk.hold()")
	within(t, "the call's begin", o.began)
	second.kill()

	n := within(t, "the third client", third)
	if n.err != nil {
		t.Fatal(n.err)
	}
	if s, err := n.desk.Hello(t.Context(), "native"); s != "hello native" || err != nil {
		t.Errorf("got %q, %v", s, err)
	}
	n.Close()
	fourth.wantAnswer("None")
	fourth.want("desk.hello('Bob')", "'hello Bob'")
}

// A client that is killed while it waits holds up nobody.
func TestWaiterIsKilled(t *testing.T) {
	interop(t)
	o := openOffice(t, exclusive)
	holder := o.admit(t)
	second, third := o.await(t), o.await(t)
	second.kill()
	holder.want("leave()", "None")
	third.wantAnswer("None")
	third.want("desk.hello('Bob')", "'hello Bob'")
}

func TestRefusals(t *testing.T) {
	interop(t)
	refusing := func(err error) bsrpc.ServerOptions {
		return bsrpc.ServerOptions{OnConnect: func(context.Context, *bsrpc.Session) error { return err }}
	}
	for _, tt := range []struct {
		name string
		opts bsrpc.ServerOptions
		held bool // there is another client
		want string
	}{
		{"RefuseWhenFull", bsrpc.ServerOptions{MaxSessions: 1, RefuseWhenFull: true}, true, `ConnectionError('Server exception: queue full')`},
		{"OnConnect", refusing(errors.New("not today")), false, `PermissionError('Server exception: not today')`},
		{"OnConnect by name", refusing(pythonError{"ValueError", "who are you?"}), false, `ValueError('who are you?')`},
		{"OnConnect by type", refusing(NotArmed{"first arm"}), false, `PermissionError('Server exception: first arm')`},
		{"OnConnect by a bad name", refusing(pythonError{"SystemExit", "go away"}), false, `PermissionError('Server exception: go away')`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := openOffice(t, tt.opts)
			if tt.held {
				holder := o.admit(t)
				defer holder.want("desk.add_2_words(1, 2)", "3")
			}
			c := o.visit(t)
			c.want("connect()", "! "+tt.want)
			c.want("connect()", "! "+tt.want)
			c.stop()
		})
	}
}

// MaxWaiting clients may wait; the next may not.
func TestFullQueue(t *testing.T) {
	interop(t)
	o := openOffice(t, bsrpc.ServerOptions{MaxSessions: 1, MaxWaiting: 1})
	holder := o.admit(t)
	waiter := o.await(t)
	o.visit(t).want("connect()", "! ConnectionError('Server exception: queue full')")
	holder.want("leave()", "None")
	waiter.wantAnswer("None")
}
