package xds

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/url"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/signetproxy/signet/provisioner/certificate"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/ir"
)

// authority signs what certificate.Keeper would never sign.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t}
	a.cert, a.key = a.sign(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func (a *authority) sign(c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	c.NotBefore = time.Now().Add(-time.Hour)
	if c.NotAfter.IsZero() {
		c.NotAfter = time.Now().Add(time.Hour)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return out, key
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func (a *authority) leaf(uris ...string) tls.Certificate {
	a.t.Helper()
	return a.leafUntil(time.Now().Add(time.Hour), uris...)
}

func (a *authority) leafUntil(end time.Time, uris ...string) tls.Certificate {
	a.t.Helper()
	c := &x509.Certificate{
		NotAfter:    end,
		DNSNames:    []string{"xds.test"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, raw := range uris {
		u, err := url.Parse(raw)
		if err != nil {
			a.t.Fatal(err)
		}
		c.URIs = append(c.URIs, u)
	}
	cert, key := a.sign(c)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

// The TLS settings given to Serve are as weak as they can be: the server's own
// rules must hold.
func TestStrangersGetNothing(t *testing.T) {
	good := certificate.FleetURI(edge)
	ours, theirs := newAuthority(t), newAuthority(t)
	cases := map[string]struct {
		reason string
		client *tls.Config
		want   codes.Code
	}{
		"right":                {"the control: this one is served", &tls.Config{Certificates: []tls.Certificate{ours.leaf(good)}}, codes.OK},
		"no certificate":       {"a client must show who it is", &tls.Config{}, codes.Unavailable},
		"unknown authority":    {"anybody can sign a name", &tls.Config{Certificates: []tls.Certificate{theirs.leaf(good)}}, codes.Unavailable},
		"expired":              {"an identity has an end", &tls.Config{Certificates: []tls.Certificate{ours.leafUntil(time.Now().Add(-time.Minute), good)}}, codes.Unavailable},
		"TLS 1.2":              {"only TLS 1.3", &tls.Config{Certificates: []tls.Certificate{ours.leaf(good)}, MaxVersion: tls.VersionTLS12}, codes.Unavailable},
		"no URI":               {"a DNS name is no identity", &tls.Config{Certificates: []tls.Certificate{ours.leaf()}}, codes.PermissionDenied},
		"two URIs":             {"it must be clear which", &tls.Config{Certificates: []tls.Certificate{ours.leaf(good, good+"2")}}, codes.PermissionDenied},
		"another trust domain": {"", &tls.Config{Certificates: []tls.Certificate{ours.leaf("spiffe://example.com/fleet/prod/edge")}}, codes.PermissionDenied},
		"another path":         {"", &tls.Config{Certificates: []tls.Certificate{ours.leaf("spiffe://signetproxy.io/node/prod/edge")}}, codes.PermissionDenied},
		"longer path":          {"", &tls.Config{Certificates: []tls.Certificate{ours.leaf(good + "/x")}}, codes.PermissionDenied},
		"query":                {"", &tls.Config{Certificates: []tls.Certificate{ours.leaf(good + "?x=y")}}, codes.PermissionDenied},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			s := New(Options{Identity: certificate.ParseFleetURI})
			s.Publish(Update{Revision: 1, Fleets: []FleetUpdate{{Fleet: edge, Changed: world()}}})
			ctx, cancel := context.WithCancel(t.Context())
			served := make(chan error, 1)
			weak := &tls.Config{
				MinVersion: tls.VersionTLS10, ClientAuth: tls.NoClientCert,
				GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
					return &tls.Config{
						Certificates: []tls.Certificate{ours.leaf()}, NextProtos: []string{"h2"},
						ClientAuth: tls.RequestClientCert, ClientCAs: ours.pool(),
					}, nil
				},
			}
			go func() { served <- s.Serve(ctx, l, weak) }()
			t.Cleanup(func() {
				cancel()
				if err := <-served; err != nil {
					t.Errorf("Serve: %v", err)
				}
			})
			tc.client.RootCAs, tc.client.ServerName = ours.pool(), "xds.test"
			got, bytes := ask(t, l.Addr().String(), tc.client)
			if got != tc.want {
				t.Errorf("%s: code %v, want %v", tc.reason, got, tc.want)
			}
			if tc.want != codes.OK && bytes != 0 {
				t.Errorf("%s: the client was sent %d resources", tc.reason, bytes)
			}
			var sent uint64
			for i := range s.counters.byType {
				sent += s.counters.byType[i].responses.Load()
			}
			if (sent == 0) != (tc.want != codes.OK) {
				t.Errorf("%s: %d responses were sent", tc.reason, sent)
			}
		})
	}
}

// ask subscribes to clusters and returns how that ends and how many resources
// came.
func ask(t *testing.T, addr string, conf *tls.Config) (codes.Code, int) {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(credentials.NewTLS(conf)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	st, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		return status.Code(err), 0
	}
	// An error of Send is that of Recv.
	_ = st.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: string(envoy.ClusterType)})
	r, err := st.Recv()
	return status.Code(err), len(r.GetResources())
}

func TestAFleetSeesItselfAlone(t *testing.T) {
	h := serve(t, Options{})
	h.publish(1, world())
	other := ir.Name{Namespace: "prod", Name: "other"}
	h.Publish(Update{Revision: 2, Fleets: []FleetUpdate{{Fleet: other, Changed: list(secret("trust/own", "1"))}}})
	c := h.connect(t, other)
	// Node metadata claims to be of the fleet edge.
	c.node("edge")
	for _, typ := range []envoy.Type{envoy.ClusterType, envoy.ListenerType, envoy.ScopeType} {
		c.subscribe(typ, "*", "a", "http", "http|a")
	}
	c.want("clusters -a -http -http|a", "listeners -a -http -http|a", "scopes -a -http -http|a")
	c.subscribe(envoy.SecretType, "trust/own", "trust/a", "prod/edge/trust/a")
	c.want("secrets +trust/own", "secrets -prod/edge/trust/a -trust/a")
	c.subscribe(envoy.EndpointType, "svc/a", "*")
	c.want("endpoints -* -svc/a")
	h.publish(3, list(secret("trust/a", "2"), scope("http|a", "2")))
	c.silent()
}

func TestOnlyDeltaIsServed(t *testing.T) {
	h := serve(t, Options{})
	h.publish(1, world())
	c := h.connect(t, edge)
	st, err := discoveryv3.NewAggregatedDiscoveryServiceClient(c.conn).StreamAggregatedResources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Recv(); status.Code(err) != codes.Unimplemented {
		t.Errorf("state of the world: %v, want Unimplemented", err)
	}
}

func TestWithoutAParserNobodyIsServed(t *testing.T) {
	h := serve(t, Options{Identity: func(*url.URL) (ir.Name, error) { return ir.Name{}, errNoIdentity }})
	got, _ := ask(t, h.addr, h.identity(t, edge))
	if got != codes.PermissionDenied {
		t.Errorf("code %v, want PermissionDenied", got)
	}
	if n := h.counters.refused.identity.Load(); n != 1 {
		t.Errorf("%d refusals are counted, want 1", n)
	}
	if _, err := New(Options{}).opts.Identity(nil); err == nil {
		t.Error("a server without a parser knows a fleet")
	}
}
