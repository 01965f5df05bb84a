package translator

import (
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
)

// resources is the layer of Envoy resources, one table per kind of unit. Each
// unit is marshalled once, here; its bytes are shared from then on.
type resources struct {
	clusters     *graph.Unit[resourceKey, *envoy.Resource]
	assignments  *graph.Unit[assignmentKey, *envoy.Resource]
	trustSecrets *graph.Unit[resourceKey, *envoy.Resource]
	keySecrets   *graph.Unit[certificateKey, *envoy.Resource]
	hostSecrets  *graph.Unit[scopeKey, *envoy.Resource]
	hosts        *graph.Unit[scopeKey, *host]
	fallbacks    *graph.Unit[listenerKey, *envoy.Resource]
	misdirected  *graph.Unit[listenerKey, *envoy.Resource]
	listeners    *graph.Unit[listenerKey, *envoy.Resource]

	slicesOf  *graph.Index[ir.Name, ir.Name]
	upstreams *graph.Interned[resourceKey, *ir.Upstream]
	bundles   *graph.Interned[resourceKey, []ir.TrustRef]
	wildcards *graph.Index[listenerKey, scopeKey]
	chains    *graph.Unit[scopeKey, *chain]
	chainsOf  *graph.Index[listenerKey, scopeKey]
	below     *graph.Index[scopeKey, hostKey]
}

func sameResource(a, b *envoy.Resource) bool { return a.Equal(b) }

func (t *Translator) declareResources() {
	t.declareClusters()
	t.declareSecrets()
	t.declareHosts()
	t.declareScopes()
	t.declareListeners()
}
