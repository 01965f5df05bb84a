package upstream

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/signetproxy/signet/translator/ir"
	"github.com/signetproxy/signet/translator/reason"
)

// good is a Service "hand/good" with the ports https 443, http 80, an unnamed
// 8443 and UDP 53.
func good(change ...func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{
		Namespace: "hand", Name: "good", Annotations: map[string]string{},
		Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{
			{Name: "https", Port: 443}, {Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}, {Port: 8443},
			{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP},
			{Name: "quic", Port: 444, Protocol: corev1.ProtocolUDP}, {Name: "both", Port: 444, Protocol: corev1.ProtocolTCP},
		}},
	}
	for _, f := range change {
		f(s)
	}
	return s
}

func annotate(pairs ...string) func(*corev1.Service) {
	return func(s *corev1.Service) {
		for i := 0; i < len(pairs); i += 2 {
			s.Annotations["projectcontour.io/"+pairs[i]] = pairs[i+1]
		}
	}
}

func withAppProtocol(port int, value string) func(*corev1.Service) {
	return func(s *corev1.Service) { s.Spec.Ports[port].AppProtocol = &value }
}

func external(name string) func(*corev1.Service) {
	return func(s *corev1.Service) { s.Spec.Type, s.Spec.ExternalName = corev1.ServiceTypeExternalName, name }
}

func holding(s *corev1.Service) fakes {
	return fakes{services: map[ir.Name]*corev1.Service{{Namespace: "hand", Name: "good"}: s}}
}

func to(port int32, change ...func(*Request)) Request {
	r := Request{Service: ir.ServicePort{Name: ir.Name{Namespace: "hand", Name: "good"}, Port: port}}
	for _, f := range change {
		f(&r)
	}
	return r
}

func protocol(p string) func(*Request) { return func(r *Request) { r.Protocol = &p } }

func tcp(r *Request) { r.TCP = true }

// validate asks for the CA hand/ca and the names, "name" when there are none.
func validate(names ...string) func(*Request) {
	if names == nil {
		names = []string{"name"}
	}
	return func(r *Request) {
		r.Validation = &Validation{Trust: []ir.TrustRef{trustRef}, From: "hand", Names: names}
	}
}

func TestDecideProtocol(t *testing.T) {
	type answer struct {
		Protocol ir.Protocol
		TLS      bool
		ALPN     []string
	}
	plain, h2c := answer{Protocol: ir.HTTP1}, answer{Protocol: ir.HTTP2}
	tls := answer{Protocol: ir.HTTP1, TLS: true, ALPN: []string{"http/1.1"}}
	h2 := answer{Protocol: ir.HTTP2, TLS: true, ALPN: []string{"h2"}}
	cases := map[string]struct {
		reason  string
		service *corev1.Service
		request Request
		want    answer
	}{
		"Nothing":             {reason: "the default is HTTP/1.1 in cleartext", service: good(), request: to(443), want: plain},
		"FieldTLS":            {reason: "the route's word", service: good(), request: to(443, protocol("tls")), want: tls},
		"FieldH2":             {reason: "HTTP/2 by ALPN", service: good(), request: to(443, protocol("h2")), want: h2},
		"FieldH2C":            {reason: "prior knowledge", service: good(), request: to(443, protocol("h2c")), want: h2c},
		"AnnotatedName":       {reason: "a port by name", service: good(annotate("upstream-protocol.tls", "https")), request: to(443), want: tls},
		"AnnotatedNumber":     {reason: "a port by number", service: good(annotate("upstream-protocol.tls", "443")), request: to(443), want: tls},
		"AnnotatedH2":         {reason: "each of the three", service: good(annotate("upstream-protocol.h2", "https")), request: to(443), want: h2},
		"AnnotatedH2C":        {reason: "each of the three", service: good(annotate("upstream-protocol.h2c", "80")), request: to(80), want: h2c},
		"List":                {reason: "elements are trimmed, empty ones skipped", service: good(annotate("upstream-protocol.tls", ", https ,")), request: to(443), want: tls},
		"OtherPort":           {reason: "and no other port", service: good(annotate("upstream-protocol.tls", "https")), request: to(80), want: plain},
		"LeadingZero":         {reason: "numbers compare as text", service: good(annotate("upstream-protocol.tls", "0443")), request: to(443), want: plain},
		"Case":                {reason: "names compare exactly", service: good(annotate("upstream-protocol.tls", "HTTPS")), request: to(443), want: plain},
		"Unnamed":             {reason: "an empty element is not the unnamed port", service: good(annotate("upstream-protocol.tls", ",")), request: to(8443), want: plain},
		"UnnamedNumber":       {reason: "an unnamed port has its number", service: good(annotate("upstream-protocol.tls", "8443")), request: to(8443), want: tls},
		"UnknownAnnotation":   {reason: "upstream-protocol.foo says nothing", service: good(annotate("upstream-protocol.foo", "443")), request: to(443), want: plain},
		"TLSOverH2C":          {reason: "among annotations tls is first", service: good(annotate("upstream-protocol.h2c", "443", "upstream-protocol.tls", "443", "upstream-protocol.h2", "443")), request: to(443), want: tls},
		"H2COverH2":           {reason: "then h2c", service: good(annotate("upstream-protocol.h2c", "443", "upstream-protocol.h2", "443")), request: to(443), want: h2c},
		"NameOverNumber":      {reason: "the name goes first, whatever the protocol", service: good(annotate("upstream-protocol.h2", "https", "upstream-protocol.tls", "443")), request: to(443), want: h2},
		"FieldOverTLS":        {reason: "the field wins down", service: good(annotate("upstream-protocol.tls", "443")), request: to(443, protocol("h2c")), want: h2c},
		"FieldOverH2C":        {reason: "the field wins up", service: good(annotate("upstream-protocol.h2c", "443")), request: to(443, protocol("tls")), want: tls},
		"AppHTTPS":            {reason: "appProtocol says TLS", service: good(withAppProtocol(0, "https")), request: to(443), want: tls},
		"AppWSS":              {reason: "websockets over TLS", service: good(withAppProtocol(0, "kubernetes.io/wss")), request: to(443), want: tls},
		"AppWS":               {reason: "websockets", service: good(withAppProtocol(0, "kubernetes.io/ws")), request: to(443), want: plain},
		"AppH2C":              {reason: "prior knowledge", service: good(withAppProtocol(0, "kubernetes.io/h2c")), request: to(443), want: h2c},
		"AppHTTP":             {reason: "cleartext", service: good(withAppProtocol(0, "http")), request: to(443), want: plain},
		"AppUnknown":          {reason: "no error, HTTP/1.1", service: good(withAppProtocol(0, "mysql")), request: to(443), want: plain},
		"AnnotationOverApp":   {reason: "never silently down", service: good(withAppProtocol(0, "http"), annotate("upstream-protocol.tls", "443")), request: to(443), want: tls},
		"FieldOverApp":        {reason: "the field wins", service: good(withAppProtocol(0, "https")), request: to(443, protocol("h2c")), want: h2c},
		"TCP":                 {reason: "bytes", service: good(), request: to(443, tcp), want: answer{Protocol: ir.TCP}},
		"TCPOverTLS":          {reason: "no ALPN: the two ends agree", service: good(annotate("upstream-protocol.tls", "443")), request: to(443, tcp), want: answer{Protocol: ir.TCP, TLS: true}},
		"TCPOverTLSByH2":      {reason: "h2 is TLS", service: good(), request: to(443, tcp, protocol("h2")), want: answer{Protocol: ir.TCP, TLS: true}},
		"TCPByH2C":            {reason: "h2c is cleartext", service: good(), request: to(443, tcp, protocol("h2c")), want: answer{Protocol: ir.TCP}},
		"SameNumberUDPAndTCP": {reason: "the TCP port is found", service: good(annotate("upstream-protocol.tls", "both")), request: to(444), want: tls},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			u, p := Decide(holding(tc.service), tc.request)
			if p != nil {
				t.Fatalf("%s: Decide(): %v", tc.reason, p)
			}
			got := answer{Protocol: u.Protocol}
			if u.TLS != nil {
				got.TLS, got.ALPN = true, u.TLS.ALPN
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: Decide() -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestDecideReferences(t *testing.T) {
	const routes = "Spec.Routes unresolved service reference: "
	cases := map[string]struct {
		reason  string
		objects fakes
		request Request
		want    *Problem
	}{
		"NoService": {
			reason: "a Service that is not there", request: to(443),
			want: &Problem{Reason: reason.ServiceNotFound, Message: routes + `service "hand/good" not found`},
		},
		"NoPort": {
			reason: "a port that is not there", objects: holding(good()), request: to(1),
			want: &Problem{Reason: reason.PortNotFound, Message: routes + `port "1" on service "hand/good" not matched`},
		},
		"UDP": {
			reason: "TCP only", objects: holding(good()), request: to(53),
			want: &Problem{Reason: reason.PortNotTCP, Message: routes + `unsupported service protocol "UDP"`},
		},
		"NoHealthPort": {
			reason: "a check that could never succeed", objects: holding(good()), request: to(443, func(r *Request) { r.HealthPort = 2 }),
			want: &Problem{Reason: reason.PortNotFound, Message: routes + `port "2" on service "hand/good" not matched`},
		},
		"Localhost": {
			reason: "Envoy's own host", objects: holding(good(external("LocalHost."))), request: to(443),
			want: &Problem{Reason: reason.ExternalNameNotAllowed, Message: routes + `hand/good is an ExternalName service that points to localhost, this is not allowed`},
		},
		"BelowLocalhost": {
			reason: "RFC 6761", objects: holding(good(external("a.localhost"))), request: to(443),
			want: &Problem{Reason: reason.ExternalNameNotAllowed, Message: routes + `hand/good is an ExternalName service that points to localhost, this is not allowed`},
		},
		"Loopback":   {reason: "all of 127/8", objects: holding(good(external("127.1.2.3"))), request: to(443), want: errOwnAddress},
		"Loopback6":  {reason: "in brackets", objects: holding(good(external("[::1]"))), request: to(443), want: errOwnAddress},
		"Mapped":     {reason: "in IPv6 clothes", objects: holding(good(external("::ffff:127.0.0.1"))), request: to(443), want: errOwnAddress},
		"LinkLocal":  {reason: "cloud metadata", objects: holding(good(external("169.254.169.254"))), request: to(443), want: errOwnAddress},
		"LinkLocal6": {reason: "with a zone", objects: holding(good(external("fe80::1%eth0"))), request: to(443), want: errOwnAddress},
		"Unspecific": {reason: "reaches the host itself", objects: holding(good(external("0.0.0.0"))), request: to(443), want: errOwnAddress},
		"ShortForm": {
			reason: "inet_aton reads 127.0.0.1", objects: holding(good(external("127.1"))), request: to(443),
			want: &Problem{
				Reason: reason.ExternalNameInvalid, Message: routes +
					`spec.externalName "127.1" of service "hand/good" is an IP address in a form that resolvers disagree on: write it in full`,
			},
		},
		"NoName": {
			reason: "an ExternalName without a name", objects: holding(good(external(""))), request: to(443),
			want: &Problem{Reason: reason.ExternalNameInvalid, Message: routes + `spec.externalName "" of service "hand/good" is empty`},
		},
		"BadName": {
			reason: "not a host name", objects: holding(good(external("a b"))), request: to(443),
			want: &Problem{
				Reason: reason.ExternalNameInvalid, Message: routes +
					`spec.externalName "a b" of service "hand/good" is neither a DNS name, an IP address nor a URI`,
			},
		},
		"TCP": {
			reason: "a TCP proxy has its own words", request: to(443, tcp),
			want: &Problem{
				Reason: reason.ServiceNotFound, Type: reason.TCPProxyError,
				Message: `Spec.TCPProxy unresolved service reference: service "hand/good" not found`,
			},
		},
		"Protocol": {
			reason: "the CRD refuses it, a folder may not", objects: holding(good()), request: to(443, protocol("https")),
			want: &Problem{Reason: reason.UnsupportedProtocol, Category: reason.UnsupportedProtocol, Message: `unsupported protocol: https`},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			want := *tc.want
			if want.Type == "" {
				want.Type = reason.ServiceError
			}
			if want.Category == "" {
				want.Category = reason.ServiceUnresolvedReference
			}
			u, p := Decide(tc.objects, tc.request)
			if diff := cmp.Diff(&want, p); diff != "" || u != nil {
				t.Errorf("%s: Decide() = %v, problem -want, +got:\n%s", tc.reason, u, diff)
			}
		})
	}
}

var errOwnAddress = &Problem{
	Reason: reason.ExternalNameNotAllowed,
	Message: "Spec.Routes unresolved service reference: hand/good is an ExternalName service " +
		"that points to a loopback, link-local or unspecified IP address, this is not allowed",
}

func TestDecideValidationProblems(t *testing.T) {
	const policy = "Service [good:443] TLS upstream validation policy error: "
	const set = `set services[].protocol to "tls" or "h2", or annotate service "hand/good" with projectcontour.io/upstream-protocol.tls: "443"`
	tls := protocol("tls")
	foreign := func(kind ir.TrustKind) func(*Request) {
		return func(r *Request) {
			r.Validation = &Validation{
				Trust: []ir.TrustRef{{Kind: kind, Name: ir.Name{Namespace: "vault", Name: "ca"}}}, From: "hand", Names: []string{"name"},
			}
		}
	}
	broken := holding(good())
	broken.trust = map[ir.TrustRef]*Problem{trustRef: {Reason: reason.SecretNotFound, Message: `invalid CA Secret "hand/ca": Secret not found`, Until: now}}
	elsewhere := holding(good())
	elsewhere.delegated = map[ir.Name]string{{Namespace: "vault", Name: "ca"}: "other"}
	cases := map[string]struct {
		reason  string
		objects fakes
		request Request
		want    Problem
	}{
		"Cleartext": {
			reason: "never plaintext where validation was asked for", objects: holding(good()), request: to(443, validate()),
			want: Problem{Reason: reason.ValidationWithoutTLS, Message: policy + "validation needs TLS: nothing asks for TLS to this port: " + set},
		},
		"CleartextByField": {
			reason: "the field is to blame", objects: holding(good(annotate("upstream-protocol.tls", "443"))), request: to(443, validate(), protocol("h2c")),
			want: Problem{
				Reason:  reason.ValidationWithoutTLS,
				Message: policy + `validation needs TLS: services[].protocol "h2c" is cleartext: set it to "h2" or "tls"`,
			},
		},
		"CleartextByAnnotation": {
			reason: "the annotation is to blame", objects: holding(good(annotate("upstream-protocol.h2c", "443"))), request: to(443, validate()),
			want: Problem{
				Reason: reason.ValidationWithoutTLS, Message: policy +
					`validation needs TLS: annotation projectcontour.io/upstream-protocol.h2c of service "hand/good" makes the port cleartext: ` + set,
			},
		},
		"CleartextByAppProtocol": {
			reason: "appProtocol is to blame", objects: holding(good(withAppProtocol(0, "http"))), request: to(443, validate()),
			want: Problem{
				Reason:  reason.ValidationWithoutTLS,
				Message: policy + `validation needs TLS: appProtocol "http" of the port is cleartext: ` + set,
			},
		},
		"CleartextTCP": {
			reason: "bytes are no excuse", objects: holding(good()), request: to(443, validate(), tcp),
			want: Problem{Reason: reason.ValidationWithoutTLS, Message: policy + "validation needs TLS: nothing asks for TLS to this port: " + set},
		},
		"NotDelegated": {
			reason: "another namespace's Secret", objects: holding(good()), request: to(443, tls, foreign(ir.TrustSecret)),
			want: Problem{
				Reason: reason.NotDelegated, Type: reason.TLSError, Category: reason.CACertificateNotDelegated,
				Message: `service.UpstreamValidation.CACertificate Secret "vault/ca" is not configured for certificate delegation: ` +
					`a TLSCertificateDelegation in namespace "vault" must name it and the target namespace "hand"`,
			},
		},
		"DelegatedElsewhere": {
			reason: "delegated to a third", objects: elsewhere, request: to(443, tls, foreign(ir.TrustSecret)),
			want: Problem{
				Reason: reason.NotDelegated, Type: reason.TLSError, Category: reason.CACertificateNotDelegated,
				Message: `service.UpstreamValidation.CACertificate Secret "vault/ca" is not configured for certificate delegation: ` +
					`a TLSCertificateDelegation in namespace "vault" must name it and the target namespace "hand"`,
			},
		},
		"ForeignConfigMap": {
			reason: "nothing delegates a ConfigMap", objects: fakes{
				services:  holding(good()).services,
				delegated: map[ir.Name]string{{Namespace: "vault", Name: "ca"}: "hand"},
			},
			request: to(443, tls, foreign(ir.TrustConfigMap)),
			want: Problem{
				Reason: reason.NotDelegated, Type: reason.TLSError, Category: reason.CACertificateNotDelegated,
				Message: `service.UpstreamValidation.CACertificate ConfigMap "vault/ca" is of another namespace than "hand": only Secrets can be delegated`,
			},
		},
		"NoTrust": {
			reason: "caSecret is required", objects: holding(good()), request: to(443, tls, func(r *Request) { r.Validation = &Validation{From: "hand", Names: []string{"name"}} }),
			want: Problem{Reason: reason.TrustMissing, Message: policy + "caSecret is required: name a Secret with a CA bundle in its key ca.crt"},
		},
		"Untrustworthy": {
			reason: "the description is a contract, the detail says why", objects: broken, request: to(443, tls, validate()),
			want: Problem{
				Reason: reason.SecretNotFound, Message: policy + `invalid CA Secret "hand/ca": Secret not found`,
				Description: "upstreamValidation requested but secret not found or misconfigured", Until: now,
			},
		},
		"NoNames": {
			reason: "any certificate of the CA would do", objects: holding(good()), request: to(443, tls, validate([]string{}...), func(r *Request) { r.Validation.Names = nil }),
			want: Problem{Reason: reason.SubjectNameMissing, Message: policy + "missing subject alternative name: set subjectName to a name in the backend's certificate"},
		},
		"EmptyName": {
			reason: "subjectName empty", objects: holding(good()), request: to(443, tls, validate("")),
			want: Problem{Reason: reason.SubjectNameMissing, Message: policy + "missing subject alternative name: set subjectName to a name in the backend's certificate"},
		},
		"BadName": {
			reason: "the field as one writes it", objects: holding(good()), request: to(443, tls, validate("a b")),
			want: Problem{
				Reason:  reason.SubjectNameInvalid,
				Message: policy + `subjectName "a b" is neither a DNS name, an IP address nor a URI`,
			},
		},
		"BadSecondName": {
			reason: "the name and its place", objects: holding(good()), request: to(443, tls, validate("ok", "a:443")),
			want: Problem{
				Reason:  reason.SubjectNameInvalid,
				Message: policy + `subjectNames[1] "a:443" holds a colon: a name has no port, and a URI needs a scheme and "://"`,
			},
		},
		"BadSNI": {
			reason: "a policy's hostname is sent as it is", objects: holding(good()),
			request: to(443, tls, validate(), func(r *Request) { r.Validation.SNI = "10.0.0.1" }),
			want:    Problem{Reason: reason.SNIInvalid, Message: policy + `hostname "10.0.0.1" is not a DNS name`},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			want := tc.want
			if want.Type == "" {
				want.Type, want.Category = reason.ServiceError, reason.TLSUpstreamValidation
			}
			u, p := Decide(tc.objects, tc.request)
			if diff := cmp.Diff(&want, p); diff != "" || u != nil {
				t.Errorf("%s: Decide() = %v, problem -want, +got:\n%s", tc.reason, u, diff)
			}
		})
	}
}

func TestDecideWhole(t *testing.T) {
	service := ir.ServicePort{Name: ir.Name{Namespace: "hand", Name: "good"}, Port: 443}
	vault := ir.TrustRef{Kind: ir.TrustSecret, Name: ir.Name{Namespace: "vault", Name: "ca"}}
	delegated := holding(good(external("Backend.Example.")))
	delegated.delegated = map[ir.Name]string{vault.Name: "hand"}
	check := &ir.HealthCheck{Unhealthy: 1}
	slow := &ir.SlowStart{MinWeight: 10}
	cases := map[string]struct {
		reason  string
		objects fakes
		request Request
		want    *ir.Upstream
	}{
		"PassedOn": {
			reason: "what no rule looks at stays", objects: holding(good(annotate("max-connections", "5", "max-pending-requests", "6",
				"max-requests", "7", "max-retries", "8", "per-host-max-connections", "9"))),
			request: to(443, func(r *Request) {
				r.HealthPort, r.HealthCheck, r.SlowStart, r.LoadBalancer = 80, check, slow, ir.LoadBalancer{Policy: ir.Random}
			}),
			want: &ir.Upstream{
				Service: service, Protocol: ir.HTTP1, HealthPort: 80, HealthCheck: check, SlowStart: slow, LoadBalancer: ir.LoadBalancer{Policy: ir.Random},
				CircuitBreakers: ir.CircuitBreakers{
					MaxConnections: 5, MaxPendingRequests: 6, MaxRequests: 7, MaxRetries: 8, PerHostMaxConnections: 9,
				},
			},
		},
		"SameHealthPort": {
			reason: "one cluster, not two", objects: holding(good()), request: to(443, func(r *Request) { r.HealthPort = 443 }),
			want: &ir.Upstream{Service: service, Protocol: ir.HTTP1},
		},
		"BadLimit": {
			reason: "as in Contour the default stays", objects: holding(good(annotate("max-connections", "many"))), request: to(443),
			want: &ir.Upstream{Service: service, Protocol: ir.HTTP1},
		},
		"Validated": {
			reason: "trust sorted, names in order, both without repetitions", objects: delegated,
			request: to(443, protocol("h2"), func(r *Request) {
				r.Validation = &Validation{
					Trust: []ir.TrustRef{vault, trustRef, vault}, From: "hand",
					Names: []string{"B.example.", "a.example", "b.example", "10.0.0.1", "spiffe://td/x"},
				}
			}),
			want: &ir.Upstream{
				Service: service, ExternalName: "backend.example", Protocol: ir.HTTP2,
				TLS: &ir.UpstreamTLS{
					SNI: "backend.example", ALPN: []string{"h2"},
					Verify: &ir.Verify{
						Trust: []ir.TrustRef{trustRef, vault},
						Names: []ir.SubjectName{
							{Kind: ir.DNSName, Value: "b.example"}, {Kind: ir.DNSName, Value: "a.example"},
							{Kind: ir.IPName, Value: "10.0.0.1"}, {Kind: ir.URIName, Value: "spiffe://td/x"},
						},
					},
				},
			},
		},
		"System": {
			reason: "belongs to no namespace", objects: holding(good()),
			request: to(443, protocol("tls"), func(r *Request) {
				r.Validation = &Validation{Trust: []ir.TrustRef{{Kind: ir.TrustSystem}}, From: "hand", Names: []string{"a"}}
			}),
			want: &ir.Upstream{Service: service, Protocol: ir.HTTP1, TLS: &ir.UpstreamTLS{
				SNI: "a", ALPN: []string{"http/1.1"},
				Verify: &ir.Verify{Trust: []ir.TrustRef{{Kind: ir.TrustSystem}}, Names: []ir.SubjectName{{Kind: ir.DNSName, Value: "a"}}},
			}},
		},
		"ExternalMapped": {
			reason: "one spelling is one cluster", objects: holding(good(external("[::ffff:192.0.2.1]"))), request: to(443),
			want: &ir.Upstream{Service: service, Protocol: ir.HTTP1, ExternalName: "192.0.2.1"},
		},
		"ExternalAddress": {
			reason: "an address is no SNI", objects: holding(good(external("192.0.2.1"))), request: to(443, protocol("tls")),
			want: &ir.Upstream{Service: service, Protocol: ir.HTTP1, ExternalName: "192.0.2.1", TLS: &ir.UpstreamTLS{ALPN: []string{"http/1.1"}}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, p := Decide(tc.objects, tc.request)
			if diff := cmp.Diff(tc.want, got); diff != "" || p != nil {
				t.Errorf("%s: Decide() problem %v, -want, +got:\n%s", tc.reason, p, diff)
			}
		})
	}
}

func TestDecideSNI(t *testing.T) {
	hosts := func(h ...string) func(*Request) { return func(r *Request) { r.Hosts = h } }
	cases := map[string]struct {
		reason   string
		external string
		request  Request
		want     string
	}{
		"None":             {reason: "nothing to send", request: to(443, protocol("tls"))},
		"SubjectName":      {reason: "the last resort", request: to(443, protocol("tls"), validate("a.example", "b.example")), want: "a.example"},
		"FirstDNSName":     {reason: "addresses, URIs and wildcards are passed over", request: to(443, protocol("tls"), validate("10.0.0.1", "spiffe://td/x", "*.example", "b.example")), want: "b.example"},
		"OnlyAddress":      {reason: "RFC 6066 forbids addresses", request: to(443, protocol("tls"), validate("10.0.0.1"))},
		"ExternalName":     {reason: "before the subject name", external: "x.example", request: to(443, protocol("tls"), validate("a.example")), want: "x.example"},
		"ServiceHost":      {reason: "before the ExternalName", external: "x.example", request: to(443, protocol("tls"), validate(), hosts("s.example", "r.example")), want: "s.example"},
		"RouteHost":        {reason: "where the service has none", external: "x.example", request: to(443, protocol("tls"), validate(), hosts("", "R.Example:8443")), want: "r.example"},
		"HostIsAddress":    {reason: "the next one", external: "x.example", request: to(443, protocol("tls"), hosts("10.0.0.1", "[::1]:443")), want: "x.example"},
		"HostFromHeader":   {reason: "not known before the request", request: to(443, protocol("tls"), validate("a.example"), hosts("%REQ(X-Host)%")), want: "a.example"},
		"ValidationsOwn":   {reason: "a policy's hostname is always sent", external: "x.example", request: to(443, protocol("tls"), validate(), hosts("h.example"), func(r *Request) { r.Validation.SNI = "P.Example" }), want: "p.example"},
		"TCP":              {reason: "as for HTTP", request: to(443, tcp, protocol("tls"), validate("a.example")), want: "a.example"},
		"WithoutTrailDots": {reason: "RFC 6066: no trailing dot", request: to(443, protocol("tls"), hosts("h.example.")), want: "h.example"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := good()
			if tc.external != "" {
				external(tc.external)(s)
			}
			u, p := Decide(holding(s), tc.request)
			if p != nil {
				t.Fatalf("%s: Decide(): %v", tc.reason, p)
			}
			if diff := cmp.Diff(tc.want, u.TLS.SNI); diff != "" {
				t.Errorf("%s: SNI -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// Of several faults the first in the order of the rules is reported.
func TestDecideOrder(t *testing.T) {
	o := holding(good(external("localhost")))
	o.trust = map[ir.TrustRef]*Problem{trustRef: {Reason: reason.Expired}}
	r := to(1, protocol("x"), validate(""), func(r *Request) { r.HealthPort, r.Validation.From = 2, "other" })
	steps := []struct {
		want reason.Reason
		mend func()
	}{
		{reason.PortNotFound, func() { r.Service.Port = 443 }},
		{reason.PortNotFound, func() { r.HealthPort = 0 }},
		{reason.ExternalNameNotAllowed, func() { external("ok.example")(o.services[r.Service.Name]) }},
		{reason.UnsupportedProtocol, func() { protocol("h2c")(&r) }},
		{reason.ValidationWithoutTLS, func() { protocol("tls")(&r) }},
		{reason.NotDelegated, func() { r.Validation.From = "hand" }},
		{reason.Expired, func() { o.trust = nil }},
		{reason.SubjectNameMissing, func() { r.Validation.Names = []string{"a"} }},
	}
	for i, s := range steps {
		_, p := Decide(o, r)
		if p == nil || p.Reason != s.want {
			t.Fatalf("step %d: Decide() problem %v, want %s", i, p, s.want)
		}
		s.mend()
	}
	if _, p := Decide(o, r); p != nil {
		t.Errorf("Decide() after all was mended: %v", p)
	}
}

func TestCheckService(t *testing.T) {
	s := good(annotate("upstream-protocol.tls", "https, 1,nope", "upstream-protocol.foo", "443", "max-requests", "-1", "max-retries", "3"))
	s.Annotations["example.com/upstream-protocol.tls"] = "nope"
	var got []string
	for _, p := range CheckService(s) {
		got = append(got, p.Message)
	}
	want := []string{
		`annotation projectcontour.io/max-requests of service "hand/good" is not a number of 0 to 4294967295: "-1"`,
		`annotation projectcontour.io/upstream-protocol.foo of service "hand/good" is unknown: the protocols are "tls", "h2" and "h2c"`,
		`annotation projectcontour.io/upstream-protocol.tls of service "hand/good" names no port of it: "1"`,
		`annotation projectcontour.io/upstream-protocol.tls of service "hand/good" names no port of it: "nope"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("CheckService() -want, +got:\n%s", diff)
	}
}
