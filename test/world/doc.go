// Package world runs Signet as a user would for tests: a folder of manifests,
// `standalone` in this process, a real Envoy and real backends, all on
// loopback. What a test claims of traffic it shows with requests through that
// Envoy and with what the backends saw.
package world
