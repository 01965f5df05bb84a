// Package rules holds the rules of upstream TLS, S1 to S16, as Ginkgo specs for
// any place where Signet runs: a folder of manifests, or a cluster. They apply
// manifests, send requests through Envoy, and what the backends saw is what
// counts.
package rules
