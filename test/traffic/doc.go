// Command traffic measures what changes do under traffic: manifests in a
// folder, `signet standalone` as a process of its own, a real Envoy, TLS
// backends with validation, load at a fixed rate. Its scenarios are the table
// in scenario.go; `make bench-traffic` runs them.
//
// It says how long a change takes to reach traffic, which answers were not the
// expected ones, and what memory it takes; beside each figure stands the bar
// that is set for it, and whether it is met. It fails only if an answer was
// wrong: figures are for people to judge, with the noise of the machine that
// is measured before and after each scenario.
//
// The tests of this package run the scenarios about lost requests at small
// size, in one process with the race detector, and assert on answers alone.
package main
