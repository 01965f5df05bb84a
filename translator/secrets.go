package translator

import (
	"fmt"

	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/httpproxy"
	"github.com/signetproxy/signet/translator/ir"
)

func (t *Translator) declareSecrets() {
	g := t.Graph
	t.bundles = graph.NewInterned(t.Sites, "trust bundles by secret",
		func(k hostKey, s *httpproxy.Site) []graph.Entry[resourceKey, []ir.TrustRef] {
			var out []graph.Entry[resourceKey, []ir.TrustRef]
			for u := range s.Upstreams() {
				if u.TLS != nil && u.TLS.Verify != nil {
					refs := u.TLS.Verify.Trust
					key := resourceKey{Fleet: k.Fleet, Name: envoy.TrustName(refs)}
					out = append(out, graph.Entry[resourceKey, []ir.TrustRef]{Key: key, Payload: refs})
				}
			}
			return out
		})
	t.trustSecrets = graph.NewUnit(g, graph.UnitSpec[resourceKey, served]{
		Name: "trust secret", Live: []graph.Liveness[resourceKey]{t.bundles, t.portBundles}, Equal: sameServed,
		Compute: t.computeTrustSecret,
	})

	t.sharedBy = graph.NewIndex(t.Sites, "key pairs by use", sharedKeys)
	t.keySecrets = graph.NewUnit(g, graph.UnitSpec[certificateKey, served]{
		Name: "key secret", Live: []graph.Liveness[certificateKey]{t.sharedBy, t.portKeys}, Equal: sameServed,
		Compute: func(r *graph.Reader, k certificateKey) (served, error) {
			return t.certificateSecret(r, k.Fleet, k.Ref.SecretName(), k.Ref)
		},
	})

	hosts := graph.NewIndex(t.Sites, "hosts with a certificate", func(k hostKey, s *httpproxy.Site) []scopeKey {
		var out []scopeKey
		for _, c := range s.Certificates {
			out = append(out, scopeKey{Fleet: k.Fleet, Listener: c.Listener, Host: k.Host})
		}
		return out
	})
	t.hostSecrets = graph.NewUnit(g, graph.UnitSpec[scopeKey, served]{
		Name: "host certificate", Live: []graph.Liveness[scopeKey]{hosts}, Equal: sameServed,
		Compute: func(r *graph.Reader, k scopeKey) (served, error) {
			s, _ := t.Sites.Get(r, k.site())
			for _, c := range s.Certificates {
				if c.Listener == k.Listener {
					return t.certificateSecret(r, k.Fleet, c.Host, c.Certificate)
				}
			}
			return served{}, fmt.Errorf("host %s has no certificate on listener %s", k.Host, k.Listener)
		},
	})
}

// sharedKeys are the key pairs that Envoys hold under the name of their
// Secret: client certificates, and certificates of chains of their own.
func sharedKeys(k hostKey, s *httpproxy.Site) []certificateKey {
	var out []certificateKey
	for u := range s.Upstreams() {
		if u.TLS != nil && u.TLS.ClientCertificate != nil {
			out = append(out, certificateKey{k.Fleet, *u.TLS.ClientCertificate})
		}
	}
	if s.TCP == nil {
		return out
	}
	for _, ref := range s.TCP.Certificates() {
		out = append(out, certificateKey{k.Fleet, ref})
	}
	return out
}

func (t *Translator) computeTrustSecret(r *graph.Reader, k resourceKey) (served, error) {
	refs, ok := t.bundles.Payload(r, k)
	if !ok {
		refs, _ = t.portBundles.Payload(r, k)
	}
	bundles := make([]*ir.TrustBundle, 0, len(refs))
	for _, ref := range refs {
		b, ok := t.Trust.Get(r, ref)
		if !ok || b.Problem != nil {
			return served{}, fmt.Errorf("trust bundle %s: %w", ref.SecretName(), t.objects(r).Trust(ref))
		}
		bundles = append(bundles, b.Value)
	}
	s, err := envoy.TrustSecret(k.Name, bundles)
	if err != nil {
		return served{}, err
	}
	return t.admit(r, k.Fleet, s, withhold)
}

func (t *Translator) certificateSecret(r *graph.Reader, fleet ir.Name, name string, ref ir.CertificateRef) (served, error) {
	k, ok := t.KeyPairs.Get(r, ref)
	if !ok || k.Problem != nil {
		return served{}, fmt.Errorf("certificate %s: %w", ref, t.objects(r).KeyPair(ref))
	}
	s, err := envoy.CertificateSecret(name, k.Value)
	if err != nil {
		return served{}, err
	}
	return t.admit(r, fleet, s, withhold)
}
