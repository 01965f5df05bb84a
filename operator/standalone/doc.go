// Package standalone is Signet without a cluster: a folder of manifests, an
// xDS server on loopback and one Envoy as a child process, assembled from the
// same parts as the operator.
//
// It promises that nothing is left behind when it ends, however it ends: no
// process, no socket, no folder. It never listens for xDS beyond loopback, and
// its Envoy is the only one whose certificate its authority has signed.
package standalone
