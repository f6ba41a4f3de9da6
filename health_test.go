package bsrpc

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/bsrpc/bsrpc/internal/health"
)

func TestHealthBoard(t *testing.T) {
	var b health.Board
	serving, changed := b.Get("Shop")
	if !serving {
		t.Error("a service begins unhealthy")
	}
	b.Set("Shop", true)
	select {
	case <-changed:
		t.Error("nothing has changed")
	default:
	}
	for _, step := range []struct {
		service       string
		serving, shop bool
	}{{"Shop", false, false}, {"", false, false}, {"Shop", true, false}, {"", true, true}, {"Other", false, true}} {
		_, changed := b.Get("Shop")
		b.Set(step.service, step.serving)
		<-changed
		if got, _ := b.Get("Shop"); got != step.shop {
			t.Errorf("after %q %v: got %v", step.service, step.serving, got)
		}
	}
}

// A watcher that compares, waits and compares again misses no last state.
func TestHealthBoardWatchers(t *testing.T) {
	var b health.Board
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				_, changed := b.Get("end")
				if serving, _ := b.Get("end"); !serving {
					return
				}
				<-changed
			}
		})
	}
	for i := range 1000 {
		b.Set("Shop", i%2 == 0)
	}
	b.Set("end", false)
	wg.Wait()
}

// Health says what the health checks of clients say, of servers of all kinds.
func TestServerHealth(t *testing.T) {
	srv := NewServer(&ServerOptions{Logger: quiet, MaxSessions: 1, OnConnect: func(context.Context, *Session) error { panic("a session") }})
	if err := srv.RegisterFunc("Shop.Pay", func() {}); err != nil {
		t.Fatal(err)
	}
	want := func(all, shop bool) {
		t.Helper()
		got := []bool{srv.Health(""), srv.Health("Shop"), srv.Health("Shp")}
		if !slices.Equal(got, []bool{all, shop, false}) {
			t.Errorf("got %v", got)
		}
	}
	want(true, true)
	srv.SetHealth("Shop", false)
	want(true, false)
	srv.SetHealth("", false)
	want(false, false)
	srv.SetHealth("Shop", true)
	srv.SetHealth("", true)
	want(true, true)
	srv.Close()
	want(false, false)
	if NewServer(&ServerOptions{Logger: quiet, MaxSessions: -7}).Health("") {
		t.Error("a server with invalid options is ready")
	}
}
