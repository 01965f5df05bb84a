// Command scale measures Signet in front of a real API server: thousands of
// objects in it, `signet operator` as a process of its own, a real Envoy of its
// fleet, TLS backends. Its scenarios are the table in scenario.go; `make
// bench-cluster` runs them.
//
// It says how long a start takes, how long a change takes from the API server's
// answer to traffic, how often statuses are written, and what memory it takes;
// beside each figure stands the bar that is set for it, and whether it is met.
// It fails only if something was wrong: an answer, a status, a byte of cleartext
// at a backend. Figures are for people to judge.
//
// The tests of this package run every scenario at small size, with an operator
// that has the race detector, and assert on what is right alone.
package main
