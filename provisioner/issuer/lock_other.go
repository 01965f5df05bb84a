//go:build !unix

package issuer

import "os"

// lock does nothing: there is no standalone where there is no Envoy.
func lock(*os.File) error { return nil }
