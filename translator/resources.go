package translator

import (
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
)

// resources is the layer of Envoy resources, one table per kind of unit. Each
// unit is marshalled once, here; its bytes are shared from then on.
type resources struct {
	clusters     *graph.Unit[resourceKey, served]
	assignments  *graph.Unit[assignmentKey, served]
	trustSecrets *graph.Unit[resourceKey, served]
	keySecrets   *graph.Unit[certificateKey, served]
	hostSecrets  *graph.Unit[scopeKey, served]
	hosts        *graph.Unit[scopeKey, *host]
	fallbacks    *graph.Unit[listenerKey, served]
	misdirected  *graph.Unit[listenerKey, served]
	listeners    *graph.Unit[listenerKey, served]

	slicesOf  *graph.Index[ir.Name, ir.Name]
	assigned  *graph.Index[assignmentKey, hostKey]
	sharedBy  *graph.Index[certificateKey, hostKey]
	upstreams *graph.Interned[resourceKey, *ir.Upstream]
	bundles   *graph.Interned[resourceKey, []ir.TrustRef]
	wildcards *graph.Index[listenerKey, scopeKey]
	chains    *graph.Unit[scopeKey, *chain]
	chainsOf  *graph.Index[listenerKey, scopeKey]
	below     *graph.Index[scopeKey, hostKey]
}

func (t *Translator) declareResources() {
	t.declareClusters()
	t.declareSecrets()
	t.declareHosts()
	t.declareScopes()
	t.declareListeners()
	t.declareHeld()
}

// declareHeld lists what is held back, table by table.
func (t *Translator) declareHeld() {
	holding(t, t.clusters, "refused clusters")
	holding(t, t.assignments, "refused load assignments")
	holding(t, t.trustSecrets, "refused trust secrets")
	holding(t, t.keySecrets, "refused key secrets")
	holding(t, t.hostSecrets, "refused host certificates")
	holding(t, t.listeners, "refused listeners")
	holding(t, t.fallbacks, "refused fallback scopes")
	holding(t, t.misdirected, "refused misdirected scopes")
	t.heldHosts = holding(t, t.hosts, "refused hosts")
	t.heldChains = holding(t, t.chains, "refused chains")
}
