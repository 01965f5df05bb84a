package pipeline

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/ir"
)

// issuance is how long is waited for a Secret that Signet itself makes. It takes a
// leader milliseconds; without one, or where the Secret may not be written, the fleet
// then fails closed and says so.
const issuance = 5 * time.Second

// awaited keeps fleets from being without the client certificate that Signet issues
// for them, while it is being made: one that begins to ask for it serves as before
// until the Secret is there, and a Secret that was deleted counts until it is made
// anew. Nothing is kept for a fleet that has not served yet.
type awaited struct {
	// there are the Secrets that Signet has made and that the source delivered.
	there map[ir.Name]struct{}
	// used is the client certificate of each fleet as it was put.
	used map[ir.Name]clientSecret
	// fleets wait until a time for a Secret, and secrets are gone and may count on.
	fleets  map[ir.Name]waiting
	secrets map[ir.Name]ending
}

// clientSecret is the Secret of a client certificate, none if it has no name.
type clientSecret struct {
	name   ir.Name
	issued bool
}

// waiting is what a fleet waits for.
type waiting struct {
	secret ir.Name
	until  time.Time
}

// ending is a Secret that is gone; ours says that Signet had made it.
type ending struct {
	ours  bool
	until time.Time
}

func newAwaited() awaited {
	return awaited{
		there: map[ir.Name]struct{}{}, used: map[ir.Name]clientSecret{},
		fleets: map[ir.Name]waiting{}, secrets: map[ir.Name]ending{},
	}
}

// clientSecretOf is that of a fleet in the given shape.
func clientSecretOf(spec *translator.FleetSpec, shape *v1alpha1.EnvoyFleet) clientSecret {
	if shape == nil || spec.Upstream.ClientCertificate == nil {
		return clientSecret{}
	}
	return clientSecret{*spec.Upstream.ClientCertificate, shape.Spec.UpstreamTLS.ClientCertificate.Issued != nil}
}

// isReady says that a fleet is to be put as the spec has it, and need not wait.
func (a *awaited) isReady(spec *translator.FleetSpec, shape *v1alpha1.EnvoyFleet, now time.Time) bool {
	fleet, s := spec.Name, clientSecretOf(spec, shape)
	before, served := a.used[fleet]
	if _, there := a.there[s.name]; s.issued && !there && served && before != s {
		w := a.fleets[fleet]
		if w.secret != s.name {
			w = waiting{secret: s.name, until: now.Add(issuance)}
			a.fleets[fleet] = w
		}
		if now.Before(w.until) {
			return false
		}
	}
	delete(a.fleets, fleet)
	a.used[fleet] = s
	return true
}

// gone forgets a fleet.
func (a *awaited) gone(fleet ir.Name) {
	delete(a.used, fleet)
	delete(a.fleets, fleet)
}

// came takes a Secret.
func (a *awaited) came(n ir.Name, o *corev1.Secret) {
	delete(a.secrets, n)
	delete(a.there, n)
	for i := range o.OwnerReferences {
		if kind := o.OwnerReferences[i].Kind; kind == fleetKind || kind == "Gateway" {
			a.there[n] = struct{}{}
		}
	}
}

// went takes the end of a Secret, and returns false for one that no fleet uses. Else
// it ends when ended says so: it may have gone for a fleet that waits for another.
func (a *awaited) went(n ir.Name, now time.Time) bool {
	_, ours := a.there[n]
	delete(a.there, n)
	for _, s := range a.used {
		if s.name == n {
			a.secrets[n] = ending{ours: ours, until: now.Add(issuance)}
			return true
		}
	}
	return false
}

// ended are the Secrets that do not count on.
func (a *awaited) ended(now time.Time) []ir.Name {
	counts := map[ir.Name]bool{}
	for fleet, s := range a.used {
		_, waits := a.fleets[fleet]
		if x, gone := a.secrets[s.name]; gone && now.Before(x.until) && (waits || s.issued && x.ours) {
			counts[s.name] = true
		}
	}
	var out []ir.Name
	for n := range a.secrets {
		if !counts[n] {
			out = append(out, n)
			delete(a.secrets, n)
		}
	}
	return out
}

// due are the fleets to look at again.
func (a *awaited) due(now time.Time) []ir.Name {
	var out []ir.Name
	for fleet, w := range a.fleets {
		if _, there := a.there[w.secret]; there || !now.Before(w.until) {
			out = append(out, fleet)
		}
	}
	return out
}

// next is when the first time is over; zero when nothing waits.
func (a *awaited) next() time.Time {
	var out time.Time
	note := func(at time.Time) {
		if out.IsZero() || at.Before(out) {
			out = at
		}
	}
	for _, w := range a.fleets {
		note(w.until)
	}
	for _, x := range a.secrets {
		note(x.until)
	}
	return out
}

// lookAgain has fleets looked at again when a time of theirs is over.
func (p *Pipeline) lookAgain(now time.Time) {
	if p.again != nil {
		p.again.Stop()
		p.again = nil
	}
	if next := p.intake.fleets.next(); !next.IsZero() {
		p.again = time.AfterFunc(max(0, next.Sub(now)), func() { p.Apply(source.Batch{}) })
	}
}
