// Package quarantine proves with a real Envoy that what Envoy refuses hurts
// nobody else: among a thousand good resources of each type a bad one is held
// back, named in the status of its object with Envoy's words, and served again
// when it is mended. Signet makes nothing that Envoy refuses, so the tests spoil
// what leaves the translator, by marks in the manifests.
package quarantine
