package world

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/signetproxy/signet/test/backend"
)

// Service returns a Service with one port, and an EndpointSlice that holds the
// backends' addresses. The port is named "web".
func Service(namespace, name string, port int, annotations map[string]string, backends ...*backend.Backend) string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: v1\nkind: Service\nmetadata:\n  name: %s\n  namespace: %s\n", name, namespace)
	if len(annotations) > 0 {
		b.WriteString("  annotations:\n")
		for _, k := range sortedKeys(annotations) {
			fmt.Fprintf(&b, "    %s: %q\n", k, annotations[k])
		}
	}
	fmt.Fprintf(&b, "spec:\n  ports:\n  - name: web\n    port: %d\n", port)
	return b.String() + "---\n" + Endpoints(namespace, name, backends...)
}

// Endpoints returns the EndpointSlices of a Service whose port is named "web":
// one for each backend, since their target ports differ.
func Endpoints(namespace, service string, backends ...*backend.Backend) string {
	var b strings.Builder
	for _, be := range backends {
		fmt.Fprintf(&b, `apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: %s-%d
  namespace: %s
  labels:
    kubernetes.io/service-name: %s
addressType: IPv4
endpoints:
- addresses: [%q]
ports:
- name: web
  port: %d
  protocol: TCP
---
`, service, be.Port(), namespace, service, be.Address().IP, be.Port())
	}
	return b.String()
}

// Secret returns a Secret with the given data.
func Secret(namespace, name, kind string, data map[string]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: v1\nkind: Secret\ntype: %s\nmetadata:\n  name: %s\n  namespace: %s\ndata:\n", kind, name, namespace)
	for _, k := range sortedKeys(data) {
		fmt.Fprintf(&b, "  %s: %s\n", k, base64.StdEncoding.EncodeToString([]byte(data[k])))
	}
	return b.String()
}

// CA returns an Opaque Secret with the bundle under ca.crt.
func CA(namespace, name string, bundle ...[]byte) string {
	var all []byte
	for _, p := range bundle {
		all = append(all, p...)
	}
	return Secret(namespace, name, "Opaque", map[string]string{"ca.crt": string(all)})
}

// Proxy returns an HTTPProxy with the given virtual host and body, both YAML
// that is indented as below spec.
func Proxy(namespace, name, fqdn, body string) string {
	head := fmt.Sprintf("apiVersion: projectcontour.io/v1\nkind: HTTPProxy\nmetadata:\n  name: %s\n  namespace: %s\nspec:\n", name, namespace)
	if fqdn != "" {
		head += fmt.Sprintf("  virtualhost:\n    fqdn: %q\n", fqdn)
	}
	return head + indent(body, "  ")
}

// Validated returns a route's service entry with a validation block.
func Validated(service string, port int, protocol, caSecret string, names ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "- name: %s\n  port: %d\n", service, port)
	if protocol != "" {
		fmt.Fprintf(&b, "  protocol: %s\n", protocol)
	}
	fmt.Fprintf(&b, "  validation:\n    caSecret: %s\n    subjectName: %s\n", caSecret, names[0])
	if len(names) > 1 {
		fmt.Fprintf(&b, "    subjectNames: [%s]\n", strings.Join(names, ", "))
	}
	return b.String()
}

// Plain returns a route's service entry without validation.
func Plain(service string, port int, protocol string) string {
	out := fmt.Sprintf("- name: %s\n  port: %d\n", service, port)
	if protocol != "" {
		out += "  protocol: " + protocol + "\n"
	}
	return out
}

// Route returns a route with a prefix and service entries.
func Route(prefix string, services ...string) string {
	return fmt.Sprintf("- conditions:\n  - prefix: %s\n  services:\n%s", prefix, indent(strings.Join(services, ""), "  "))
}

// Routes returns the routes block of an HTTPProxy.
func Routes(routes ...string) string { return "routes:\n" + strings.Join(routes, "") }

// All joins documents.
func All(documents ...string) string { return strings.Join(documents, "---\n") }

func indent(s, by string) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return by + strings.Join(lines, "\n"+by) + "\n"
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
