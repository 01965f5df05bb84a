// Package peer knows who is at the far end of an xDS connection, and for how
// long.
//
// It promises:
//   - A client is what the one URI name of its verified certificate says. TLS
//     1.3 and a certificate are required, whatever the configuration says.
//   - A connection ends before its certificate expires, or when it is old, at a
//     moment of its own, so that not all clients come back at once.
//
// It never decides which URI names a fleet, and never issues a certificate.
package peer
