package quarantine

import (
	"github.com/signetproxy/signet/operator/xds"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

// maxHeard bounds the different things that Envoys have said and nobody has looked
// at yet. More than that at once are lost, which is logged; refusals are also named
// in the state of their streams.
const maxHeard = 4096

// saying is what Envoys say of some bytes. All of a fleet say the same of them at
// about the same time, after a restart of the operator for one: that takes the room
// of one.
type saying struct {
	fleet         ir.Name
	kind          envoy.Type
	name, version string
	refused       bool
}

func said(fleet ir.Name, of *envoy.Resource, refused bool) saying {
	return saying{fleet, of.Type, of.Name, of.Version, refused}
}

// heard is what Envoys have said since it was taken last, in order.
type heard struct {
	nacks  []xds.Nack
	probes []xds.Probed
	at     map[saying]int // where in nacks
	probed map[saying]bool
}

// nack takes a refusal, and says whether there was room. The newest of the same
// knows best what is good; what was sent last tells that an earlier one is over.
func (h *heard) nack(n *xds.Nack) bool {
	key := said(n.Fleet, n.Resources[0], true)
	if i, known := h.at[key]; known {
		last := h.nacks[i].Revision
		h.nacks[i] = *n
		h.nacks[i].Revision = max(last, n.Revision)
		return true
	}
	if len(h.nacks) >= maxHeard {
		return false
	}
	if h.at == nil {
		h.at = map[saying]int{}
	}
	h.at[key] = len(h.nacks)
	h.nacks = append(h.nacks, *n)
	return true
}

// probe takes an answer to a probe, and says whether there was room.
func (h *heard) probe(p *xds.Probed) bool {
	key := said(p.Fleet, p.Resource, p.Refused)
	if h.probed[key] {
		return true
	}
	if len(h.probes) >= maxHeard {
		return false
	}
	if h.probed == nil {
		h.probed = map[saying]bool{}
	}
	h.probed[key] = true
	h.probes = append(h.probes, *p)
	return true
}
