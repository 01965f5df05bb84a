//go:build linux

package folder_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// linked is a watched folder, and a folder beside it into which links lead.
type linked struct {
	*watched

	outside string
}

func (l *linked) at(name string) string { return filepath.Join(l.outside, name) }

func (l *linked) rename(from, to string) { l.must(os.Rename(l.at(from), l.at(to))) }

// point makes a symbolic link, in the place of one that is there.
func (l *linked) point(name, target string) {
	l.must(os.Symlink(target, l.at(".next")))
	l.rename(".next", name)
}

// TestWatchReplacedTarget replaces what a link leads to, through whichever of
// its ancestors.
func TestWatchReplacedTarget(t *testing.T) {
	cases := map[string]struct {
		reason  string
		link    string // in the watched folder
		target  string // outside
		replace func(l *linked)
		// Where the object a is then.
		then        string
		wantDeleted []string
	}{
		"a linked folder is moved away, another comes in its place": {
			reason: "what it held serves on meanwhile",
			link:   "shop", target: "v1",
			replace: func(l *linked) {
				l.rename("v1", "old")
				l.until(map[string]string{"a": "1", "b": "1"}, "shop: cannot be read: no such file or directory")
				l.rename("v2", "v1")
			},
			then: "v1/a.yaml", wantDeleted: []string{"b"},
		},
		"a linked folder is swapped at once": {
			reason: "without a look in between",
			link:   "shop", target: "v1",
			replace: func(l *linked) { l.rename("v1", "old"); l.rename("v2", "v1") },
			then:    "v1/a.yaml", wantDeleted: []string{"b"},
		},
		"a linked folder is removed and copied anew": {
			reason: "what is removed slowly is gone for a while, so that nothing is said of it",
			link:   "shop", target: "v1",
			replace: func(l *linked) {
				l.must(os.RemoveAll(l.at("v1")))
				write(l.T, l.outside, map[string]string{"v1/a.yaml": configMap("a", "2")})
			},
			then: "v1/a.yaml",
		},
		"a linked folder behind a link that is switched": {
			reason: "no event tells of it",
			link:   "shop", target: "current",
			replace: func(l *linked) { l.point("current", "v2") },
			then:    "v2/a.yaml", wantDeleted: []string{"b"},
		},
		"a linked file behind a link that is switched": {
			reason: "ln -sfn, as deployments of releases do",
			link:   "a.yaml", target: "current/a.yaml",
			replace: func(l *linked) { l.point("current", "v2") },
			then:    "v2/a.yaml",
		},
		"the folder of a linked file is replaced": {
			reason: "the same path leads to another file, in another folder",
			link:   "a.yaml", target: "v1/a.yaml",
			replace: func(l *linked) { l.rename("v1", "old"); l.rename("v2", "v1") },
			then:    "v1/a.yaml",
		},
		"the folder of a linked file is removed and made anew": {
			reason: "the kernel watches another folder by its path only when it is asked to",
			link:   "a.yaml", target: "v1/a.yaml",
			replace: func(l *linked) {
				l.must(os.RemoveAll(l.at("v1")))
				l.until(map[string]string{"a": "1"}, "a.yaml: cannot be read")
				write(l.T, l.outside, map[string]string{"v1/a.yaml": configMap("a", "2")})
			},
			then: "v1/a.yaml",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			l := &linked{outside: t.TempDir()}
			write(t, l.outside, map[string]string{
				"v1/a.yaml": configMap("a", "1"), "v1/b.yaml": configMap("b", "1"), "v2/a.yaml": configMap("a", "2"),
			})
			dir := t.TempDir()
			for link, target := range map[string]string{l.at("current"): "v1", filepath.Join(dir, tc.link): l.at(tc.target)} {
				if err := os.Symlink(target, link); err != nil {
					t.Fatal(err)
				}
			}
			l.watched = watchDir(t, dir)
			tc.replace(l)
			l.until(map[string]string{"a": "2"})
			if tc.wantDeleted != nil || tc.link == "a.yaml" {
				if !slices.Equal(l.deleted, tc.wantDeleted) {
					t.Errorf("%s: %v were gone, want %v", tc.reason, l.deleted, tc.wantDeleted)
				}
			}
			for _, value := range []string{"3", "4"} {
				write(t, l.outside, map[string]string{tc.then: configMap("a", value)})
				l.until(map[string]string{"a": value})
			}
		})
	}
}

// TestWatchDanglingLink holds that a link may come before what it leads to.
func TestWatchDanglingLink(t *testing.T) {
	for link, problem := range map[string]string{
		"shop":   "shop: warning: is a link to %q, which cannot be followed: no such file or directory: make what it leads to, or remove it",
		"a.yaml": "a.yaml: cannot be read: no such file or directory",
	} {
		t.Run(link, func(t *testing.T) {
			outside, dir := t.TempDir(), t.TempDir()
			target := filepath.Join(outside, "deep", "er")
			if link == "a.yaml" {
				target = filepath.Join(target, "a.yaml")
			}
			problem := strings.Replace(problem, "%q", strconv.Quote(target), 1)
			if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
				t.Fatal(err)
			}
			w := watchDir(t, dir)
			w.until(map[string]string{}, problem)
			for i := range 3 {
				write(t, outside, map[string]string{"deep/er/a.yaml": configMap("a", fmt.Sprint(i))})
				w.until(map[string]string{"a": fmt.Sprint(i)})
			}
		})
	}
}
