//go:build !unix

package issuer

import (
	"context"
	"os"
)

// lock does nothing: there is no standalone where there is no Envoy.
func lock(context.Context, *os.File) error { return nil }
