// Package lint proves that the repository's own lint rules bite: it writes
// small modules that break one rule each and expects golangci-lint, with the
// repository's configuration, to say so. It never looks at the repository's
// code; `make lint` does.
package lint
