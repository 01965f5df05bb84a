// Package rollout follows a change from the moment at which a source delivered
// it to its acknowledgement by Envoys: per object the revision that holds its
// newest state and how many Envoys have acknowledged that, and per kind a
// histogram of how long it took.
//
// It promises:
//   - Programmed means acknowledged: an Envoy counts when it has acknowledged
//     all that the fleet was changed by up to the object's revision. That it was
//     sent, or that it is connected, counts for nothing.
//   - A change is over when every Envoy has acknowledged it that was connected
//     when it was committed, in all fleets that its revision changed. An Envoy
//     that connects later does not count for it; one that leaves does not hold
//     it up.
//   - Only what was measured is in the histogram: one observation for each
//     change that was acknowledged by at least one Envoy. The others are counted
//     by reason, see [Reason]. The state found at start (the first revision) and
//     a change that touched no Envoy are no changes to measure.
//   - Memory is bounded: per object two changes under way, the oldest and the
//     newest; what comes in between is superseded. So an object that changes
//     without pause is measured all the same. Per fleet at most MaxPending.
//   - The cost of a revision follows its changes, that of an acknowledgement the
//     revisions that it newly covers.
//
// It never looks into a resource, never waits, and decides nothing: neither
// translation nor delivery depends on it.
//
// The way of a change: the pipeline attaches a [Delivery] to what it submits to
// the graph, calls Commit with each revision before the xDS server is given it,
// and the xDS server tells OnJoin, OnAck and OnLeave.
package rollout
