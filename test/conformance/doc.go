// Package conformance runs the conformance suite of the Gateway API, unchanged, on
// a cluster of test/cluster: `make conformance`. It is a Go module of its own, since
// nobody who builds Signet needs what the suite needs.
package conformance
