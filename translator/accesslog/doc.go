// Package accesslog judges what an EnvoyFleet asks its Envoys to log.
//
// It promises that Envoy takes every format string that passes here, so that a
// wrong one is refused on the EnvoyFleet that holds it and never by an Envoy: a
// command of a format is one of a list, with the argument and the length that
// Envoy wants for it. The test of that list asks a real Envoy.
//
// It never passes what reads files or runs expressions: a command whose
// argument Envoy alone can judge is not in the list.
package accesslog
