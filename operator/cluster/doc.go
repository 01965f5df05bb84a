// Package cluster is Signet in a Kubernetes cluster: the same parts as in
// operator/standalone, with an API server in place of a folder and pods in place
// of a child process.
//
// Every replica reads, translates and serves xDS. The leader alone writes: the
// objects of fleets, their certificates, and statuses. Leading comes in terms: a
// replica that loses its lease, as when the API server is away, goes on to serve
// and stands for election again. A replica is ready when its first complete
// revision is committed and its xDS server has a certificate.
package cluster
