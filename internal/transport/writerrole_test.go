package transport

import "testing"

var roleNames = [...]string{"nobody", "a caller", "the connection"}

func TestWriterRolePass(t *testing.T) {
	good := map[[2]writerRole]bool{
		{noWriter, callerWriter}: true, {noWriter, connWriter}: true,
		{callerWriter, noWriter}: true, {callerWriter, connWriter}: true,
		{connWriter, noWriter}: true,
	}
	for is := range connWriter + 1 {
		for from := range connWriter + 1 {
			for to := range connWriter + 1 {
				r, panicked := is, true
				func() {
					defer func() { recover() }()
					r.passLocked(from, to)
					panicked = false
				}()
				if want := is == from && good[[2]writerRole{from, to}]; panicked == want {
					t.Errorf("it is %s's, from %s to %s: panicked %v", roleNames[is], roleNames[from], roleNames[to], panicked)
				}
			}
		}
	}
}
