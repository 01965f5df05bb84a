// Package metrics is the one registry of Signet's metrics: those of its parts,
// which each part names in one place, and what can be counted of the current
// revision. docs/metrics.md explains each; a test compares the two.
//
// A scrape reads the current revision and never makes a commit wait. Counting
// what a revision serves walks its routes once for each revision that is
// scraped. Labels are bounded: fleets, tables of the graph, and the certificates
// that are referred to. No metric holds content of an object; certificates are
// named by the object that holds them.
package metrics
