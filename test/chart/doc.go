// Package chart holds the Helm chart to its promises: what it renders for which
// values, that its rights are one list, that docs/kubernetes/install.yaml is its
// default rendering, and that every metric it names exists.
package chart
