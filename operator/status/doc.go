// Package status is the one place that writes statuses to an API server.
//
// A [Writer] is told which objects to look at, and asks for the status that an
// object should have when it comes to it: however often an object is touched,
// the newest status is written, once. It writes only what differs from what
// the API server has: of an HTTPProxy and an EnvoyFleet by server-side apply of
// the fields that are Signet's, of the kinds of the Gateway API, whose lists of
// entries are atomic, over the version that was read. The entries, conditions and
// fields of others stay as they are. Many are written at the same time; an object
// that fails is tried again, later and later, and delays no other; thousands of
// routes delay no Gateway. What was written is compared with no cache that does not
// show it yet. A look that can wait ([Writer.TouchSettled]) waits until what causes
// it has stopped.
//
// It runs on the leader alone, never delays translation or delivery, and on
// taking over rewrites nothing that is right.
package status
