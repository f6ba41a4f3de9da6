package transport

import "testing"

var roleNames = [...]string{"nobody", "a caller", "the connection"}

func TestRolePass(t *testing.T) {
	good := map[[2]role]bool{
		{nobodyWrites, callerWrites}: true, {nobodyWrites, connWrites}: true,
		{callerWrites, nobodyWrites}: true, {callerWrites, connWrites}: true,
		{connWrites, nobodyWrites}: true,
	}
	for is := range connWrites + 1 {
		for from := range connWrites + 1 {
			for to := range connWrites + 1 {
				r, panicked := is, true
				func() {
					defer func() { recover() }()
					r.passLocked(from, to)
					panicked = false
				}()
				if want := is == from && good[[2]role{from, to}]; panicked == want {
					t.Errorf("it is %s's, from %s to %s: panicked %v", roleNames[is], roleNames[from], roleNames[to], panicked)
				}
			}
		}
	}
}
