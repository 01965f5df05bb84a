package bootstrap

import (
	"path/filepath"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/types/known/anypb"
)

// The names of the two secrets in their files and in the bootstrap.
const (
	identityName = "identity"
	trustName    = "trust"
)

// Identity renders the content of [IdentityFile] with the certificate and the
// key, both PEM, in it: so that one rename replaces both at once. The result is
// as secret as the key.
func Identity(certificate, key []byte) ([]byte, error) {
	return secret(identity(inline(certificate), inline(key), nil))
}

// Trust renders the content of [TrustFile] with PEM authorities in it.
func Trust(authorities []byte) ([]byte, error) {
	return secret(trust(inline(authorities), nil))
}

// IdentityOf renders the content of [IdentityFile] that refers to the files
// tls.crt and tls.key of a folder, as a Secret is mounted. Envoy reads them
// again when something in the folder is renamed.
func IdentityOf(folder string) ([]byte, error) {
	return secret(identity(file(folder, "tls.crt"), file(folder, "tls.key"), &corev3.WatchedDirectory{Path: folder}))
}

// TrustOf renders the content of [TrustFile] that refers to the file ca.crt of
// a folder, as a Secret is mounted.
func TrustOf(folder string) ([]byte, error) {
	return secret(trust(file(folder, "ca.crt"), &corev3.WatchedDirectory{Path: folder}))
}

func identity(certificate, key *corev3.DataSource, watched *corev3.WatchedDirectory) *tlsv3.Secret {
	return &tlsv3.Secret{
		Name: identityName,
		Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
			CertificateChain: certificate, PrivateKey: key, WatchedDirectory: watched,
		}},
	}
}

func trust(authorities *corev3.DataSource, watched *corev3.WatchedDirectory) *tlsv3.Secret {
	return &tlsv3.Secret{
		Name: trustName,
		Type: &tlsv3.Secret_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{
			TrustedCa: authorities, WatchedDirectory: watched,
		}},
	}
}

func inline(pem []byte) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: string(pem)}}
}

func file(folder, name string) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: filepath.Join(folder, name)}}
}

func secret(s *tlsv3.Secret) ([]byte, error) {
	resource, err := pack(s)
	if err != nil {
		return nil, err
	}
	return render(&discoveryv3.DiscoveryResponse{Resources: []*anypb.Any{resource}})
}
