package image

import (
	"bytes"
	"context"
	"encoding/pem"
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
	// Created dates the image; zero is the start of 1970.
	Created time.Time
}

// Signet builds the static binary and describes its image: that and the public
// roots of trust, nothing else. It runs as NonRoot, needs no capability and
// writes nothing, so a read-only root file system fits.
func Signet(ctx context.Context, o SignetOptions) (Spec, error) {
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
		Files:      append(People(), Roots(), File{Path: "/signet", Source: binary, Mode: 0o755}),
		Entrypoint: []string{"/signet"},
		User:       NonRoot,
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
