// Package graph is an incremental engine: tables of inputs, tables of units
// derived from them by pure functions, and indexes over both.
//
// # What it promises
//
//   - A unit is recomputed exactly when something it has read changed: rows and
//     index entries, hits and misses alike. Nobody lists dependencies by hand:
//     the Reader records them.
//   - Tables are layered in the order in which they are added. A unit reads
//     only inputs, indexes and units of tables added before its own, so one
//     commit settles every table once, without glitches.
//   - A value that is equal to the one before cuts the change off.
//   - A commit yields one immutable Revision. Readers of a revision never block
//     the writer and are never blocked by it.
//   - The values of a revision depend on the inputs alone, never on the order of
//     events.
//   - A unit that fails, panics or reads a table of its own or a later layer is
//     withheld and named; everything else commits.
//   - Endpoint-like tables in the Fast lane are committed while a large
//     recomputation of the Main lane is under way.
//
// # What it never does
//
// It never interprets values, never starts a goroutine by itself, never drops
// a change, and never changes a value that was handed to it: inputs and unit
// values must be immutable, which is the one way to misuse it.
package graph
