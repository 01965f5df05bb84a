// Package pipeline is the one way of a change: a source's objects into the
// graph's inputs, a committed revision to the xDS server and to whoever
// watches. It owns the graph and is its only writer.
//
// It promises that every batch of a source becomes part of exactly one commit,
// in order; that nothing is delivered before the source has given its complete
// first list; and that time alone (a certificate that becomes valid or
// expires, a clock that is set) causes a commit too. One thing waits: a cluster's fleet that serves is not
// without a client certificate while Signet makes it (five seconds at most).
// It holds no rule of translation and writes no
// status.
package pipeline
