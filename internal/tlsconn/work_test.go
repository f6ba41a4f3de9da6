package tlsconn

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Peers take turns, whatever the number of their handshakes. One that ends while it waits leaves the
// line, and nothing remains of it.
func TestWork(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2)) // so there is one turn at a time
	synctest.Test(t, func(t *testing.T) {
		var w Work
		var order []string
		parts := make(map[string]*part)
		come := func(name string) {
			p := newPart(&w, name[:1])
			p.answered.Store(true)
			parts[name] = p
			go func() {
				if err := p.begin(); err != nil {
					if err != os.ErrDeadlineExceeded {
						t.Errorf("%s: %v", name, err)
					}
					return
				}
				order = append(order, name)
			}()
			synctest.Wait()
		}
		for _, name := range []string{"a1", "a2", "a3", "a4", "b1", "c1", "b2"} {
			come(name)
		}
		parts["a3"].abandon()
		parts["a3"].abandon()
		synctest.Wait()
		for len(order) < 6 {
			before := len(order)
			parts[order[before-1]].end()
			if synctest.Wait(); len(order) != before+1 {
				t.Fatalf("after %v: the next one has no turn", order)
			}
		}
		if got, want := strings.Join(order, " "), "a1 a2 b1 c1 a4 b2"; got != want {
			t.Errorf("order %s, want %s", got, want)
		}
		come("d1")
		time.Sleep(turnTime)
		synctest.Wait()
		if order[len(order)-1] != "d1" {
			t.Errorf("the turn of another one has not ended: %v", order)
		}
		parts["b2"].end()
		parts["d1"].end()
		if w.running != 0 || len(w.byPeer)+len(w.peers) != 0 {
			t.Errorf("left: %d running, %v", w.running, w.peers)
		}
	})
}
