package upstream

import (
	"testing"

	"github.com/signetproxy/signet/translator/ir"
)

// A verified upstream, decided and finished: what every route pays.
func BenchmarkDecideFinish(b *testing.B) {
	o := holding(good(annotate("upstream-protocol.tls", "https,443", "max-requests", "100")))
	r := to(443, validate("a.example", "b.example"))
	tls, _ := FleetTLS(FleetSettings{ClientCertificate: &pairRef.Name}, o)
	fleet := ir.Fleet{Upstream: tls}
	b.ReportAllocs()
	for b.Loop() {
		u, p := Decide(o, r)
		if p != nil {
			b.Fatal(p)
		}
		if _, p = Finish(u, &fleet); p != nil {
			b.Fatal(p)
		}
	}
}

var sink *ir.TrustBundle

// A bundle of the size of a public trust store.
func BenchmarkParseTrust150(b *testing.B) {
	text := ""
	for range 150 {
		text += newCA(b, "ca").pem()
	}
	s := opaque(keyCA, text)
	b.ReportAllocs()
	for b.Loop() {
		var p *Problem
		if sink, p = ParseTrust(trustRef, s, nil, now); p != nil {
			b.Fatal(p)
		}
	}
}
