package image

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// SignetName is the name of Signet's own image, without a tag.
const SignetName = "signetproxy.io/signet"

// SignetOptions shape Signet's image.
type SignetOptions struct {
	// Module is the folder of the repository; Scratch is one for the binary.
	Module, Scratch string
	// Version is shown by `signet version` and becomes the tag.
	Version string
	// Architecture is GOARCH; empty is this machine's.
	Architecture string
	// Envoy is the Envoy of that architecture; its libraries are this machine's.
	Envoy string
	// Created dates the image; zero is the start of 1970.
	Created time.Time
}

// Where the image's programs are, on the path that it sets.
const (
	signetPath = "/usr/local/bin/signet"
	envoyPath  = "/usr/local/bin/envoy"
)

// ErrNoEnvoy means that no Envoy is named for an architecture.
var ErrNoEnvoy = errors.New("an Envoy is needed for the image: make image finds this machine's, --envoy names others")

// Signet builds the static binary and describes its image: that, Envoy with its
// libraries, and the public roots of trust, nothing else. It is the operator's
// and its fleets' pods' alike, so that both are always of one release. It runs
// as NonRoot, needs no capability and writes nothing, so a read-only root file
// system fits.
func Signet(ctx context.Context, o SignetOptions) (Spec, error) {
	if o.Envoy == "" {
		return Spec{}, fmt.Errorf("architecture %q: %w", o.Architecture, ErrNoEnvoy)
	}
	envoy, err := Closure(o.Envoy, envoyPath)
	if err != nil {
		return Spec{}, err
	}
	binary := filepath.Join(o.Scratch, "signet-"+o.Architecture)
	build := GoBuild{
		Module: o.Module, Packages: []string{"./cmd/signet"}, Architecture: o.Architecture,
		LinkerFlags: "-X main.version=" + o.Version,
	}
	if err := build.Build(ctx, binary); err != nil {
		return Spec{}, err
	}
	return Spec{
		Name: SignetName + ":" + o.Version, Architecture: o.Architecture,
		Files: append(append(People(), Roots(), File{Path: signetPath, Source: binary, Mode: 0o755}), envoy...),
		// The pods of fleets call both programs by name.
		Environment: []string{"PATH=/usr/local/bin"},
		Entrypoint:  []string{signetPath},
		User:        NonRoot,
		Labels: map[string]string{
			"org.opencontainers.image.title":    "signet",
			"org.opencontainers.image.version":  o.Version,
			"org.opencontainers.image.licenses": "Apache-2.0",
		},
		Created: o.Created, Compress: true,
	}, nil
}

// People are the files that name the users root and nonroot.
func People() []File {
	return []File{
		{Path: "/etc/group", Content: []byte("root:x:0:\nnonroot:x:65532:\n")},
		{Path: "/etc/passwd", Content: []byte(
			"root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n")},
	}
}

// Roots is the file of public roots of trust, where programs look for it: the
// roots that Mozilla trusts for servers, at the release that go.mod names and
// not whatever this machine has. Roots that are trusted for some certificates
// alone are left out, since a file cannot say so.
func Roots() File {
	var content bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		// A buffer takes everything.
		_ = pem.Encode(&content, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate})
	}
	return File{Path: "/etc/ssl/certs/ca-certificates.crt", Content: content.Bytes()}
}
