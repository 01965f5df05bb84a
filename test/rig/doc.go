// Package rig is Signet before a real API server, without nodes: etcd and
// kube-apiserver, `signet operator` as a process of its own with the rights that
// the chart gives it, real Envoys of its fleets as host processes, and TLS
// backends.
//
// It promises that an Envoy is given what a pod of its fleet would be given: the
// identity from the Secret in the fleet's namespace and the bootstrap of `signet
// envoy bootstrap`. No pod runs, no controller of Kubernetes does.
//
// An API server takes no loopback address for an endpoint, so a rig lives in
// namespaces of Linux that [Inside] makes: [Address] is an address of loopback
// there, nothing of it is reached from outside, and no process outlives it.
//
// It never decides whether what it measures is right: that is its callers'.
package rig
