package quarantine

import (
	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/graph"
)

// writes are rows of the inputs that are submitted together, nil to delete one.
// Each has one value, whoever decided it: what a revision is waited for to hold
// is what was written, so that it comes.
type writes struct {
	rows   map[translator.RefusalKey]*translator.Refusal
	probes map[translator.RefusalKey]*envoy.Resource
}

func (w *writes) put(t *translator.Translator, c *graph.Changes) {
	for key, row := range w.rows {
		if row == nil {
			t.Quarantine.Delete(c, key)
		} else {
			t.Quarantine.Put(c, key, row)
		}
	}
	for key, probe := range w.probes {
		if probe == nil {
			t.Probes.Delete(c, key)
		} else {
			t.Probes.Put(c, key, probe)
		}
	}
}

// reflected says whether a revision holds all of them.
func (w *writes) reflected(t *translator.Translator, rev *graph.Revision) bool {
	r := rev.Reader()
	for key, want := range w.rows {
		if now, _ := t.Quarantine.Get(r, key); now != want {
			return false
		}
	}
	for key, want := range w.probes {
		if now, _ := t.Probes.Get(r, key); !now.Equal(want) {
			return false
		}
	}
	return true
}
