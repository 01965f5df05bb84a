package upstream

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

func TestFleetTLS(t *testing.T) {
	standard := ir.TLSProfile{Min: ir.TLS12, Max: ir.TLS13, Ciphers: defaultCiphers}
	own := func(change func(*ir.TLSProfile)) ir.TLSProfile { p := standard; change(&p); return p }
	client := &FleetSettings{ClientCertificate: &pairRef.Name}
	broken := func(why reason.Reason) fakes {
		return fakes{pairs: map[ir.CertificateRef]*Problem{pairRef: {Reason: why, Message: `Secret "hand/client" is invalid: why`, Until: now}}}
	}
	const broke = `upstreamTLS.clientCertificate Secret "hand/client" is invalid: why`
	cases := map[string]struct {
		reason   string
		settings *FleetSettings
		objects  fakes
		want     ir.FleetUpstreamTLS
		problems []Problem
	}{
		"Default": {reason: "versions are explicit", settings: &FleetSettings{}, want: ir.FleetUpstreamTLS{Profile: standard}},
		"Versions": {
			reason: "one version", settings: &FleetSettings{Min: "1.3", Max: "1.3", RequireValidation: true},
			want: ir.FleetUpstreamTLS{RequireValidation: true, Profile: own(func(p *ir.TLSProfile) { p.Min = ir.TLS13 })},
		},
		"Lists": {
			reason:   "order stays, repetitions go",
			settings: &FleetSettings{Ciphers: []string{"AES128-SHA", "[AES256-SHA|AES128-GCM-SHA256]", "AES128-SHA"}, Curves: []string{"P-256", "X25519", "P-256"}},
			want: ir.FleetUpstreamTLS{Profile: own(func(p *ir.TLSProfile) {
				p.Ciphers, p.Curves = []string{"AES128-SHA", "[AES256-SHA|AES128-GCM-SHA256]"}, []string{"P-256", "X25519"}
			})},
		},
		"Client": {reason: "a good certificate", settings: client, want: ir.FleetUpstreamTLS{Profile: standard, ClientCertificate: &pairRef}},
		"ClientNotFound": {
			reason: "a reason of its own", settings: client, objects: broken(reason.SecretNotFound),
			want:     ir.FleetUpstreamTLS{Profile: standard, ClientCertificate: &pairRef, Failure: broke, FailureReason: "ClientCertificateNotFound"},
			problems: []Problem{{Reason: reason.ClientCertificateNotFound, Type: reason.TLSError, Category: reason.SecretNotValid, Message: broke, Until: now}},
		},
		"ClientExpired": {
			reason: "a reason of its own", settings: client, objects: broken(reason.Expired),
			want:     ir.FleetUpstreamTLS{Profile: standard, ClientCertificate: &pairRef, Failure: broke, FailureReason: "ClientCertificateExpired"},
			problems: []Problem{{Reason: reason.ClientCertificateExpired, Type: reason.TLSError, Category: reason.SecretNotValid, Message: broke, Until: now}},
		},
		"ClientNotYetValid": {
			reason: "a reason of its own", settings: client, objects: broken(reason.NotYetValid),
			want:     ir.FleetUpstreamTLS{Profile: standard, ClientCertificate: &pairRef, Failure: broke, FailureReason: "ClientCertificateNotYetValid"},
			problems: []Problem{{Reason: reason.ClientCertificateNotYetValid, Type: reason.TLSError, Category: reason.SecretNotValid, Message: broke, Until: now}},
		},
		"ClientBroken": {
			reason: "all else", settings: client, objects: broken(reason.KeyMismatch),
			want:     ir.FleetUpstreamTLS{Profile: standard, ClientCertificate: &pairRef, Failure: broke, FailureReason: "ClientCertificateInvalid"},
			problems: []Problem{{Reason: reason.ClientCertificateInvalid, Type: reason.TLSError, Category: reason.SecretNotValid, Message: broke, Until: now}},
		},
		"BadMin": {
			reason: "never the default instead", settings: &FleetSettings{Min: "1.1"},
			want:     ir.FleetUpstreamTLS{Profile: ir.TLSProfile{Ciphers: defaultCiphers}, Failure: badMin, FailureReason: "TLSVersionInvalid"},
			problems: []Problem{{Reason: reason.TLSVersionInvalid, Type: reason.TLSError, Category: reason.TLSConfigNotValid, Message: badMin}},
		},
		"BadMax": {
			reason: "never the default instead", settings: &FleetSettings{Max: "TLSv1_3"},
			want:     ir.FleetUpstreamTLS{Profile: ir.TLSProfile{Ciphers: defaultCiphers}, Failure: badMax, FailureReason: "TLSVersionInvalid"},
			problems: []Problem{{Reason: reason.TLSVersionInvalid, Type: reason.TLSError, Category: reason.TLSConfigNotValid, Message: badMax}},
		},
		"MinAboveMax": {
			reason: "no version is left", settings: &FleetSettings{Min: "1.3", Max: "1.2"},
			want:     ir.FleetUpstreamTLS{Profile: ir.TLSProfile{Ciphers: defaultCiphers}, Failure: crossed, FailureReason: "TLSVersionInvalid"},
			problems: []Problem{{Reason: reason.TLSVersionInvalid, Type: reason.TLSError, Category: reason.TLSConfigNotValid, Message: crossed}},
		},
		"AllAtOnce": {
			reason:   "every fault is reported, the first stands for the upstreams",
			settings: &FleetSettings{Min: "1.1", Ciphers: []string{"RC4", "AES128-SHA", "[AES128-SHA|]", "[]"}, Curves: []string{"P-257"}},
			want:     ir.FleetUpstreamTLS{Profile: ir.TLSProfile{Ciphers: defaultCiphers}, Failure: badMin, FailureReason: "TLSVersionInvalid"},
			problems: []Problem{
				{Reason: reason.TLSVersionInvalid, Type: reason.TLSError, Category: reason.TLSConfigNotValid, Message: badMin},
				{
					Reason: reason.CiphersInvalid, Type: reason.TLSError, Category: reason.TLSConfigNotValid,
					Message: `upstreamTLS.cipherSuites: invalid cipher suites ["RC4" "[AES128-SHA|]" "[]"]: Envoy knows ` +
						"ECDHE-ECDSA-AES128-GCM-SHA256, ECDHE-RSA-AES128-GCM-SHA256, ECDHE-ECDSA-AES256-GCM-SHA384, ECDHE-RSA-AES256-GCM-SHA384, " +
						"ECDHE-ECDSA-CHACHA20-POLY1305, ECDHE-RSA-CHACHA20-POLY1305, ECDHE-ECDSA-AES128-SHA, ECDHE-RSA-AES128-SHA, " +
						"ECDHE-ECDSA-AES256-SHA, ECDHE-RSA-AES256-SHA, AES128-GCM-SHA256, AES256-GCM-SHA384, AES128-SHA, AES256-SHA, and groups of them as [A|B]",
				},
				{
					Reason: reason.CurvesInvalid, Type: reason.TLSError, Category: reason.TLSConfigNotValid,
					Message: `upstreamTLS.ecdhCurves: invalid ECDH curves ["P-257"]: Envoy knows X25519MLKEM768, X25519, P-256, P-384, P-521`,
				},
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, problems := FleetTLS(*tc.settings, tc.objects)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: FleetTLS() -want, +got:\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(tc.problems, problems); diff != "" {
				t.Errorf("%s: FleetTLS() problems -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

const (
	badMin  = `upstreamTLS.minimumProtocolVersion: invalid TLS minimum protocol version: "1.1": use "1.2" or "1.3"`
	badMax  = `upstreamTLS.maximumProtocolVersion: invalid TLS maximum protocol version: "TLSv1_3": use "1.2" or "1.3"`
	crossed = `upstreamTLS: the minimum TLS protocol version is greater than the maximum TLS protocol version: 1.3 and 1.2`
)

func TestFinish(t *testing.T) {
	service := ir.ServicePort{Name: ir.Name{Namespace: "hand", Name: "good"}, Port: 443}
	plain := func() *ir.Upstream { return &ir.Upstream{Service: service, Protocol: ir.HTTP1} }
	unverified := func() *ir.Upstream { u := plain(); u.TLS = &ir.UpstreamTLS{SNI: "a"}; return u }
	verified := func() *ir.Upstream { u := unverified(); u.TLS.Verify = &ir.Verify{}; return u }
	profile := ir.TLSProfile{Min: ir.TLS13, Max: ir.TLS13, Ciphers: []string{"AES128-SHA"}, Curves: []string{"P-256"}}
	with := func(u *ir.Upstream, c *ir.CertificateRef, p ir.TLSProfile) *ir.Upstream {
		u.TLS.ClientCertificate, u.TLS.Profile = c, p
		return u
	}
	cases := map[string]struct {
		reason string
		in     func() *ir.Upstream
		fleet  ir.FleetUpstreamTLS
		want   *ir.Upstream
		fault  *Problem
	}{
		"All": {
			reason: "certificate and profile", in: verified, fleet: ir.FleetUpstreamTLS{ClientCertificate: &pairRef, Profile: profile},
			want: with(verified(), &pairRef, profile),
		},
		"EmptyProfile": {
			reason: "Envoy alone would stop at TLS 1.2", in: verified, want: with(verified(), nil, ir.TLSProfile{Min: ir.TLS12, Max: ir.TLS13}),
		},
		"Unverified": {
			reason: "as Contour", in: unverified, fleet: ir.FleetUpstreamTLS{Profile: profile}, want: with(unverified(), nil, profile),
		},
		"UnverifiedRefused": {
			reason: "the fleet's rule", in: unverified, fleet: ir.FleetUpstreamTLS{Profile: profile, RequireValidation: true},
			fault: &Problem{
				Reason: reason.ValidationRequired, Type: reason.ServiceError, Category: reason.TLSUpstreamValidation,
				Message: "Service [good:443] TLS upstream validation policy error: " +
					`fleet "signet/edge" requires validation of TLS backends: set validation with caSecret and subjectName`,
			},
		},
		"VerifiedRequired": {
			reason: "the fleet's rule is met", in: verified, fleet: ir.FleetUpstreamTLS{Profile: profile, RequireValidation: true},
			want: with(verified(), nil, profile),
		},
		"Failure": {
			reason: "a broken client certificate fails TLS upstreams", in: verified,
			fleet: ir.FleetUpstreamTLS{Failure: "why", FailureReason: "ClientCertificateExpired", Profile: profile},
			fault: &Problem{
				Reason: reason.ClientCertificateExpired, Type: reason.TLSError, Category: reason.SecretNotValid,
				Message: `fleet "signet/edge": why`,
			},
		},
		"FailureOfSettings": {
			reason: "ciphers are no Secret", in: verified, fleet: ir.FleetUpstreamTLS{Failure: "why", FailureReason: "CiphersInvalid"},
			fault: &Problem{
				Reason: reason.CiphersInvalid, Type: reason.TLSError, Category: reason.TLSConfigNotValid,
				Message: `fleet "signet/edge": why`,
			},
		},
		"Cleartext": {
			reason: "and no others", in: plain, want: plain(),
			fleet: ir.FleetUpstreamTLS{Failure: "why", RequireValidation: true, ClientCertificate: &pairRef, Profile: profile},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			in := tc.in()
			got, p := Finish(in, &ir.Fleet{Name: ir.Name{Namespace: "signet", Name: "edge"}, Upstream: tc.fleet})
			if diff := cmp.Diff(tc.fault, p); diff != "" {
				t.Errorf("%s: Finish() problem -want, +got:\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: Finish() -want, +got:\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(tc.in(), in); diff != "" {
				t.Errorf("%s: Finish() changed its argument: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
