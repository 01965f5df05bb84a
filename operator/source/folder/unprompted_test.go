package folder

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestUnprompted holds that a look that no close and no rename caused reads no
// file in the middle of a write.
func TestUnprompted(t *testing.T) {
	cases := map[string]struct {
		reason string
		play   func(s *script)
		want   []string
	}{
		"events are lost while a file is written": {
			reason: "a generator has truncated it and takes its time",
			play: func(s *script) {
				s.write("a.yaml", "")
				s.tell(overflowed, "")
				s.pass(time.Second)
				s.write("a.yaml", states("a", "2"))
				s.tell(written, "a.yaml")
			},
			want: []string{"1s: a"},
		},
		"the close is lost": {
			reason: "a file that stands still counts as closed",
			play: func(s *script) {
				s.write("a.yaml", states("a", "22"))
				s.tell(overflowed, "")
			},
			want: []string{"200ms: a"},
		},
		"the close of an emptied file is lost": {
			reason: "what it held is let go in the end",
			play: func(s *script) {
				s.write("a.yaml", "")
				s.tell(overflowed, "")
				s.pass(12 * time.Second)
			},
			want: []string{"10s: no a"},
		},
		"an object moves while events are lost": {
			reason: "what has vanished is held back until the others are read",
			play: func(s *script) {
				s.write("b.yaml", states("b", "1")+"---\n"+states("a", "2"))
				s.must(os.Remove(s.path("a.yaml")))
				s.tell(overflowed, "")
			},
			want: []string{"200ms: a"},
		},
		"new files while events are lost": {
			reason: "there is nothing to lose",
			play: func(s *script) {
				s.write("c.yaml", states("c", "1"))
				s.tell(overflowed, "")
			},
			want: []string{"0s: c"},
		},
		"the target of a link is written, another entry changes": {
			reason: "a link is looked at if it leads elsewhere, and only then",
			play: func(s *script) {
				s.write("../c.yaml", states("c", "1"))
				s.must(os.Symlink("../c.yaml", s.path("c.yaml")))
				s.tell(created, "c.yaml")
				s.write("../c.yaml", "")
				s.tell(removed, "4913")
				s.pass(3 * time.Second)
				s.write("../c.yaml", states("c", "2"))
				s.tell(written, "../c.yaml")
			},
			want: []string{"0s: c", "3s: c"},
		},
		"half of the target of a link is written": {
			reason: "its close is told, however long it takes",
			play: func(s *script) {
				s.write("../c.yaml", states("c", "1")+"---\n"+states("d", "1"))
				s.must(os.Symlink("../c.yaml", s.path("c.yaml")))
				s.tell(created, "c.yaml")
				s.write("../c.yaml", states("c", "2"))
				s.tell(modified, "../c.yaml")
				s.pass(20 * time.Second)
				s.write("../c.yaml", states("c", "2")+"---\n"+states("d", "2"))
				s.tell(written, "../c.yaml")
			},
			want: []string{"0s: c", "0s: d", "20s: c", "20s: d"},
		},
		"a file is truncated again before its close is looked at": {
			reason: "its writer saves twice",
			play: func(s *script) {
				s.write("a.yaml", "")
				s.events <- []event{{s.path("a.yaml"), written}, {s.path("a.yaml"), modified}}
				s.pass(time.Second)
				s.write("a.yaml", states("a", "2"))
				s.tell(written, "a.yaml")
			},
			want: []string{"1s: a"},
		},
		"a file is truncated again before it is read": {
			reason: "what is told while a file is read counts",
			play: func(s *script) {
				s.write("a.yaml", "")
				s.soon = []event{{s.path("a.yaml"), modified}}
				s.tell(written, "a.yaml")
				s.pass(time.Second)
				s.write("a.yaml", states("a", "2"))
				s.tell(written, "a.yaml")
			},
			want: []string{"1s: a"},
		},
		"half of a file when events are lost": {
			reason: "its writer was seen, and is not hurried",
			play: func(s *script) {
				s.write("a.yaml", states("x", "1"))
				s.tell(modified, "a.yaml")
				s.tell(overflowed, "")
				s.pass(5 * time.Second)
				s.write("a.yaml", states("a", "2"))
				s.tell(written, "a.yaml")
			},
			want: []string{"5s: a"},
		},
		"a new folder's file while it is written": {
			reason: "it was not told of before, and is read though nobody closes it",
			play: func(s *script) {
				s.must(os.Mkdir(s.path("x"), 0o700))
				s.write("x/c.yaml", states("c", "1"))
				s.soon = []event{{s.path("x/c.yaml"), modified}}
				s.tell(created, "x")
			},
			want: []string{"400ms: c"},
		},
		"a file in a linked folder is written, another entry changes": {
			reason: "nor is what a linked folder holds read again",
			play: func(s *script) {
				s.must(os.Mkdir(s.path("../shop"), 0o700))
				s.write("../shop/c.yaml", states("c", "1"))
				s.must(os.Symlink("../shop", s.path("shop")))
				s.tell(created, "shop")
				s.write("../shop/c.yaml", "")
				s.tell(removed, "4913")
				s.pass(3 * time.Second)
				s.write("../shop/c.yaml", states("c", "2"))
				s.tell(written, "shop/c.yaml")
			},
			want: []string{"0s: c", "3s: c"},
		},
		"the target of a link is removed and made anew": {
			reason: "it is there again, but its writer has not done",
			play: func(s *script) {
				s.write("../c.yaml", states("c", "1"))
				s.must(os.Symlink("../c.yaml", s.path("c.yaml")))
				s.tell(created, "c.yaml")
				s.must(os.Remove(s.path("../c.yaml")))
				s.write("../c.yaml", "")
				s.tell(removed, "../c.yaml")
				s.tell(created, "../c.yaml")
				s.pass(100 * time.Millisecond)
				s.write("../c.yaml", states("c", "2"))
				s.tell(written, "../c.yaml")
			},
			want: []string{"0s: c", "100ms: c"},
		},
		"a late event of a linked folder that is away": {
			reason: "not the file has vanished, but its folder",
			play: func(s *script) {
				s.must(os.Mkdir(s.path("../shop"), 0o700))
				s.write("../shop/c.yaml", states("c", "1"))
				s.must(os.Symlink("../shop", s.path("shop")))
				s.tell(created, "shop")
				s.must(os.Rename(s.path("../shop"), s.path("../old")))
				s.tell(touched, "shop/c.yaml")
				s.tell(written, "shop/c.yaml")
				s.pass(500 * time.Millisecond)
				s.must(os.Rename(s.path("../old"), s.path("../shop")))
			},
			want: []string{"0s: c"},
		},
		"a file cannot be read for a moment": {
			reason: "too many files are open, say; no event tells when they are not",
			play: func(s *script) {
				s.broken.Store(true)
				s.write("a.yaml", states("a", "2"))
				s.tell(written, "a.yaml")
				s.pass(500 * time.Millisecond)
				s.broken.Store(false)
			},
			want: []string{"1s: a"},
		},
		"a folder that is not mounted any more": {
			reason: "its watch has ended, and nothing tells what was below the mount",
			play: func(s *script) {
				s.must(os.Mkdir(s.path("x"), 0o700))
				s.tell(created, "x")
				s.write("x/c.yaml", states("c", "1"))
				s.tell(lapsed, "x")
			},
			want: []string{"0s: c"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, run(t, tc.play)); diff != "" {
				t.Errorf("%s (-want, +got):\n%s", tc.reason, diff)
			}
		})
	}
}

// TestLinksToOneFolder holds that watches of one folder through many links end
// one by one.
func TestLinksToOneFolder(t *testing.T) {
	got := run(t, func(s *script) {
		s.must(os.Mkdir(s.path("../shop"), 0o700))
		s.write("../shop/c.yaml", states("c", "1"))
		for i := range 3 {
			name := fmt.Sprintf("shop%d", i)
			s.must(os.Symlink(filepath.Join("..", "shop"), s.path(name)))
			s.tell(created, name)
		}
		for i := range 3 {
			s.remove(fmt.Sprintf("shop%d", i))
		}
	})
	if diff := cmp.Diff([]string{"0s: c", "1ms: no c"}, got); diff != "" {
		t.Errorf("(-want, +got):\n%s", diff)
	}
}
