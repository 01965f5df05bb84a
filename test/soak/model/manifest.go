package model

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// object holds the fields of all kinds that the model knows.
type object struct {
	// shut says that every route of it is closed, whatever it says.
	shut bool

	Kind     string `json:"kind"`
	Type     string `json:"type"`
	Metadata struct {
		Name, Namespace     string
		Labels, Annotations map[string]string
	} `json:"metadata"`
	Data      map[string]string `json:"data"`
	Endpoints []struct {
		Addresses []string `json:"addresses"`
	} `json:"endpoints"`
	Ports []struct {
		Name string `json:"name"`
		Port int    `json:"port"`
	} `json:"ports"`
	Spec struct {
		VirtualHost *struct {
			Fqdn string `json:"fqdn"`
			TLS  *struct {
				SecretName string `json:"secretName"`
			} `json:"tls"`
		} `json:"virtualhost"`
		Routes   []route `json:"routes"`
		Includes []struct {
			Name       string      `json:"name"`
			Namespace  string      `json:"namespace"`
			Conditions []condition `json:"conditions"`
		} `json:"includes"`
		Ports []struct {
			Name string `json:"name"`
			Port int    `json:"port"`
		} `json:"ports"`
		Delegations []struct {
			SecretName       string   `json:"secretName"`
			TargetNamespaces []string `json:"targetNamespaces"`
		} `json:"delegations"`
	} `json:"spec"`
}

type condition struct {
	Prefix string `json:"prefix"`
}

type route struct {
	Conditions     []condition `json:"conditions"`
	PermitInsecure bool        `json:"permitInsecure"`
	TimeoutPolicy  *struct {
		Response string `json:"response"`
	} `json:"timeoutPolicy"`
	Services []service `json:"services"`
}

type service struct {
	Name       string `json:"name"`
	Port       int    `json:"port"`
	Protocol   string `json:"protocol"`
	Validation *struct {
		CASecret     string   `json:"caSecret"`
		SubjectName  string   `json:"subjectName"`
		SubjectNames []string `json:"subjectNames"`
	} `json:"validation"`
}

// key names an object: kind, namespace, name.
type key [3]string

func (k key) String() string { return k[0] + " " + k[1] + "/" + k[2] }

func (o *object) key() key { return key{o.Kind, o.Metadata.Namespace, o.Metadata.Name} }

// parse reads the objects of a file. A document that is YAML and no object of its
// kind is left out: it hurts itself alone.
func parse(content string) ([]*object, error) {
	var out []*object
	for document := range strings.SplitSeq(content, "\n---\n") {
		if strings.TrimSpace(strings.TrimPrefix(document, "---\n")) == "" {
			continue
		}
		var anything any
		if err := yaml.Unmarshal([]byte(document), &anything); err != nil {
			return nil, fmt.Errorf("manifest: %w", err)
		}
		o := &object{}
		if yaml.Unmarshal([]byte(document), o) == nil {
			out = append(out, o)
		}
	}
	return out, nil
}

// Fingerprint is the hex SHA-256 of a certificate's DER bytes.
func Fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// value returns the decoded entry of a Secret; nil without one.
func (o *object) value(name string) []byte {
	b, err := base64.StdEncoding.DecodeString(o.Data[name])
	if err != nil {
		return nil
	}
	return b
}

// bundle returns the fingerprints of a CA Secret's certificates; false when it
// cannot be used.
func (o *object) bundle() ([]string, bool) {
	var out []string
	for rest := bytes.TrimSpace(o.value("ca.crt")); len(rest) > 0; rest = bytes.TrimSpace(rest) {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil || block.Type != "CERTIFICATE" {
			return nil, false
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return nil, false
		}
		out = append(out, Fingerprint(block.Bytes))
	}
	return out, len(out) > 0
}

// pair returns the fingerprint of a TLS Secret's certificate; false when it
// cannot be used.
func (o *object) pair() (string, bool) {
	pair, err := tls.X509KeyPair(o.value("tls.crt"), o.value("tls.key"))
	if err != nil {
		return "", false
	}
	return Fingerprint(pair.Certificate[0]), true
}

// delegates tells whether a TLSCertificateDelegation covers a Secret for a
// namespace.
func (o *object) delegates(secret, namespace string) bool {
	for _, d := range o.Spec.Delegations {
		if d.SecretName == secret && (slices.Contains(d.TargetNamespaces, namespace) || slices.Contains(d.TargetNamespaces, "*")) {
			return true
		}
	}
	return false
}

func prefixOf(c []condition) string {
	for _, x := range c {
		if x.Prefix != "" {
			return x.Prefix
		}
	}
	return "/"
}

// under tells whether a path is below a prefix, as whole segments or not: the
// paths of a soak do not tell these apart.
func under(path, prefix string) bool { return strings.HasPrefix(path, prefix) }
