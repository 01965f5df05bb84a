// Package report is what Signet says of itself: which hosts and routes are
// served, how each upstream is reached and verified, and every object's
// status. `signet status` and `signet translate` print it as text or JSON.
//
// The JSON shape is documented in docs/status.md and stable: fields are added,
// never renamed or given another meaning. Private keys are never in a report;
// certificates are named by subject, fingerprint and expiry. A report is made
// from one committed revision without blocking anybody.
package report
