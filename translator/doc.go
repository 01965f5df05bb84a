// Package translator declares the graph: which inputs there are, which units
// are derived from them, in which layers, and which Envoy resources and
// statuses come out. It is the one place where the front ends, the decisions
// about upstreams and the Envoy resources meet.
//
// It promises that every value of a Revision depends on the inputs alone and
// that a change recomputes only what had read it. It holds no rule of its own:
// what an HTTPProxy means is in translator/httpproxy, what a backend needs in
// translator/upstream, how Envoy is told in translator/envoy. It imports no
// client and writes nothing.
package translator
