package pipeline

import (
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/rollout"
	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/operator/xds"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
)

// delivered notes on changes when the source delivered their objects.
func (p *Pipeline) delivered(c *graph.Changes, b source.Batch) {
	if p.options.Rollout == nil || len(b.Changed)+len(b.Deleted) == 0 {
		return
	}
	d := rollout.Delivery{
		At:      p.options.Rollout.Now(),
		Objects: make([]rollout.Object, 0, len(b.Changed)+len(b.Deleted)),
	}
	for _, k := range b.Deleted {
		d.Objects = append(d.Objects, p.followed(k.Kind, ir.Name{Namespace: k.Namespace, Name: k.Name}))
	}
	for _, o := range b.Changed {
		d.Objects = append(d.Objects, p.followed(kindOf(o), ir.Name{Namespace: o.GetNamespace(), Name: o.GetName()}))
	}
	c.Note(d)
}

// followed names an object as the rollout does: an EnvoyFleet by its fleet.
func (p *Pipeline) followed(kind string, n ir.Name) rollout.Object {
	if kind == fleetKind {
		n = p.options.Fleet.Name
	}
	return rollout.Object{Kind: rollout.Kind(kind), Name: n}
}

func kindOf(o client.Object) string { return o.GetObjectKind().GroupVersionKind().Kind }

// follow tells the rollout what a revision changed, before any Envoy hears of
// it.
func (p *Pipeline) follow(rev *graph.Revision, u *xds.Update) {
	if t := p.options.Rollout; t != nil {
		t.Commit(rollout.CommitOf(p.translator, rev, u, t.Now()))
	}
}
