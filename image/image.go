package image

import (
	"fmt"
	"runtime"
	"time"

	oci "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// NonRoot is the user and group of images that need no other: a number, so
// that Kubernetes can see that it is not root (runAsNonRoot).
const NonRoot = "65532:65532"

// Spec describes an image for one platform.
type Spec struct {
	// Name is what the image is found by once it is loaded, with its tag:
	// "signetproxy.io/signet:v1.0.0".
	Name string
	// Architecture is GOARCH; empty is this machine's.
	Architecture string
	// Files is all that the image holds; the folders above them are made.
	Files []File
	// Entrypoint and Command are run together; users replace Command.
	Entrypoint, Command []string
	// Environment has lines NAME=value.
	Environment []string
	// User is "UID:GID".
	User string
	// Labels are the annotations of OCI, org.opencontainers.image.*.
	Labels map[string]string
	// Created dates the image and every file; zero is the start of 1970.
	Created time.Time
	// Compress makes the layer smaller, and slower to write and to load.
	Compress bool
}

// build makes the image and its configuration.
func (s *Spec) build() (oci.Image, error) {
	layer, err := newLayer(s.Files, s.created(), s.Compress)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", s.Name, err)
	}
	created := oci.Time{Time: s.created()}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.Append(base, mutate.Addendum{
		Layer:   layer,
		History: oci.History{Created: created, CreatedBy: "signet image", Comment: s.Name},
	})
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", s.Name, err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", s.Name, err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = "linux", s.architecture(), created
	config.Config = oci.Config{
		Entrypoint: s.Entrypoint, Cmd: s.Command, Env: s.Environment, User: s.User, WorkingDir: "/", Labels: s.Labels,
	}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		return nil, fmt.Errorf("image %s: %w", s.Name, err)
	}
	return img, nil
}

func (s *Spec) created() time.Time {
	if s.Created.IsZero() {
		return time.Unix(0, 0).UTC()
	}
	return s.Created.UTC().Truncate(time.Second)
}

func (s *Spec) architecture() string {
	if s.Architecture == "" {
		return runtime.GOARCH
	}
	return s.Architecture
}

func (s *Spec) platform() *oci.Platform {
	return &oci.Platform{OS: "linux", Architecture: s.architecture()}
}
