// Package envoy writes the intermediate representation as Envoy resources.
//
// Every function is pure: equal input gives equal bytes, and with them an equal
// Version, on every replica and after every restart. Every resource, and every
// extension packed in it, has passed Envoy's own validation rules (ValidateAll)
// before it is returned, and what those rules do not cover but Envoy checks
// when it loads a resource (regular expressions, header names, format strings,
// addresses) is checked here: a refusal by Envoy is a defect of this package.
//
// # Layout
//
// A host is a scope: one ScopedRouteConfiguration with its route configuration
// inline, so that a change of one host costs the same whatever the number of
// hosts. Its key is the header "x-signet-scope", which early header mutation
// writes and which never leaves Envoy:
//
//	plain listener  <listener>|<host>
//	TLS listener    <listener>|<SNI>|<host>
//
// A host is looked up as it was sent, up to the first ':'. Where that finds no
// route, two Lua filters at the head of the chain, which every route
// configuration switches off for a hit, try again: the first in lower case, the
// second in the fallback scope of the listener, which holds its wildcard hosts,
// or, on a TLS listener, in the misdirected scope (421) when the host is not
// the one that the connection was opened for.
//
// TLS material travels by SDS alone. HTTPS hosts share one filter chain for
// each TLS profile and get their certificates on demand, by SNI.
//
// # What it never does
//
// It takes no decision about a backend, reads no Kubernetes type, and never
// weakens a check of a backend's certificate: there is no max_verify_depth in it,
// and ACCEPT_UNTRUSTED only where a Gateway asks for clients to be served
// whatever certificate they present.
package envoy
