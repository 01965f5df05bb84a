// Package certificate issues and rotates the certificates by which a control
// plane and its Envoys know each other: one short-lived identity per fleet, a
// certificate for the xDS server, and the issuing authority behind both.
//
// What is due is decided by pure functions of a [State] and a time ([Next],
// [Due]); [Apply] carries one decision out; a [Keeper] does both as time
// passes and hands out the results. An authority is replaced in two phases:
// the successor is trusted first, signs later, and the old one is dropped when
// all that it signed has expired, so a rotation never breaks a connection.
//
// The package never talks to a network, a disk or Kubernetes, never issues for
// a name outside Signet's trust domain, and never puts a private key into a
// log, an error or a JSON document: keys leave by [KeyPair.KeyPEM] alone.
package certificate
