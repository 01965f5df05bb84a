module github.com/signetproxy/signet/test/conformance

go 1.27.0

require (
	github.com/signetproxy/signet v0.0.0
	sigs.k8s.io/gateway-api v1.7.0
	sigs.k8s.io/gateway-api/conformance v1.7.0
)

// The repository around this module.
replace github.com/signetproxy/signet => ../..

// The suite asks for v0.2.0, which the proxy does not hand out. What it takes from
// it (the protocols of the echo servers) is the same in v0.1.0.
replace sigs.k8s.io/gateway-api-conformance-images => sigs.k8s.io/gateway-api-conformance-images v0.1.0

tool sigs.k8s.io/gateway-api-conformance-images/echo-basic
