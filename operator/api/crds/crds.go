// Package crds holds the CustomResourceDefinitions of the kinds that Signet
// reads, written by operator/api/generate.sh. It decides
// nothing: installing and validating are done by who reads them.
package crds

import "embed"

// Files are the CRDs, one YAML document a file.
//
//go:embed *.yaml
var Files embed.FS
