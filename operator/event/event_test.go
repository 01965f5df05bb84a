package event

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/signetproxy/signet/operator/api/v1alpha1"
	"github.com/signetproxy/signet/operator/quarantine"
	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/gatewayapi"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/httpproxy"
	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
	"github.com/signetproxy/signet/translator/upstream"
)

const day = 24 * time.Hour

func TestPassed(t *testing.T) {
	cases := map[string]struct {
		reason         string
		lifetime, left time.Duration
		want           int
	}{
		"Long to go":  {"nothing is due", 365 * day, 31 * day, none},
		"A month":     {"the first threshold", 365 * day, 30 * day, 0},
		"A week":      {"the second", 365 * day, 6 * day, 1},
		"A day":       {"the third", 365 * day, time.Hour, 2},
		"Expired":     {"the last", 365 * day, -time.Hour, 3},
		"Short-lived": {"a certificate of a week is not due a week before its end", 7 * day, 6 * day, none},
		"Its end":     {"but a day before it", 7 * day, 20 * time.Hour, 2},
		"Of an hour":  {"expiry is always told", time.Hour, -time.Second, 3},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			end := time.Unix(1_800_000_000, 0)
			if got := passed(end.Add(-c.left), end.Add(-c.lifetime), end); got != c.want {
				t.Errorf("%s: got %d, want %d", c.reason, got, c.want)
			}
		})
	}
}

// drain takes what has been recorded.
func drain(r *events.FakeRecorder) []string {
	var out []string
	for {
		select {
		case e := <-r.Events:
			out = append(out, e)
		default:
			return out
		}
	}
}

// Each threshold is told once, on the Secret, and a renewal ends it.
func TestExpiryIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := translator.New()
		secret := ir.Name{Namespace: "default", Name: "client"}
		put := func(lifetime time.Duration) {
			c := graph.NewChanges()
			tr.Clock.Put(c, translator.ClockKey, time.Now())
			fleet := ir.Name{Namespace: "default", Name: "edge"}
			tr.Fleets.Put(c, fleet, &translator.FleetSpec{Name: fleet, Upstream: upstream.FleetSettings{ClientCertificate: &secret}})
			tr.Secrets.Put(c, secret, clientSecret(t, secret, time.Now().Add(lifetime)))
			tr.Commit(c)
		}
		put(100 * day)
		recorder := events.NewFakeRecorder(10)
		e := &Events{Recorder: recorder, Translator: tr, Now: time.Now}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = e.Run(ctx) }()
		after := func(d time.Duration) []string {
			time.Sleep(d) //nolint:forbidigo // of the bubble's clock
			synctest.Wait()
			return drain(recorder)
		}
		want := func(what string, got []string, n int) {
			t.Helper()
			if len(got) != n {
				t.Errorf("%s: got %q, want %d", what, got, n)
			}
		}
		want("a hundred days before", after(time.Hour), 0)
		want("a month before", after(71*day), 1)
		want("the same month", after(10*day), 0)
		want("a week before", after(13*day), 1)
		put(200 * day)
		want("renewed", after(day), 0)
		cancel()
		synctest.Wait()
	})
}

// clientSecret holds a certificate that is valid from now.
func clientSecret(t *testing.T, n ir.Name, notAfter time.Time) *corev1.Secret {
	t.Helper()
	ca, err := pki.NewAuthorityAt("CA", time.Now(), notAfter.Add(day))
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Issue(pki.Leaf{CommonName: "edge", NotBefore: time.Now(), NotAfter: notAfter})
	if err != nil {
		t.Fatal(err)
	}
	return &corev1.Secret{
		Namespace: n.Namespace, Name: n.Name, Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{corev1.TLSCertKey: pair.CertPEM, corev1.TLSPrivateKeyKey: pair.KeyPEM},
	}
}

func TestRefused(t *testing.T) {
	tr := translator.New()
	c := graph.NewChanges()
	name := ir.Name{Namespace: "default", Name: "web"}
	tr.Proxies.Put(c, name, &contourv1.HTTPProxy{Namespace: "default", Name: "web"})
	tr.TLSRoutes.Put(c, name, &gatewayv1.TLSRoute{Namespace: "default", Name: "web"})
	tr.TCPRoutes.Put(c, name, &gatewayv1.TCPRoute{Namespace: "default", Name: "web"})
	tr.UDPRoutes.Put(c, name, &gatewayv1.UDPRoute{Namespace: "default", Name: "web"})
	tr.Commit(c)
	recorder := events.NewFakeRecorder(10)
	e := &Events{Recorder: recorder, Translator: tr, Now: time.Now}
	e.Refused(quarantine.Event{
		Objects: []ir.ObjectRef{
			{Kind: httpproxy.Kind, Name: name}, {Kind: httpproxy.Kind, Name: ir.Name{Name: "gone"}}, {Kind: "Else", Name: name},
			{Kind: gatewayapi.KindTLSRoute, Name: name}, {Kind: gatewayapi.KindTCPRoute, Name: name}, {Kind: gatewayapi.KindUDPRoute, Name: name},
		},
		Reason: reason.RefusedByEnvoy, Message: "100 % refused",
	})
	// A listener is the fleet's own.
	e.Fleet = func(n ir.Name) runtime.Object {
		if n != name {
			return nil
		}
		return &v1alpha1.EnvoyFleet{Namespace: n.Namespace, Name: n.Name}
	}
	e.Refused(quarantine.Event{Fleet: name, Reason: reason.RefusedByEnvoy, Message: "100 % refused"})
	e.Refused(quarantine.Event{Fleet: ir.Name{Name: "gone"}, Reason: reason.RefusedByEnvoy, Message: "gone"})
	want := slices.Repeat([]string{corev1.EventTypeWarning + " RefusedByEnvoy 100 % refused"}, 5)
	if diff := cmp.Diff(want, drain(recorder)); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}
