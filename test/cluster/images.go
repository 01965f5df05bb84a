package cluster

import (
	"context"
	"fmt"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/signetproxy/signet/image"
)

// Names of the images that every cluster has. They come from this machine
// alone: pods that use them must not ask to pull always.
const (
	PauseImage = "localhost/pause:1"
	EchoImage  = "signetproxy.io/test/echo:1"
)

// EnvoyImage is the image of the pinned Envoy, or of the one that SIGNET_ENVOY
// names: the binary at /usr/local/bin/envoy, which is the entry point, with
// its libraries. It runs as a user without a name, on a read-only root.
func (c *Cluster) EnvoyImage() string { return c.layout.envoyImage() }

func (l *layout) envoyImage() string { return "signetproxy.io/test/envoy:" + l.versions["ENVOY"] }

func (l *layout) coreDNSImage() string { return "signetproxy.io/test/coredns:" + l.versions["COREDNS"] }

// testImage is an image of the test bed.
type testImage struct {
	file string
	spec image.Spec
}

// testImages describe the test bed's images; programs is the folder that build
// has filled.
func (l *layout) testImages(programs string) ([]testImage, error) {
	static := func(file, name, source string) testImage {
		path := "/" + file
		return testImage{file, image.Spec{
			Name: name, Entrypoint: []string{path}, User: image.NonRoot,
			Files: append(image.People(), image.File{Path: path, Source: source, Mode: 0o755}),
		}}
	}
	const envoy = "/usr/local/bin/envoy"
	files, err := image.Closure(l.envoy(), envoy)
	if err != nil {
		return nil, err
	}
	return []testImage{
		static("pause", PauseImage, filepath.Join(programs, "pause")),
		static("echo", EchoImage, filepath.Join(programs, "echo")),
		static("coredns", l.coreDNSImage(), filepath.Join(l.tool("coredns"), "coredns")),
		{"envoy", image.Spec{
			Name: l.envoyImage(), Entrypoint: []string{envoy}, User: image.NonRoot,
			Files: append(append(image.People(), image.Roots()), files...),
		}},
	}, nil
}

// build builds the programs of the test bed into a folder: the cluster's own,
// called cmd, and those of images.
func (l *layout) build(ctx context.Context, folder string) error {
	b := image.GoBuild{Module: l.repository, Packages: []string{"./test/cluster/cmd", "./test/cluster/pause", "./test/backend/echo"}}
	return b.Build(ctx, folder+string(filepath.Separator))
}

// WriteImages writes the archives of the test bed's images, NAME.tar, and
// tells each one's name and digest.
func WriteImages(ctx context.Context, folder, scratch string, tell func(file, name, digest string)) error {
	l, err := newLayout()
	if err != nil {
		return err
	}
	if err := l.build(ctx, scratch); err != nil {
		return err
	}
	images, err := l.testImages(scratch)
	if err != nil {
		return err
	}
	for _, i := range images {
		file := filepath.Join(folder, i.file+".tar")
		digest, err := image.WriteFile(file, i.spec)
		if err != nil {
			return err
		}
		tell(file, i.spec.Name, digest)
	}
	return nil
}

// loadTestImages writes and loads all of the test bed's images.
func (c *Cluster) loadTestImages(ctx context.Context) error {
	images, err := c.layout.testImages(c.state.File("bin"))
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2)
	for _, i := range images {
		group.Go(func() error {
			file := c.state.File("images", i.file+".tar")
			if _, err := image.WriteFile(file, i.spec); err != nil {
				return err
			}
			return c.LoadImage(ctx, file)
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("images: %w", err)
	}
	return nil
}

// LoadImage imports an archive, of an OCI image layout or of Docker's kind,
// into the node.
func (c *Cluster) LoadImage(ctx context.Context, archive string) error {
	if err := waitFor(ctx, "containerd's socket", func() error { return dial(ctx, c.state.Containerd()) }); err != nil {
		return err
	}
	_, err := output(ctx, filepath.Join(c.layout.tool("containerd"), "ctr"),
		"--address", c.state.Containerd(), "--namespace", "k8s.io", "images", "import", archive)
	return err
}
