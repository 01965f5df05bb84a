package manifest

import (
	"fmt"
	"testing"
)

const proxyText = `apiVersion: projectcontour.io/v1
kind: HTTPProxy
metadata:
  name: web-%d
  namespace: shop
spec:
  virtualhost:
    fqdn: web-%d.example.com
  routes:
  - conditions:
    - prefix: /
    services:
    - name: web
      port: 443
      protocol: tls
      validation:
        caSecret: backend-ca
        subjectName: web.example.com
`

const serviceText = `apiVersion: v1
kind: Service
metadata:
  name: web-%d
  annotations:
    projectcontour.io/upstream-protocol.tls: "443"
spec:
  ports:
  - {name: https, port: 443, targetPort: 8443}
`

// BenchmarkParse is the cost of one document: it bounds the first read of a
// folder.
func BenchmarkParse(b *testing.B) {
	d, err := NewDecoder()
	if err != nil {
		b.Fatal(err)
	}
	for name, text := range map[string]string{"HTTPProxy": fmt.Sprintf(proxyText, 1, 1), "Service": fmt.Sprintf(serviceText, 1)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if f := d.Parse([]byte(text)); len(f.Objects) != 1 || f.Objects[0].Value == nil {
					b.Fatal(f.Objects, f.Problems)
				}
			}
		})
	}
}

// BenchmarkNewDecoder is the cost of the schemas: it is paid once at start.
func BenchmarkNewDecoder(b *testing.B) {
	for b.Loop() {
		if _, err := NewDecoder(); err != nil {
			b.Fatal(err)
		}
	}
}
