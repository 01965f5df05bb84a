// Package node is the inside of a test cluster: what runs in its mount,
// network and PID namespace. Init is PID 1, which reaps and whose end ends
// everything; Run, its one child, lays mounts, sysctls and addresses, starts
// the components of Kubernetes in their order, and starts again what ends.
//
// It runs in fresh namespaces alone and changes nothing outside them, but for
// the cgroup folder and the state folder that its Spec names.
package node
