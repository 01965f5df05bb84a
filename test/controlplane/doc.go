// Package controlplane runs Signet's control plane as a process of its own,
// apart from its Envoys, for tests that kill it: a folder of manifests, the
// pipeline and the xDS server at a fixed loopback address, for several fleets.
// `signet standalone` ends its Envoy when it ends; here both sides live on.
//
// A binary that calls Start runs Main first thing, as it does the supervisor of
// provisioner/host. Identities come from files of mode 0600 that the test makes
// once ([Identities]), so that they outlive the process; each handshake reads
// them anew, so that they can be rotated while it runs.
//
// It promises that the process ends with its parent, however that ends, and
// that it holds nothing that it would need after a kill. It is never part of
// the product.
package controlplane
