// Package bootstrap renders what an Envoy of a fleet reads from files: its
// bootstrap, and the two SDS resources by which it knows the control plane and
// is known by it.
//
// All else comes by delta ADS over one stream that is authenticated both ways:
// TLS 1.3, a client certificate, and the exact name of the server. The output
// is deterministic and passes Envoy's own validation rules.
//
// The package never touches a disk and never holds listeners, clusters or
// routes of users; access logs are the listeners' matter.
package bootstrap
