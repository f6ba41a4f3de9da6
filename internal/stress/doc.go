// Package stress tests bsrpc with random programs of concurrent calls. A program follows from
// a seed. A model predicts the values, the order and the possible errors of each call. The
// package has tests only.
package stress
