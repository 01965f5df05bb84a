package translator

import (
	"errors"
	"slices"

	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// RefusalKey names what Envoy refused: a resource of a fleet, or a part of one.
type RefusalKey struct {
	Fleet ir.Name
	// Type and Name are the resource's.
	Type envoy.Type
	Name string
	// Part is the name of one of envoy.Parts; "" for the whole resource.
	Part string
}

// AppendKey implements graph.Key.
func (k RefusalKey) AppendKey(b []byte) []byte {
	b = k.Fleet.AppendKey(b)
	b = append(b, 0)
	b = append(b, k.Type...)
	b = append(b, 0)
	b = append(b, k.Name...)
	b = append(b, 0)
	return append(b, k.Part...)
}

// Whole is the resource that a part belongs to.
func (k RefusalKey) Whole() RefusalKey {
	k.Part = ""
	return k
}

// Refusal is a version of a resource, or of a part of one, that is not sent
// again. It is in effect while translation computes exactly that version; other
// bytes are tried. It must not be changed after it was put.
type Refusal struct {
	// Version that was refused.
	Version string
	// Message is Envoy's, without key material.
	Message string
	// LastGood is sent instead. Where it is nil, or asks no authorization server
	// that is asked now, the fail-closed form is: routes answer 503, a secret is
	// withheld, a chain closes its connections.
	LastGood *envoy.Resource
	// Narrower are the parts of the last good whole that took requests which
	// without them would have come to this one. With one of them gone LastGood
	// is not sent: those requests would be served as no manifest ever asked.
	Narrower []string
	// Withheld says that Envoy takes neither: nothing is sent.
	Withheld bool
	// Suspect says that it is set aside while it is found out which of several
	// is to blame.
	Suspect bool
	// Elsewhere, when it is set, says what Envoys of another replica have
	// instead: they alone have refused it. The objects say so; what is sent here
	// stays as it is.
	Elsewhere reason.Message
}

// quarantine is the layer of what Envoy has refused.
type quarantine struct {
	refusalsOf *graph.Index[RefusalKey, RefusalKey]
	probes     *graph.Unit[RefusalKey, served]
	tamper     func(*envoy.Resource) *envoy.Resource

	// What is in effect, by the table whose unit holds it back: all of them,
	// but for the load assignments, which are in the fast lane.
	inEffect []interface {
		Has(r *graph.Reader, k RefusalKey) bool
	}
	heldHosts, heldChains *graph.Index[RefusalKey, scopeKey]
	heldFallbacks         *graph.Index[RefusalKey, listenerKey]
	heldAssignments       *graph.Index[RefusalKey, assignmentKey]
}

// Option changes how a Translator works.
type Option func(*Translator)

// Tamper is for tests of what happens when Envoy refuses a resource, which
// nothing that Signet makes should be. The function sees each resource before
// it leaves, and before that each part that a listener or a scope is composed
// of (envoy.Parts), and returns it or another of the same type and name
// (envoy.NewResource). What it returns for a part stands in every composition
// that holds the part. It must be pure: equal bytes in, equal bytes out.
func Tamper(f func(*envoy.Resource) *envoy.Resource) Option {
	return func(t *Translator) { t.tamper = f }
}

func (t *Translator) tampered(x *envoy.Resource) *envoy.Resource {
	if t.tamper == nil {
		return x
	}
	return t.tamper(x)
}

// served is what Envoy gets of a resource that was computed.
type served struct {
	// Resource is nil when nothing is sent.
	Resource *envoy.Resource
	// Held are the refusals that are in effect.
	Held []RefusalKey
}

func sameServed(a, b served) bool {
	return a.Resource.Equal(b.Resource) && slices.Equal(a.Held, b.Held)
}

func (s served) resource() *envoy.Resource { return s.Resource }

func (s served) held() []RefusalKey { return s.Held }

func (t *Translator) declareQuarantine() {
	asked := graph.NewIndex(t.Probes, "probes", func(k RefusalKey, _ *envoy.Resource) []RefusalKey { return []RefusalKey{k} })
	t.probes = graph.NewUnit(t.Graph, graph.UnitSpec[RefusalKey, served]{
		Name: "probe", Live: []graph.Liveness[RefusalKey]{asked}, Equal: sameServed,
		Compute: func(r *graph.Reader, k RefusalKey) (served, error) {
			x, _ := t.Probes.Get(r, k)
			return served{Resource: x}, nil
		},
	})
	t.refusalsOf = graph.NewIndex(t.Quarantine, "refusals by resource",
		func(k RefusalKey, _ *Refusal) []RefusalKey { return []RefusalKey{k.Whole()} })
}

// holding lists what the units of a table hold back.
func holding[K graph.Key, V interface{ held() []RefusalKey }](table *graph.Unit[K, V], name string) *graph.Index[RefusalKey, K] {
	return graph.NewIndex(table, name, func(_ K, v V) []RefusalKey { return v.held() })
}

// errRefused is why a route answers with its fail-closed form.
var errRefused = errors.New("refused by Envoy")

// admit decides what Envoy gets of a resource: the resource, or, when it has
// refused these very bytes, the last good ones or the fail-closed form.
func (t *Translator) admit(
	r *graph.Reader, fleet ir.Name, x *envoy.Resource, closed func() (*envoy.Resource, error),
) (served, error) {
	x = t.tampered(x)
	key := RefusalKey{Fleet: fleet, Type: x.Type, Name: x.Name}
	if len(t.refusalsOf.Keys(r, key)) == 0 { // one read, also for those with parts
		return served{Resource: x}, nil
	}
	return t.judge(r, key, x, closed)
}

// admitPart is admit for a part of the resource that whole names. Stands says
// whether the whole has another part now.
func (t *Translator) admitPart(
	r *graph.Reader, whole RefusalKey, x *envoy.Resource, stands func(part string) bool, closed func() (*envoy.Resource, error),
) (served, error) {
	whole.Part = x.Name
	return t.judgePart(r, whole, t.tampered(x), stands, closed)
}

func (t *Translator) judge(
	r *graph.Reader, key RefusalKey, x *envoy.Resource, closed func() (*envoy.Resource, error),
) (served, error) {
	return t.judgePart(r, key, x, func(string) bool { return true }, closed)
}

func (t *Translator) judgePart(
	r *graph.Reader, key RefusalKey, x *envoy.Resource, stands func(part string) bool, closed func() (*envoy.Resource, error),
) (served, error) {
	q, ok := t.Quarantine.Get(r, key)
	if !ok || q.Version != x.Version {
		return served{Resource: x}, nil
	}
	out := served{Held: []RefusalKey{key}}
	var err error
	switch {
	case q.Elsewhere != "":
		out.Resource = x
	case q.Withheld:
	case q.LastGood != nil && allStand(q.Narrower, stands) && asksAlike(x, q.LastGood) && t.reachable(r, key.Fleet, q.LastGood):
		out.Resource = q.LastGood
	default:
		out.Resource, err = closed()
	}
	return out, err
}

func allStand(parts []string, stands func(string) bool) bool {
	for _, p := range parts {
		if !stands(p) {
			return false
		}
	}
	return true
}

// asksAlike says whether each route that asks an authorization server now did so
// in the last good form too: else that lets everybody in whom the server is there
// to keep out.
func asksAlike(now, lastGood *envoy.Resource) bool {
	asks, err := envoy.Guarded(now)
	if err != nil || len(asks) == 0 {
		return err == nil
	}
	asked, err := envoy.Guarded(lastGood)
	return err == nil && !slices.ContainsFunc(asks, func(route string) bool { return !slices.Contains(asked, route) })
}

// reachable says whether the clusters that last good routes lead to are still
// there. Envoys that know such a cluster no more refuse the routes as a whole,
// and one that starts would never be ready.
func (t *Translator) reachable(r *graph.Reader, fleet ir.Name, lastGood *envoy.Resource) bool {
	names, err := envoy.ClustersOf(lastGood)
	if err != nil {
		return false
	}
	for _, name := range names {
		if c, ok := t.clusters.Get(r, resourceKey{fleet, name}); !ok || c.Resource == nil {
			return false
		}
	}
	return true
}

// withhold is the fail-closed form of what can be left out.
func withhold() (*envoy.Resource, error) { return nil, nil }

// InEffect says whether a revision holds something back for a refusal. One that
// is not in effect belongs to bytes that are computed no more.
func (t *Translator) InEffect(rev *graph.Revision, k RefusalKey) bool {
	if k.Type == envoy.EndpointType {
		return t.heldAssignments.Has(rev.Reader(), k)
	}
	for _, x := range t.inEffect {
		if x.Has(rev.Reader(), k) {
			return true
		}
	}
	return false
}
