// Package accesslog proves what a real Envoy logs for an EnvoyFleet: whether a
// request, a connection and a handshake that failed are there, in which form,
// and that a wrong format is refused on the EnvoyFleet and changes nothing.
package accesslog
