package quarantine

import (
	"github.com/signetproxy/signet/operator/xds"
	"github.com/signetproxy/signet/translator/ir"
)

// progress is which revisions Envoys have taken. They acknowledge only those
// that change their fleet, so it must be known which do.
type progress struct {
	revision uint64 // the newest
	fleets   map[ir.Name]*fleetProgress
}

type fleetProgress struct {
	changed uint64 // the newest revision that changed it
	acked   uint64 // the newest that one of its Envoys acknowledged
}

func newProgress() progress { return progress{fleets: map[ir.Name]*fleetProgress{}} }

func (p *progress) of(fleet ir.Name) *fleetProgress {
	f := p.fleets[fleet]
	if f == nil {
		f = &fleetProgress{}
		p.fleets[fleet] = f
	}
	return f
}

func (p *progress) committed(u *xds.Update) {
	p.revision = u.Revision
	for i := range u.Fleets {
		if u.Fleets[i].Gone {
			delete(p.fleets, u.Fleets[i].Fleet)
			continue
		}
		p.of(u.Fleets[i].Fleet).changed = u.Revision
	}
}

func (p *progress) acknowledged(fleet ir.Name, revision uint64) {
	f := p.of(fleet)
	f.acked = max(f.acked, revision)
}

// taken is the newest revision whose state of the fleet an Envoy has.
func (p *progress) taken(fleet ir.Name) uint64 {
	f := p.of(fleet)
	if f.acked < f.changed {
		return f.acked
	}
	return max(f.acked, p.revision) // those since then change nothing of it
}
