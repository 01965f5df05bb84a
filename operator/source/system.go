package source

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"sync"
)

// systemBundles is where systems keep the certificates that they trust; the
// first that is there is used.
var systemBundles = []string{
	"/etc/ssl/certs/ca-certificates.crt",                // Debian, Alpine, distroless
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Fedora, RHEL
	"/etc/ssl/ca-bundle.pem",                            // SUSE
	"/etc/ssl/cert.pem",                                 // BSD, macOS
}

// SystemTrust are the certificates that the system trusts, as PEM; "" where it has
// none. They are read once: the system's certificates change with the system.
var SystemTrust = sync.OnceValue(func() string {
	for _, path := range systemBundles {
		if text, err := os.ReadFile(path); err == nil {
			return readable(text)
		}
	}
	return ""
})

// readable leaves out what is no certificate by Go's rules: one that a system
// has kept for old times' sake must not cost the trust in all others.
func readable(text []byte) string {
	var out bytes.Buffer
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return out.String()
		}
		if _, err := x509.ParseCertificate(block.Bytes); block.Type == "CERTIFICATE" && err == nil {
			out.Write(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}))
		}
	}
}
