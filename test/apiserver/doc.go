// Package apiserver runs a real kube-apiserver with etcd for suites, by
// envtest, and does to it what happens to API servers: CRDs come and go, it
// stops and starts. It is never part of the product.
package apiserver
