// Package quarantine keeps what Envoy refuses from doing harm: it turns
// refusals into rows of the translator's Quarantine input, so that the unit at
// fault goes back to its last good bytes, or to its fail-closed form, for every
// Envoy of the fleet, while all else is delivered.
//
// It promises:
//   - A refusal is kept small. Of a listener or a scope only the filter chain,
//     host or route that Envoy refuses is held back. Where several have changed
//     at once, all of them are set aside first, so that the rest flows on, and
//     are let go again by halves: k bad ones among n are found in
//     O(k log n) answers of an Envoy.
//   - Where no last good version is known, as after a restart, nothing is set
//     aside: probes that serve nobody are judged in place of the whole, and no
//     innocent part is closed while the culprit is looked for.
//   - Other bytes are tried by themselves. A row goes when translation no
//     longer computes what was refused.
//   - A cluster that was refused while Envoy had a bad secret is tried once more
//     when the secret is mended, whichever is heard of first.
//   - What one Envoy has acknowledged is not taken from it because another
//     refuses it.
//   - The routes of a cluster that no Envoy gets warm take their fail-closed form
//     while that lasts, and their objects say what it waits for. Those of a cluster
//     that some Envoy serves, be it with earlier bytes, or that may only stand
//     beside one that is stuck, stay.
//   - What Envoys of another replica refuse is learned from it, and told by the
//     objects here too; it changes nothing of what is sent.
//   - Memory follows what is held back now, but for three numbers of each fleet.
//
// It never changes a resource itself, never delays a stream or a commit, and
// remembers nothing across a restart: refused bytes are then tried once more,
// and refused again.
//
// The search (book.go) is pure; quarantine.go feeds it with the answers of
// Envoys and submits what it decides.
package quarantine
