package bsrpc

import (
	"iter"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A moody value encodes itself, and panics in the methods it names: "enc" and "dec",
// at the end where they run.
type moody struct{ how string }

func (m moody) MarshalText() ([]byte, error) {
	m.fall("enc")
	if m.how == "enc nil error" {
		return nil, (*Error)(nil) // its methods panic
	}
	return []byte(m.how), nil
}

func (m *moody) UnmarshalText(b []byte) error {
	m.how = string(b)
	m.fall("dec")
	if m.how == "dec nil error" {
		return (*Error)(nil)
	}
	return nil
}

func (m moody) fall(where string) {
	switch m.how {
	case where + " panic":
		panic("on purpose")
	case where + " panic nil":
		panic(nil)
	case where + " Goexit":
		runtime.Goexit()
	}
}

type moods struct{}

func (moods) Take(m moody) string   { return "taken" }
func (moods) Give(how string) moody { return moody{how} }
func (moods) Fail(how string) error { return moodyError{moody{how}} }
func (moods) Add(a, b int) int      { return a + b }

// A moodyError panics in its own methods.
type moodyError struct{ moody }

func (e moodyError) Error() string         { e.fall("Error"); return "an error" }
func (e moodyError) ExceptionName() string { e.fall("ExceptionName"); return "Moody" }
func (e moodyError) Is(error) bool         { e.fall("Is"); return false }
func (e moodyError) As(any) bool           { e.fall("As"); return false }
func (e moodyError) Unwrap() error         { e.fall("Unwrap"); return nil }

type moodsContract struct {
	Take func(m moody) (string, error)   `bsrpc:"id=0"`
	Give func(how string) (moody, error) `bsrpc:"id=1"`
	Fail func(how string) error          `bsrpc:"id=2"`
	Add  func(a, b int) (int, error)     `bsrpc:"(le4,le4) le4,id=3"`
}

func forMoods(t *testing.T, test func(t *testing.T, client *Client, proxy *moodsContract, clientLog, serverLog *logLines)) {
	for _, wire := range []string{"native", "basic"} {
		t.Run(wire, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				serverLines, serverLog := linesAt(slog.LevelInfo)
				clientLines, clientLog := linesAt(slog.LevelInfo)
				srv := NewServer(&ServerOptions{Logger: serverLog, Basic: true})
				if err := RegisterAs[moodsContract](srv, "Moods", moods{}); err != nil {
					t.Fatal(err)
				}
				var nc net.Conn = dialed(srv)
				if wire == "basic" {
					nc = &plainInit{Conn: nc}
				}
				client, err := NewClient(t.Context(), nc, &ClientOptions{Logger: clientLog, Basic: true})
				if err != nil {
					t.Fatal(err)
				}
				proxy, err := Bind[moodsContract](t.Context(), client, "Moods")
				if err != nil {
					t.Fatal(err)
				}
				test(t, client, proxy, clientLines, serverLines)
				if sum, err := proxy.Add(1, 2); sum != 3 || err != nil {
					t.Errorf("the next call: %d, %v", sum, err)
				}
				if client.native != nil {
					checkEmpty(t, client.native.Conn)
				}
				client.Close()
				srv.Close()
				checkBooked(t, srv)
			})
		})
	}
}

// A panic in the encoder or decoder of a type fails its call at the client. The error
// names the method and the type, and the client logs the stack.
func TestEncodersAtTheClient(t *testing.T) {
	forMoods(t, func(t *testing.T, client *Client, proxy *moodsContract, log, _ *logLines) {
		check := func(err error, outcome Outcome, texts ...string) {
			t.Helper()
			wantCall(t, err, CodeInternal, outcome, "panic while")
			e := err.(*Error)
			for _, text := range append(texts, "bsrpc.moody", "this end's log") {
				if !strings.Contains(e.Error(), text) {
					t.Errorf("%v: want %q", e, text)
				}
			}
			if e.ID == "" || !strings.Contains(log.String(), "id="+e.ID) {
				t.Errorf("%v: logged %s", e, log)
			}
		}
		for _, how := range []string{"enc panic", "enc panic nil"} {
			_, err := proxy.Take(moody{how})
			check(err, OutcomeNotRun, "Moods.Take", "encoding")
			if client.native != nil {
				var text string
				check(client.Call(t.Context(), "Moods.Take", []any{moody{how}}, &text), OutcomeNotRun, "Moods.Take", "encoding")
			}
		}
		for _, how := range []string{"dec panic", "dec panic nil"} {
			got, err := proxy.Give(how)
			check(err, OutcomeAnswered, "Moods.Give", "decoding")
			if got != (moody{}) {
				t.Errorf("got %v beside the error", got)
			}
			if client.native != nil {
				var got moody
				check(client.Call(t.Context(), "Moods.Give", []any{how}, &got), OutcomeAnswered, "Moods.Give", "decoding")
			}
		}
		_, err := proxy.Take(moody{"enc nil error"})
		wantCall(t, err, CodeInvalidArgument, OutcomeNotRun, "bsrpc.moody.MarshalText returned an error")
		_, err = proxy.Give("dec nil error")
		wantCall(t, err, CodeInternal, OutcomeAnswered, "bsrpc.moody.UnmarshalText returned an error")
		ended := make(chan struct{})
		go func() { // ends its own goroutine, and leaves nothing behind
			defer close(ended)
			proxy.Take(moody{"enc Goexit"})
			t.Error("Goexit did not")
		}()
		<-ended
	})
}

// A panic in the decoder of an item is the last error of its stream, at the client that ranges over it.
func TestPanicsInDecodersOfItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := NewServer(&ServerOptions{Logger: quiet})
		if err := srv.RegisterFunc("Moods.List", func(how string) iter.Seq2[moody, error] {
			return func(yield func(moody, error) bool) {
				_ = yield(moody{"calm"}, nil) && yield(moody{how}, nil) && yield(moody{}, nil)
			}
		}); err != nil {
			t.Fatal(err)
		}
		lines, log := linesAt(slog.LevelInfo)
		client, err := NewClient(t.Context(), dialed(srv), &ClientOptions{Logger: log})
		if err != nil {
			t.Fatal(err)
		}
		for how, text := range map[string]string{
			"dec panic":     "bsrpc: Moods.List: panic while decoding a bsrpc.moody (id ",
			"dec nil error": "bsrpc: cannot decode an item: Moods.List, item 2: result 1, moody: bsrpc.moody.UnmarshalText returned an error",
			"enc nil error": "bsrpc: Moods.List, item 2: result 1, moody: bsrpc.moody.MarshalText returned an error",
		} {
			var list iter.Seq2[moody, error]
			if err := client.Call(t.Context(), "Moods.List", []any{how}, &list); err != nil {
				t.Fatal(err)
			}
			items, last := 0, error(nil)
			for m, err := range list {
				if last = err; err == nil && m.how == "calm" {
					items++
				}
			}
			if items != 1 || CodeOf(last) != CodeInternal || !strings.HasPrefix(last.Error(), text) {
				t.Errorf("%s: %d items, %v", how, items, last)
			}
		}
		if n := strings.Count(lines.String(), "bsrpc: panic while decoding"); n != 1 {
			t.Errorf("%d lines of panics in the log:\n%s", n, lines)
		}
		client.Close()
		srv.Close()
	})
}

// At a server such panics fail their call too, as do those in the methods of errors.
func TestEncodersAtTheServer(t *testing.T) {
	forMoods(t, func(t *testing.T, client *Client, proxy *moodsContract, _, log *logLines) {
		for _, how := range []string{"panic", "panic nil", "Goexit"} {
			time.Sleep(time.Second) // ten lines a second have ids
			_, err := proxy.Take(moody{"dec " + how})
			wantFall(t, err)
			_, err = proxy.Give("enc " + how)
			wantFall(t, err)
			for _, where := range []string{"Error", "ExceptionName", "Is", "As", "Unwrap"} {
				if err := proxy.Fail(where + " " + how); err == nil {
					t.Errorf("%s %s: not an error", where, how)
				}
			}
		}
	})
}

func wantFall(t *testing.T, err error) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), "panic in") || !strings.Contains(err.Error(), "the server's log") {
		t.Errorf("got %v", err)
	}
}
