package upstream

import (
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// What this package accepts a real Envoy accepts, and what it refuses as a
// weak key or an unknown name a real Envoy refuses too.

func TestEnvoyTakesWhatIsAccepted(t *testing.T) {
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	big, err := rsa.GenerateKey(rand.Reader, minRSA)
	if err != nil {
		t.Fatal(err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	var contexts []map[string]any
	for _, c := range cipherNames {
		contexts = append(contexts, tlsParams("cipher_suites", c))
	}
	contexts = append(contexts, tlsParams("cipher_suites", defaultCiphers...), tlsParams("ecdh_curves", curveNames...))
	for _, c := range curveNames {
		contexts = append(contexts, tlsParams("ecdh_curves", c))
	}
	for _, a := range []authority{
		selfSigned(t, newKey(t, elliptic.P256()), template("p256")), selfSigned(t, newKey(t, elliptic.P384()), template("p384")),
		selfSigned(t, newKey(t, elliptic.P521()), template("p521")), selfSigned(t, edwards, template("ed25519")), selfSigned(t, big, template("rsa")),
	} {
		k, p := ParseKeyPair(pairRef, opaque(crt, "text\n"+a.pem(), key, a.keyPEM(t)), now)
		if p != nil {
			t.Fatal(p)
		}
		contexts = append(contexts, tlsCertificate(string(k.Chain), string(k.Key)))
	}
	ca := newCA(t, "ca")
	text := "text\r\n"
	for _, a := range []authority{ca, newCA(t, "old", expired), selfSigned(t, newKey(t, elliptic.P256()), template("leaf")),
		selfSigned(t, small, template("weak", isCA)), selfSigned(t, newKey(t, elliptic.P224()), template("p224", isCA)), ca} {
		text += "text\n" + a.pem()
	}
	b, p := ParseTrust(trustRef, opaque(keyCA, text, keyCRL, ca.crl(t, ca.key, now.Add(-time.Hour), now.Add(time.Hour))), nil, now)
	if p != nil {
		t.Fatal(p)
	}
	contexts = append(contexts, map[string]any{"validation_context": map[string]any{
		"trusted_ca": inline(string(b.PEM)), "crl": inline(string(b.CRL)),
	}})
	if out, err := envoyValidates(t, contexts...); err != nil {
		t.Errorf("Envoy: %v\n%s", err, out)
	}
}

func TestEnvoyRefusesWhatIsRefused(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weak := selfSigned(t, small, template("weak"))
	p224 := selfSigned(t, newKey(t, elliptic.P224()), template("p224"))
	other := newCA(t, "other")
	cases := map[string]struct {
		reason  string
		context map[string]any
	}{
		"RSA":      {reason: "WeakKey", context: tlsCertificate(weak.pem(), weak.keyPEM(t))},
		"P224":     {reason: "WeakKey", context: tlsCertificate(p224.pem(), p224.keyPEM(t))},
		"Mismatch": {reason: "KeyMismatch", context: tlsCertificate(other.pem(), newCA(t, "another").keyPEM(t))},
		"Cipher":   {reason: "CiphersInvalid", context: tlsParams("cipher_suites", "RC4")},
		"Group":    {reason: "CiphersInvalid", context: tlsParams("cipher_suites", "[]")},
		"Curve":    {reason: "CurvesInvalid", context: tlsParams("ecdh_curves", "P-224")},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if out, err := envoyValidates(t, tc.context); err == nil {
				t.Errorf("Envoy takes what is refused as %s:\n%s", tc.reason, out)
			}
		})
	}
}

func inline(s string) map[string]any { return map[string]any{"inline_string": s} }

func tlsParams(field string, values ...string) map[string]any {
	return map[string]any{"tls_params": map[string]any{field: values}}
}

func tlsCertificate(chain, private string) map[string]any {
	return map[string]any{"tls_certificates": []any{
		map[string]any{"certificate_chain": inline(chain), "private_key": inline(private)},
	}}
}

// envoyValidates asks Envoy about clusters with these CommonTlsContexts.
func envoyValidates(t *testing.T, contexts ...map[string]any) (string, error) {
	t.Helper()
	var clusters []any
	for i, c := range contexts {
		name := fmt.Sprintf("cluster-%d", i)
		clusters = append(clusters, map[string]any{
			"name": name, "type": "STATIC", "load_assignment": map[string]any{"cluster_name": name},
			"transport_socket": map[string]any{"name": "tls", "typed_config": map[string]any{
				"@type":              "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
				"common_tls_context": c,
			}},
		})
	}
	config, err := json.Marshal(map[string]any{"static_resources": map[string]any{"clusters": clusters}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "envoy.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), envoyPath(t), "--mode", "validate", "-l", "error", "-c", file).CombinedOutput()
	return string(out), err
}

func envoyPath(t *testing.T) string {
	t.Helper()
	path := os.Getenv("SIGNET_ENVOY")
	if path == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatalf("no cache folder: %v", err)
		}
		path = filepath.Join(cache, "signet", "tools", "envoy-1.40.0", "envoy")
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("no Envoy at %s: run `make tools` or set SIGNET_ENVOY", path)
	}
	return path
}
