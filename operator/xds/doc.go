// Package xds serves Envoy resources over delta ADS (the incremental
// aggregated discovery service), and says what each Envoy has acknowledged.
//
// It promises:
//   - An Envoy is what its verified client certificate says. It sees the
//     resources of its own fleet alone; node metadata decides nothing.
//   - Nothing of a fleet is sent before its first, complete revision.
//   - Make before break, by order on the stream: clusters, their endpoints,
//     secrets, listeners, scopes, pushed without waiting; what is no longer
//     used is removed when Envoy has acknowledged what stopped using it, and
//     clusters after Options.Linger: requests that came before may look for them.
//   - What newly leads to a cluster that checks health or resolves a name waits
//     until Envoy uses that cluster, for Options.WarmingTimeout at most.
//   - Every subscription by name is answered at once, with the resource or
//     with a removal, unless the answer is under way already.
//   - A stream costs what changed, not what exists; the bytes of a resource
//     are made once and shared by all streams; a stuck stream delays no other.
//   - A reconnecting Envoy gets the difference alone: versions are digests.
//   - A rejection comes with the bytes that some Envoy of the fleet acknowledged
//     last, as long as nothing newer is acknowledged.
//   - Clusters that do not get warm are named, and hold nothing else back. It is
//     said of each whether Envoy can wait for it alone, and whether any Envoy
//     serves it meanwhile.
//   - What is sent again belongs to the revision that it was sent for first.
//   - A cluster that is refused ahead of a secret that it uses is judged behind it.
//   - No client has more than its bounds of streams, names, bytes and answers
//     owed; what it does beyond them is counted, and costs no other anything.
//   - A connection ends before its certificate expires (package peer), and at
//     once when its authority is dropped; Envoy comes back and is sent nothing.
//
// It never looks into a resource, except for what a cluster needs to get warm, and
// whether a listener or scope leads to one that is not; nothing but these waits for
// an acknowledgement (Envoy withholds that of clusters while any of them warms); it
// never decides what to do about a
// rejection: it tells the Observer, and sends what it is given next.
//
// The way of an update: Publish makes the fleet's next snapshot (fleet.go) and
// wakes its streams. Each stream (stream.go) holds the snapshot that it has
// sent, asks for the changes up to the newest, and sends those that its Envoy
// subscribes to (subscription.go) in order (delivery.go), but for what is under way
// (underway.go) and what waits (cold.go); leaving.go removes what is used no more.
// acknowledge.go keeps account of the answers, isolate.go tells apart what was refused
// together, and warming.go and suspect.go name the clusters that get
// no answer. Every metric is named in
// metrics.go.
package xds
