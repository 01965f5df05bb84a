// Package image makes container images out of files, without a container
// engine: it lays files into one layer and writes OCI image layouts as tar
// archives, which containerd, podman, skopeo and registries' clients read.
//
// The same input gives the same bytes, and so the same digest, on every
// machine: entries are sorted, owned by root and dated Created, and nothing of
// the machine's clock, users or file modes gets in. It never fetches anything;
// an image has no base image.
//
// Signet describes the product's own image; images of the test bed are
// described in test/cluster. `make image` is its command.
package image
