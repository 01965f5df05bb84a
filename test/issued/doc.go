// Package issued proves that `signet standalone` issues the client certificate
// that an EnvoyFleet asks for: a real Envoy presents it to a backend that demands
// one of the published authority.
package issued
