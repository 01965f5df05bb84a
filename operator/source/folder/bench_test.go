package folder_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/operator/source/folder"
)

const proxy = `apiVersion: projectcontour.io/v1
kind: HTTPProxy
metadata: {name: p%05d, namespace: shop}
spec:
  virtualhost: {fqdn: p%05d.example.com}
  routes:
  - conditions: [{prefix: /}]
    services:
    - name: web
      port: 443
      protocol: tls
      weight: %d
      validation: {caSecret: backend-ca, subjectName: web.example.com}
`

var sizes = []int{100, 20_000}

func fill(b *testing.B, n int) string {
	b.Helper()
	dir := b.TempDir()
	for i := range n {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("p%05d.yaml", i)), fmt.Appendf(nil, proxy, i, i, 1), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	return dir
}

// BenchmarkFirstRead is a folder of one HTTPProxy a file, read and validated.
func BenchmarkFirstRead(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("files=%d", n), func(b *testing.B) {
			dir := fill(b, n)
			for b.Loop() {
				if got, err := folder.Read(dir, nil); err != nil || len(got.Changed) != n {
					b.Fatal(err, len(got.Changed), got.Problems[:min(3, len(got.Problems))])
				}
			}
		})
	}
}

// run watches a folder and hands on what it delivers after all that is there.
func run(b *testing.B, dir string) <-chan source.Batch {
	b.Helper()
	batches, done := make(chan source.Batch, 10), make(chan error, 1)
	go func() {
		done <- folder.New(dir, folder.Options{}).Run(b.Context(), source.SinkFunc(func(x source.Batch) { batches <- x }))
	}()
	<-batches
	b.Cleanup(func() {
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	return batches
}

// BenchmarkOneFileChanged is the time from the write of one file to Apply. It
// must not depend on the number of files.
func BenchmarkOneFileChanged(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("files=%d", n), func(b *testing.B) {
			dir := fill(b, n)
			batches := run(b, dir)
			for i := 0; b.Loop(); i++ {
				path := filepath.Join(dir, fmt.Sprintf("p%05d.yaml", i%n))
				if err := os.WriteFile(path, fmt.Appendf(nil, proxy, i%n, i%n, i+2), 0o600); err != nil {
					b.Fatal(err)
				}
				if got := <-batches; len(got.Changed) != 1 {
					b.Fatal(got)
				}
			}
		})
	}
}

// BenchmarkLinkMade is the time from the making of one symbolic link to Apply,
// in a folder of others. It must not depend much on their number.
func BenchmarkLinkMade(b *testing.B) {
	for _, n := range []int{10, 2_000} {
		b.Run(fmt.Sprintf("links=%d", n), func(b *testing.B) {
			outside, dir := b.TempDir(), b.TempDir()
			put := func(i int) {
				name := fmt.Sprintf("p%06d.yaml", i)
				if err := os.WriteFile(filepath.Join(outside, name), fmt.Appendf(nil, proxy, i, i, 1), 0o600); err != nil {
					b.Fatal(err)
				}
				if err := os.Symlink(filepath.Join(outside, name), filepath.Join(dir, name)); err != nil {
					b.Fatal(err)
				}
			}
			for i := range n {
				put(i)
			}
			batches := run(b, dir)
			for i := n; b.Loop(); i++ {
				put(i)
				if got := <-batches; len(got.Changed) != 1 {
					b.Fatal(got)
				}
			}
		})
	}
}
