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
	t.inEffect = append(t.inEffect,
		holding(t.clusters, "refused clusters"),
		holding(t.trustSecrets, "refused trust secrets"),
		holding(t.keySecrets, "refused key secrets"),
		holding(t.hostSecrets, "refused host certificates"),
		holding(t.listeners, "refused listeners"),
		holding(t.misdirected, "refused misdirected scopes"),
	)
	t.heldHosts = holding(t.hosts, "refused hosts")
	t.heldFallbacks = holding(t.fallbacks, "refused fallback scopes")
	t.heldChains = holding(t.chains, "refused chains")
	t.heldAssignments = holding(t.assignments, "refused load assignments")
	t.inEffect = append(t.inEffect, t.heldHosts, t.heldFallbacks, t.heldChains)
}
