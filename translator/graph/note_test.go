package graph_test

import (
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/translator/graph"
)

// A note is found on the revision that its changes became part of, and on no
// other, also when a fast change overtakes.
func TestNotesComeOutWithTheirRevision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		put := func(d *diary, note string, main, fast string) *graph.Changes {
			c := graph.NewChanges()
			c.Note(note)
			if main != "" {
				d.words.Put(c, "shared", main)
			}
			if fast != "" {
				d.fast.Put(c, "u1", fast)
			}
			return c
		}
		overtaken := false
		d := newDiary(func(d *diary, _ key) {
			if d.g.Current().Number() > 0 && !overtaken {
				overtaken = true
				d.g.Submit(put(d, "overtakes", "", "ten"))
			}
		})
		var got [][]any
		d.publish = func(rev *graph.Revision) { got = append(got, rev.Notes()) }
		d.run(t, func() {
			d.g.Submit(put(d, "first", "a", "one"))
			d.g.Submit(put(d, "with the first", "b", ""))
		})
		d.run(t, func() { d.g.Submit(put(d, "changes nothing", "b", "")) })
		d.run(t, func() { d.g.Submit(put(d, "last", "c", "")) })
		want := [][]any{{"overtakes"}, {"first", "with the first"}, {"last"}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("notes of the revisions (-want, +got):\n%s", diff)
		}
		if n := d.g.Pending(); n != 0 {
			t.Errorf("%d changes are pending when all is committed", n)
		}
		d.g.Submit(put(d, "waits", "d", "two"))
		if n := d.g.Pending(); n != 2 {
			t.Errorf("%d changes are pending, want the 2 that were submitted", n)
		}
	})
}
