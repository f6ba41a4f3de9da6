// Package recycle makes the memory of long messages, and lets it be used again
// without a rule for its users.
package recycle
