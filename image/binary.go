package image

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// GoBuild says how a static binary is built.
type GoBuild struct {
	// Module is the folder of the module, Packages are import paths within it.
	Module   string
	Packages []string
	// Architecture is GOARCH; empty is this machine's.
	Architecture string
	// LinkerFlags come after -s -w.
	LinkerFlags string
}

// Build builds static Linux binaries whose bytes depend on their source, their
// modules and the Go release alone. The output is a file, or for several
// packages a folder. A binary that is there and up to date costs little.
func (b *GoBuild) Build(ctx context.Context, output string) error {
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w " + b.LinkerFlags, "-o", output}
	cmd := exec.CommandContext(ctx, "go", append(args, b.Packages...)...)
	cmd.Dir = b.Module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOFLAGS=-mod=readonly")
	if b.Architecture != "" {
		cmd.Env = append(cmd.Env, "GOARCH="+b.Architecture)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build of %v: %w\n%s", b.Packages, err, out)
	}
	return nil
}

// Closure lists a binary, at the given path, and what it needs to run: for a
// dynamic one its loader and libraries, at their paths on this machine.
func Closure(source, path string) ([]File, error) {
	files := []File{{Path: path, Source: source, Mode: 0o755}}
	have := map[string]bool{}
	for queue := []string{source}; len(queue) > 0; queue = queue[1:] {
		needs, err := needs(queue[0])
		if err != nil {
			return nil, err
		}
		for _, lib := range needs {
			if have[lib] {
				continue
			}
			have[lib] = true
			files = append(files, File{Path: lib, Source: lib, Mode: 0o755})
			queue = append(queue, lib)
		}
	}
	return files, nil
}

// libraryFolders are where the loader looks without any configuration; the
// name of the architecture is Debian's.
var libraryFolders = map[elf.Machine][]string{
	elf.EM_X86_64:  {"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"},
	elf.EM_AARCH64: {"/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"},
}

// needs lists the absolute paths of a binary's loader and direct libraries.
func needs(file string) (paths []string, err error) {
	binary, err := elf.Open(file)
	if err != nil {
		return nil, fmt.Errorf("binary %s: %w", file, err)
	}
	defer func() { err = errors.Join(err, binary.Close()) }()
	for _, p := range binary.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		loader := make([]byte, p.Filesz)
		if _, err := p.ReadAt(loader, 0); err != nil {
			return nil, fmt.Errorf("binary %s: its loader: %w", file, err)
		}
		paths = append(paths, string(slices.DeleteFunc(loader, func(b byte) bool { return b == 0 })))
	}
	names, err := binary.ImportedLibraries()
	if err != nil {
		return nil, fmt.Errorf("binary %s: its libraries: %w", file, err)
	}
	for _, name := range names {
		lib, err := library(name, libraryFolders[binary.Machine])
		if err != nil {
			return nil, fmt.Errorf("binary %s: %w", file, err)
		}
		paths = append(paths, lib)
	}
	return paths, nil
}

func library(name string, folders []string) (string, error) {
	for _, folder := range folders {
		lib := filepath.Join(folder, name)
		if _, err := os.Stat(lib); err == nil {
			return lib, nil
		}
	}
	return "", fmt.Errorf("library %s is in none of %v", name, folders)
}
