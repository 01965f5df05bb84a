package translator

import (
	"time"

	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/httpproxy"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
	"github.com/signetproxy/signet/translator/upstream"
)

// Parsed is an object's content after it was checked: the value, or why there
// is none.
type Parsed[T any] struct {
	Value   T
	Problem *upstream.Problem
	// Next is when time alone may change the answer; zero for never.
	Next time.Time
}

// trust is the layer of parsed certificates. The states hold the verdicts
// without the contents: who asks only whether a bundle can be used is not
// computed again when a usable bundle is rotated.
type trust struct {
	delegated    *graph.Index[delegationKey, ir.Name]
	Trust        *graph.Unit[ir.TrustRef, Parsed[*ir.TrustBundle]]
	trustStates  *graph.Unit[ir.TrustRef, *upstream.Problem]
	KeyPairs     *graph.Unit[ir.CertificateRef, Parsed[*ir.KeyPair]]
	keyStates    *graph.Unit[ir.CertificateRef, *upstream.Problem]
	clientStates *graph.Unit[ir.CertificateRef, *upstream.Problem]
	validities   *graph.Unit[ir.CertificateRef, *upstream.Problem]
}

func (t *Translator) declareTrust() {
	g := t.Graph
	t.delegated = graph.NewIndex(t.Delegations, "delegations by secret and namespace", delegations)

	trustRefs := graph.NewIndex(t.Proxies, "trust bundles by use",
		func(_ ir.Name, p *contourv1.HTTPProxy) []ir.TrustRef { return httpproxy.TrustRefs(p) })
	trustLive := append([]graph.Liveness[ir.TrustRef]{trustRefs}, t.gatewayTrust()...)
	t.Trust = graph.NewUnit(g, graph.UnitSpec[ir.TrustRef, Parsed[*ir.TrustBundle]]{
		Name: "trust bundle", Live: trustLive, Compute: t.computeTrust,
	})
	t.trustStates = graph.NewUnit(g, graph.UnitSpec[ir.TrustRef, *upstream.Problem]{
		Name: "trust state", Live: trustLive,
		Compute: func(r *graph.Reader, ref ir.TrustRef) (*upstream.Problem, error) {
			b, ok := t.Trust.Get(r, ref)
			return b.Problem, withheld(ok, t.Trust.Failure(r, ref))
		},
	})

	hostCertificates := graph.NewIndex(t.Proxies, "certificates by use",
		func(_ ir.Name, p *contourv1.HTTPProxy) []ir.CertificateRef { return httpproxy.CertificateRefs(p) })
	clientCertificates := graph.NewIndex(t.Fleets, "client certificates by use", clientCertificate)
	live := append([]graph.Liveness[ir.CertificateRef]{hostCertificates, clientCertificates}, t.gatewayCertificates()...)
	clientLive := []graph.Liveness[ir.CertificateRef]{clientCertificates, t.gatewayClientCertificates()}
	t.KeyPairs = graph.NewUnit(g, graph.UnitSpec[ir.CertificateRef, Parsed[*ir.KeyPair]]{
		Name: "key pair", Live: live, Compute: t.computeKeyPair,
	})
	t.keyStates = graph.NewUnit(g, graph.UnitSpec[ir.CertificateRef, *upstream.Problem]{
		Name: "key pair state", Live: live,
		Compute: func(r *graph.Reader, ref ir.CertificateRef) (*upstream.Problem, error) {
			k, ok := t.KeyPairs.Get(r, ref)
			return k.Problem, withheld(ok, t.KeyPairs.Failure(r, ref))
		},
	})
	t.validities = graph.NewUnit(g, graph.UnitSpec[ir.CertificateRef, *upstream.Problem]{
		Name: "certificate validity", Live: live, Compute: t.computeValidity,
	})
	t.clientStates = graph.NewUnit(g, graph.UnitSpec[ir.CertificateRef, *upstream.Problem]{
		Name: "client certificate state", Live: clientLive,
		Compute: t.computeClientState,
	})
}

// withheld passes on why a unit that is read has no value.
func withheld(ok bool, err error) error {
	if ok {
		return nil
	}
	return err
}

// unusable is the problem of something that is read but has no value.
func unusable(what string, err error) *upstream.Problem {
	p := &upstream.Problem{Reason: reason.Unusable, Message: what + " is not known"}
	if err != nil {
		p.Message = what + " cannot be used: " + err.Error()
	}
	return p
}

func delegations(n ir.Name, d *contourv1.TLSCertificateDelegation) []delegationKey {
	var keys []delegationKey
	for _, c := range d.Spec.Delegations {
		for _, to := range c.TargetNamespaces {
			keys = append(keys, delegationKey{Secret: ir.Name{Namespace: n.Namespace, Name: c.SecretName}, To: to})
		}
	}
	return keys
}

func clientCertificate(_ ir.Name, f *FleetSpec) []ir.CertificateRef {
	if f.Upstream.ClientCertificate == nil {
		return nil
	}
	return []ir.CertificateRef{{Name: *f.Upstream.ClientCertificate}}
}

// now is the time at which an object's certificates are judged.
func (t *Translator) now(r *graph.Reader, ref ir.TrustRef) time.Time {
	now, _ := t.Clock.Get(r, ClockKey)
	if came, ok := t.Delivered.Get(r, ref); ok && came.After(now) {
		return came
	}
	return now
}

func (t *Translator) secretNow(r *graph.Reader, ref ir.CertificateRef) time.Time {
	return t.now(r, ir.TrustRef{Kind: ir.TrustSecret, Name: ref.Name})
}

func (t *Translator) computeTrust(r *graph.Reader, ref ir.TrustRef) (Parsed[*ir.TrustBundle], error) {
	now := t.now(r, ref)
	var (
		secret    *corev1.Secret
		configMap *corev1.ConfigMap
	)
	switch ref.Kind {
	case ir.TrustSecret:
		secret, _ = t.Secrets.Get(r, ref.Name)
	case ir.TrustConfigMap:
		configMap, _ = t.ConfigMaps.Get(r, ref.Name)
	case ir.TrustClusterTrustBundle, ir.TrustSystem:
		configMap = t.trustText(r, ref)
	}
	b, p := upstream.ParseTrust(ref, secret, configMap, now)
	return Parsed[*ir.TrustBundle]{Value: b, Problem: p, Next: upstream.NextTrustChange(b, p, now)}, nil
}

func (t *Translator) computeKeyPair(r *graph.Reader, ref ir.CertificateRef) (Parsed[*ir.KeyPair], error) {
	now := t.secretNow(r, ref)
	secret, _ := t.Secrets.Get(r, ref.Name)
	k, p := upstream.ParseKeyPair(ref, secret, now)
	return Parsed[*ir.KeyPair]{Value: k, Problem: p, Next: upstream.NextKeyPairChange(k, p, now)}, nil
}

// computeValidity says nothing of a key pair that cannot be used.
func (t *Translator) computeValidity(r *graph.Reader, ref ir.CertificateRef) (*upstream.Problem, error) {
	k, ok := t.KeyPairs.Get(r, ref)
	if !ok || k.Problem != nil {
		return nil, withheld(ok, t.KeyPairs.Failure(r, ref))
	}
	return upstream.CheckValidity(k.Value, t.secretNow(r, ref)), nil
}

// computeClientState joins the two: backends must take a client certificate.
func (t *Translator) computeClientState(r *graph.Reader, ref ir.CertificateRef) (*upstream.Problem, error) {
	p, ok := t.keyStates.Get(r, ref)
	if !ok || p != nil {
		return p, withheld(ok, t.keyStates.Failure(r, ref))
	}
	p, ok = t.validities.Get(r, ref)
	return p, withheld(ok, t.validities.Failure(r, ref))
}

// objects is what decisions read, with every read recorded.
type objects struct {
	t *Translator
	r *graph.Reader
}

// Service implements upstream.Objects.
func (o objects) Service(n ir.Name) (*corev1.Service, bool) { return o.t.Services.Get(o.r, n) }

// Trust implements upstream.Objects.
func (o objects) Trust(ref ir.TrustRef) *upstream.Problem {
	p, ok := o.t.trustStates.Get(o.r, ref)
	if !ok {
		return unusable(ref.String(), o.t.trustStates.Failure(o.r, ref))
	}
	return p
}

// KeyPair implements upstream.Objects.
func (o objects) KeyPair(ref ir.CertificateRef) *upstream.Problem {
	p, ok := o.t.keyStates.Get(o.r, ref)
	if !ok {
		return unusable("Secret "+ref.String(), o.t.keyStates.Failure(o.r, ref))
	}
	return p
}

// Validity implements upstream.Objects.
func (o objects) Validity(ref ir.CertificateRef) *upstream.Problem {
	p, ok := o.t.validities.Get(o.r, ref)
	if !ok {
		return unusable("Secret "+ref.String(), o.t.validities.Failure(o.r, ref))
	}
	return p
}

// Delegated implements upstream.Objects.
func (o objects) Delegated(secret ir.Name, to string) bool {
	return o.t.delegated.Has(o.r, delegationKey{Secret: secret, To: to}) ||
		o.t.delegated.Has(o.r, delegationKey{Secret: secret, To: "*"})
}

// NextChange returns when time alone will next change what a revision says of
// a certificate; zero for never. All says that every certificate was looked
// at, which is so when the clock was moved; else only those that the commit of
// rev changed were, and an earlier appointment stands.
func (t *Translator) NextChange(rev *graph.Revision) (next time.Time, all bool) {
	if len(graph.ChangesOf(rev, t.Clock)) == 0 {
		for _, c := range graph.ChangesOf(rev, t.Trust) {
			next = sooner(next, c.New.Next)
		}
		for _, c := range graph.ChangesOf(rev, t.KeyPairs) {
			next = sooner(next, c.New.Next)
		}
		return next, false
	}
	r := rev.Reader()
	for _, b := range t.Trust.All(r) {
		next = sooner(next, b.Next)
	}
	for _, k := range t.KeyPairs.All(r) {
		next = sooner(next, k.Next)
	}
	return next, true
}

func sooner(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}
