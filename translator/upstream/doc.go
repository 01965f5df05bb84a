// Package upstream takes every decision about a backend, once, for all front
// ends: which protocol, TLS or not, which SNI, which names and which CAs are
// accepted, which client certificate, which versions.
//
// Three steps lead from a route to an upstream:
//
//   - [ParseTrust] and [ParseKeyPair] judge what a Secret or ConfigMap holds.
//     What they accept, Envoy accepts; what is wrong is named by object, key,
//     block and line.
//   - [Decide] answers what one route asks of one Service port: a chain of
//     small rules over what [Objects] gives. The first rule that objects ends
//     it, and the route fails closed.
//   - [Finish] adds what the fleet brings (its client certificate and TLS
//     profile, judged by [FleetTLS]) and refuses what the fleet forbids.
//
// A new rule about a backend is one function, one line in the chain in
// decide.go, and one row in a table of tests. Beside the decisions stand
// [Endpoints], which picks the addresses of a Service port, and
// [CheckService], which finds annotations that say nothing.
//
// All of them are pure functions of their arguments. A validation that was
// asked for is never dropped: the answer is an upstream that verifies, or a
// [Problem]. The package reads no clock, starts nothing, knows no Envoy type,
// and never writes key material into a message.
package upstream
