package transport

import "testing"

var roleNames = [...]string{"no writer", "a caller", "the connection"}

func TestWriterRolePass(t *testing.T) {
	allowed := map[[2]writerRole]bool{
		{noWriter, callerWriter}: true, {noWriter, connWriter}: true,
		{callerWriter, noWriter}: true, {callerWriter, connWriter}: true,
		{connWriter, noWriter}: true,
	}
	for holder := range connWriter + 1 {
		for from := range connWriter + 1 {
			for to := range connWriter + 1 {
				r, panicked := holder, true
				func() {
					defer func() { recover() }()
					r.passLocked(from, to)
					panicked = false
				}()
				if want := holder == from && allowed[[2]writerRole{from, to}]; panicked == want {
					t.Errorf("held by %s, passed from %s to %s: panicked %v", roleNames[holder], roleNames[from], roleNames[to], panicked)
				}
			}
		}
	}
}
