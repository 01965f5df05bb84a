// Package event writes Kubernetes Events for what an operator of a cluster wants
// to hear of without asking: that Envoy refuses what was made of an object, and
// that a certificate in use is about to expire.
//
// It promises that each fact is told once by a replica, on the object that can be
// mended: the HTTPProxy, Gateway or route that is refused, the EnvoyFleet or Gateway
// whose fleet is, the Secret or ConfigMap that expires. It never delays anything, and never holds key material.
// An Event that cannot be written is lost: statuses and metrics say the same.
package event
