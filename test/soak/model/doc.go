// Package model judges the history of a soak: what happened, against what the
// manifests allowed at that time.
//
// It is a model of its own of what HTTPProxies, Services, EndpointSlices,
// Secrets and delegations mean, for the kinds of them that a soak writes. It
// shares nothing with the translator, and imports nothing of the project, so
// that a mistake there cannot excuse itself here.
//
// A history is a list of facts with their times: changes of manifests, answers,
// what backends saw, faults that were made, what was found in the wrong hands.
// Delivery takes time, so from the moment a change begins until it is settled
// (every ready Envoy has acknowledged it), what was and what is are both right;
// an object may be seen as it was together with another as it is. Before and
// after, one thing alone is right. What follows from all versions in that
// window is allowed, and all else is a violation:
//
//   - lost: a host whose manifests were right all the while did not answer as
//     they say;
//   - backend: a request arrived where no manifest of that time sends it;
//   - plaintext, unverified: it arrived where it should, but not as asked;
//   - leak: a fleet was sent what is another's;
//   - certificate: a host presented another certificate than its own.
//
// A killed Envoy excuses errors of requests that were open at that moment, and
// nothing else.
package model
