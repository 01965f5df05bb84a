// Package kubernetes is the source that reads an API server, through
// controller-runtime's caches.
//
// It promises:
//   - The first batch that is Complete holds every object of every kind that
//     is served, and the contents of all Secrets and ConfigMaps that they
//     refer to.
//   - A kind with a CRD is watched from when the CRD appears, and let go when
//     it goes, without a restart. That is found by discovery, which every
//     account may use: it needs no right to read CRDs.
//   - The Gateway API is read as a whole or not at all: where one of its kinds may
//     not be listed, that is a Problem, and everything else is served. A kind that
//     the API server has in an older version alone is read in that.
//   - Of Secrets and ConfigMaps it holds names and versions. Contents are read
//     for those that a delivered object refers to ([Options.References]), and
//     never of a type of Secret that cannot be used. An object is delivered
//     with what it refers to, not before.
//   - A route, and a Service and endpoints that routes send to, are delivered no
//     sooner than the BackendTLSPolicies that were there before them, with what
//     these refer to: no route leads in cleartext to a Service for want of a policy
//     that is on its way ([Options.Uses]). Nor is what lets routes through that have
//     come before: a Gateway, a ReferenceGrant, labels of a Namespace.
//   - Nor is a route delivered with a Service that is new to it before the
//     EndpointSlices that were there: requests go on to where they went
//     ([Options.Backends]). Nor before the Services themselves, what it includes and
//     what permits it to refer to another namespace ([Options.Lacks]).
//   - What an object was is delivered until what came before its end, and shares a
//     Service or a parent with it, is: what replaces it. Nor does a BackendTLSPolicy
//     go before the routes to its Service, and the Gateways, ListenerSets and
//     ReferenceGrants of these, that went, or were changed, before it.
//   - What is delivered and waits to be replaced keeps what it alone uses: the end of
//     its Service, endpoints, Secret or ConfigMap is delivered no sooner, if that
//     comes while it waits.
//   - An API server that was away costs seconds: requests are repeated within
//     [maxPause], not with client-go's back-off of up to a minute. One that has
//     forgotten what a watch has seen last (410) is asked for all again after
//     client-go's own pause: a second, and longer if it happens again within two
//     minutes.
//
// It writes nothing, and decides nothing about what an object means.
package kubernetes
