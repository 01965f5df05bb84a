// Package e2e shows Signet on a real Kubernetes node with real pods: the chart
// installed by Helm, manifests applied by kubectl, Envoys in pods, backends with
// real certificates, requests from outside the cluster. `make e2e` runs it.
//
// The cluster is made for the suite and ends with it, however that ends. With
// SIGNET_E2E_CLUSTER the suite uses the cluster of that name (`make cluster-up
// NAME=x`), installs into it and leaves it as it is.
package e2e
