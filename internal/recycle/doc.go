// Package recycle allocates the memory of long messages and reuses it once it
// is unreachable. Users need not return it: a finalizer does.
package recycle
