// Package upstreamtls proves the rules of upstream TLS, S1 to S16, with a real
// Envoy and real TLS, on a folder of manifests. The rules themselves are in
// package rules.
package upstreamtls
