// Package gatewayapi holds what the parts of the Gateway API front end
// (gateway.networking.k8s.io/v1) share: the rules of host names, of references
// across namespaces (ReferenceGrant), and the form of conditions. The parts:
//
//	listener  GatewayClass, Gateway, ListenerSet: which listeners there are,
//	          what wins on a port, which certificates they present
//	policy    BackendTLSPolicy: what it asks of a backend, and which one wins
//	route     HTTPRoute: what a route says, which listeners it attaches to, and
//	          what a host of a listener serves in the end
//
// They promise that what cannot be served as asked fails closed and fails
// small: a backend that cannot be reached as asked gets its share of the
// requests answered with 500, a rule that is not supported answers 500 in its
// place, and no shorter path and no wider host takes its requests. A
// BackendTLSPolicy that cannot be honoured never leads to plaintext.
//
// The packages are pure functions of what they are given, know neither Envoy
// nor HTTPProxy, and decide nothing about a backend: that is
// translator/upstream.
package gatewayapi
