package translator

import (
	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"

	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/httpproxy"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
	"github.com/signetproxy/signet/translator/upstream"
)

// sites is the layer of the HTTPProxy front end: what each object says, which
// fleet it claims a host of, and what a host serves in the end.
type sites struct {
	fleetStates *graph.Unit[ir.Name, *fleetState]
	accessLogs  *graph.Unit[ir.Name, fleetLog]
	selectors   *graph.Unit[graph.String, []httpproxy.Selector]
	claims      *graph.Unit[ir.Name, *httpproxy.Claim]
	documents   *graph.Unit[ir.Name, *httpproxy.Document]
	claimants   *graph.Index[hostKey, ir.Name]
	Sites       *graph.Unit[hostKey, *httpproxy.Site]
}

// fleetState is a fleet with what is wrong with its settings.
type fleetState struct {
	Fleet    *ir.Fleet
	Problems []upstream.Problem
}

const allFleets = graph.String("all")

func (t *Translator) declareSites() {
	g := t.Graph
	fleetNames := graph.NewIndex(t.Fleets, "fleets by name", func(n ir.Name, _ *FleetSpec) []ir.Name { return []ir.Name{n} })
	everyFleet := graph.NewIndex(t.Fleets, "fleets", func(ir.Name, *FleetSpec) []graph.String { return []graph.String{allFleets} })
	proxyNames := graph.NewIndex(t.Proxies, "proxies by name", func(n ir.Name, _ *contourv1.HTTPProxy) []ir.Name { return []ir.Name{n} })

	t.fleetStates = graph.NewUnit(g, graph.UnitSpec[ir.Name, *fleetState]{
		Name: "fleet", Live: []graph.Liveness[ir.Name]{fleetNames}, Compute: t.computeFleet,
	})
	t.declareAccessLogs()
	// The selectors are a unit of their own so that a fleet whose TLS settings
	// change does not touch the claims of every proxy.
	t.selectors = graph.NewUnit(g, graph.UnitSpec[graph.String, []httpproxy.Selector]{
		Name: "selectors", Live: []graph.Liveness[graph.String]{everyFleet}, Compute: t.computeSelectors,
	})
	t.claims = graph.NewUnit(g, graph.UnitSpec[ir.Name, *httpproxy.Claim]{
		Name: "claim", Live: []graph.Liveness[ir.Name]{proxyNames},
		Compute: func(r *graph.Reader, n ir.Name) (*httpproxy.Claim, error) {
			p, _ := t.Proxies.Get(r, n)
			s, _ := t.selectors.Get(r, allFleets)
			return httpproxy.Claims(p, s), nil
		},
	})
	t.documents = graph.NewUnit(g, graph.UnitSpec[ir.Name, *httpproxy.Document]{
		Name: "document", Live: []graph.Liveness[ir.Name]{proxyNames},
		Compute: func(r *graph.Reader, n ir.Name) (*httpproxy.Document, error) {
			p, _ := t.Proxies.Get(r, n)
			return httpproxy.Translate(t.objects(r), p), nil
		},
	})
	t.claimants = graph.NewIndex(t.claims, "claimants by host",
		func(_ ir.Name, c *httpproxy.Claim) []hostKey { return c.Hosts })
	t.declareGatewayFleets()
	t.Sites = graph.NewUnit(g, graph.UnitSpec[hostKey, *httpproxy.Site]{
		Name: "site", Live: append([]graph.Liveness[hostKey]{t.claimants}, t.gatewayHosts()...), Compute: t.computeSite,
	})
}

func (t *Translator) computeFleet(r *graph.Reader, n ir.Name) (*fleetState, error) {
	spec, _ := t.Fleets.Get(r, n)
	tls, problems := upstream.FleetTLS(spec.Upstream, clientObjects{objects{t, r}})
	if spec.Failure != "" {
		tls.Failure, tls.FailureReason = spec.Failure, string(reason.Invalid)
		problems = append(problems, upstream.Problem{Reason: reason.Invalid, Message: spec.Failure})
	}
	f := &ir.Fleet{Name: n, Upstream: tls, Listeners: make([]ir.Listener, len(spec.Listeners))}
	for i, l := range spec.Listeners {
		if l.TLS && l.Profile.Min == "" {
			l.Profile = httpproxy.DefaultProfile()
		}
		f.Listeners[i] = l
	}
	return &fleetState{Fleet: f, Problems: problems}, nil
}

// clientObjects judges a key pair as a client certificate.
type clientObjects struct{ objects }

// KeyPair implements upstream.Objects.
func (o clientObjects) KeyPair(ref ir.CertificateRef) *upstream.Problem {
	p, ok := o.t.clientStates.Get(o.r, ref)
	if !ok {
		return unusable("Secret "+ref.String(), o.t.clientStates.Failure(o.r, ref))
	}
	return p
}

func (t *Translator) computeSelectors(r *graph.Reader, _ graph.String) ([]httpproxy.Selector, error) {
	var out []httpproxy.Selector
	for _, f := range t.Fleets.All(r) {
		if f.ServesProxies() {
			out = append(out, f.Selector)
		}
	}
	return out, nil
}

// computeSite makes the site of an HTTPProxy's host, or that of a Gateway's,
// which has no visits: what is to be said of its routes does not depend on it.
func (t *Translator) computeSite(r *graph.Reader, k hostKey) (*httpproxy.Site, error) {
	if k.Listener != "" {
		return t.computeGatewaySite(r, k)
	}
	f, ok := t.fleetStates.Get(r, k.Fleet)
	if !ok {
		return nil, unusable("fleet "+k.Fleet.String(), t.fleetStates.Failure(r, k.Fleet))
	}
	return httpproxy.Compose(documents{t, r}, f.Fleet, k, t.claimants.Keys(r, k)), nil
}

// documents reads the documents that a site includes, with every read recorded.
type documents struct {
	t *Translator
	r *graph.Reader
}

// Document implements httpproxy.Documents.
func (d documents) Document(n ir.Name) (*httpproxy.Document, bool) { return d.t.documents.Get(d.r, n) }
