package manifest

import (
	"fmt"
	"strings"
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

// list is what kubectl get -o yaml prints of so many objects.
func list(text string, items int) []byte {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nkind: List\nitems:\n")
	for i := range items {
		item := strings.ReplaceAll(strings.TrimSpace(text), "%d", fmt.Sprint(i))
		b.WriteString("- " + strings.ReplaceAll(item, "\n", "\n  ") + "\n")
	}
	return []byte(b.String())
}

// BenchmarkParseList is the cost of an item: it is the same in a long list.
func BenchmarkParseList(b *testing.B) {
	d := decoder(b)
	for _, items := range []int{100, 1000} {
		b.Run(fmt.Sprint(items), func(b *testing.B) {
			text := list(proxyText, items)
			for b.Loop() {
				if f := d.Parse(text); len(f.Objects) != items || f.Objects[items-1].Value == nil {
					b.Fatal(len(f.Objects), f.Problems)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*items), "ns/item")
		})
	}
}

// A list was parsed once more for each of its items, and for each thing that was
// wrong with them: a thousand objects as kubectl prints them took minutes.
func TestLongListIsParsedOnce(t *testing.T) {
	d := decoder(t)
	for name, text := range map[string]string{
		"accepted":   serviceText,
		"refused":    strings.ReplaceAll(serviceText, "targetPort", "targetPrt"),
		"not served": strings.ReplaceAll(serviceText, "kind: Service", "kind: Ingress"),
	} {
		t.Run(name, func(t *testing.T) {
			perItem := func(items int) float64 {
				text := list(text, items)
				return testing.AllocsPerRun(1, func() {
					if f := d.Parse(text); len(f.Objects)+len(f.Problems) != items {
						t.Fatalf("%d objects and %d problems of %d items", len(f.Objects), len(f.Problems), items)
					}
				}) / float64(items)
			}
			if few, many := perItem(10), perItem(80); many > 1.5*few {
				t.Errorf("an item of 80 costs %.0f allocations, one of 10 costs %.0f", many, few)
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
