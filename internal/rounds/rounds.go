// Package rounds says how long tests run: at full length with the build tag bsrpc_long, as in
// CI. Only tests import it.
package rounds

// Of returns quick, or long at full length. It is a number of rounds, or a size.
func Of(quick, long int) int {
	if Long {
		return long
	}
	return quick
}
