package translator

import (
	"strings"
	"testing"
	"time"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
)

// A host's certificate that expires is warned of when it does, and a rotation
// that changes nothing for the documents computes none anew.
func TestCertificateOfAHostExpires(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	authority, err := pki.NewAuthority("ca")
	if err != nil {
		t.Fatal(err)
	}
	secret := func(until time.Time) *corev1.Secret {
		p, err := authority.Issue(pki.Leaf{CommonName: "a", DNS: []string{"a.example.com"}, NotBefore: now.Add(-time.Hour), NotAfter: until})
		if err != nil {
			t.Fatal(err)
		}
		return &corev1.Secret{Type: corev1.SecretTypeTLS, Data: map[string][]byte{corev1.TLSCertKey: p.CertPEM, corev1.TLSPrivateKeyKey: p.KeyPEM}}
	}
	proxy := &contourv1.HTTPProxy{}
	proxy.Namespace, proxy.Name = "a", "p"
	proxy.Spec.VirtualHost = &contourv1.VirtualHost{Fqdn: "a.example.com", TLS: &contourv1.TLS{SecretName: "cert"}}
	name, cert := ir.Name{Namespace: "a", Name: "p"}, ir.Name{Namespace: "a", Name: "cert"}

	tr := New()
	commit := func(edit func(c *graph.Changes)) *graph.Revision {
		c := graph.NewChanges()
		edit(c)
		return tr.Commit(c)
	}
	warned := func(rev *graph.Revision) bool {
		d, ok := tr.documents.Get(rev.Reader(), name)
		if !ok {
			t.Fatal("there is no document")
		}
		for i := range d.Findings {
			if strings.Contains(d.Findings[i].Text(), now.Add(time.Hour).UTC().Format(time.RFC3339)) {
				return true
			}
		}
		return false
	}
	first := commit(func(c *graph.Changes) {
		tr.Clock.Put(c, ClockKey, now)
		tr.Proxies.Put(c, name, proxy)
		tr.Secrets.Put(c, cert, secret(now.Add(time.Hour)))
	})
	if warned(first) {
		t.Error("a valid certificate is warned of")
	}
	if next, _ := tr.NextChange(first); next.IsZero() || next.After(now.Add(time.Hour+time.Second)) {
		t.Errorf("the expiry is not awaited: %v", next)
	}
	rotated := commit(func(c *graph.Changes) { tr.Secrets.Put(c, cert, secret(now.Add(time.Hour))) })
	if changes := graph.ChangesOf(rotated, tr.documents); len(changes) != 0 || len(graph.ChangesOf(rotated, tr.KeyPairs)) != 1 {
		t.Errorf("a rotation changed %d documents", len(changes))
	}
	if !warned(commit(func(c *graph.Changes) { tr.Clock.Put(c, ClockKey, now.Add(2*time.Hour)) })) {
		t.Error("an expired certificate is not warned of")
	}
	renewed := commit(func(c *graph.Changes) { tr.Secrets.Put(c, cert, secret(now.Add(9*time.Hour))) })
	if warned(renewed) {
		t.Error("the warning stays after the renewal")
	}
}
