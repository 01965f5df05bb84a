// Package smoke shows that a test cluster is what package cluster promises: it
// starts real ones, sends requests from the host through Envoys in pods, breaks
// them, and looks for what they leave. It needs root and the tools of `make
// tool-cluster`, so `make test-cluster` runs it and `make test` does not.
package smoke
