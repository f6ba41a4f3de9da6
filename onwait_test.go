package bsrpc

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A panic in OnWait is the error of Dial, and the next client is admitted. A hang
// delays neither the end of the context nor the admission.
func TestOnWaitIsGuarded(t *testing.T) {
	for name, fall := range falls {
		for _, basic := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					lines, log := linesAt(0)
					srv := testeeServer(t, newTestee(), &ServerOptions{MaxSessions: 1, Limits: Limits{SessionLease: NoLimit}})
					dial := dialed
					if basic {
						srv = basicServer(t, newBasicClerk(), exclusive())
						dial = func(srv *Server) net.Conn { return &plainInit{Conn: dialed(srv)} }
					}
					holder, err := NewClient(t.Context(), dialed(srv), nil)
					if err != nil {
						t.Fatal(err)
					}
					thaw := make(chan struct{})
					opts := &ClientOptions{Logger: log, Basic: basic, OnWait: func(int) { fall(thaw) }, Limits: Limits{PingAfter: NoLimit}}
					if name != "hang" {
						_, err := NewClient(t.Context(), dial(srv), opts)
						var e *Error
						if !errors.As(err, &e) || e.Code != CodeInternal || !strings.Contains(e.Message, "panic in OnWait") || !strings.Contains(lines.String(), "id="+e.ID) {
							t.Errorf("got %v; logged %s", err, lines)
						}
					} else {
						ctx, cancel := context.WithTimeout(t.Context(), time.Second)
						defer cancel()
						start := time.Now()
						if _, err := NewClient(ctx, dial(srv), opts); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
							t.Errorf("got %v after %v", err, time.Since(start))
						}
						time.AfterFunc(10*time.Second, func() { holder.Close() })
						client, err := NewClient(t.Context(), dial(srv), opts)
						if took := time.Since(start); err != nil || took > 12*time.Second {
							t.Fatalf("admitted: %v after %v", err, took)
						}
						client.Close()
					}
					holder.Close()
					synctest.Wait()
					next, err := NewClient(t.Context(), dialed(srv), &ClientOptions{OnWait: func(int) { t.Error("the place is held") }})
					if err != nil {
						t.Fatal(err)
					}
					next.Close()
					close(thaw)
					srv.Close()
				})
			})
		}
	}
}

// Calls of OnWait do not overlap, and each gets the newest position.
func TestOnWaitGetsNewestPosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := testeeServer(t, newTestee(), &ServerOptions{MaxSessions: 1, Limits: Limits{SessionLease: NoLimit}})
		holder, err := NewClient(t.Context(), dialed(srv), nil)
		if err != nil {
			t.Fatal(err)
		}
		var leave []context.CancelFunc
		for range 3 {
			ctx, cancel := context.WithCancel(context.Background())
			leave = append(leave, cancel)
			go NewClient(ctx, dialed(srv), &ClientOptions{Logger: quiet})
			synctest.Wait()
		}
		var told []int
		running := false
		last := make(chan *Client)
		go func() {
			client, err := NewClient(context.Background(), dialed(srv), &ClientOptions{OnWait: func(n int) {
				if running {
					t.Error("two calls at a time")
				}
				running = true
				time.Sleep(time.Minute)
				told = append(told, n)
				running = false
			}})
			if err != nil {
				t.Error(err)
			}
			last <- client
		}()
		for _, cancel := range leave {
			time.Sleep(time.Second)
			cancel()
		}
		time.Sleep(2 * time.Minute)
		holder.Close()
		(<-last).Close()
		if len(told) != 2 || told[0] != 4 || told[1] != 1 {
			t.Errorf("told %v, want 4 and then 1", told)
		}
		srv.Close()
	})
}
