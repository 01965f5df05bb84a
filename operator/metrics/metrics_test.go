package metrics

import (
	"fmt"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	contourv1 "github.com/projectcontour/contour/apis/projectcontour/v1"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/signetproxy/signet/operator/pipeline"
	"github.com/signetproxy/signet/operator/quarantine"
	"github.com/signetproxy/signet/operator/rollout"
	"github.com/signetproxy/signet/operator/source"
	"github.com/signetproxy/signet/operator/xds"
	"github.com/signetproxy/signet/test/pki"
	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/envoy"
	"github.com/signetproxy/signet/translator/httpproxy"
	"github.com/signetproxy/signet/translator/ir"
)

var local = ir.Name{Namespace: "signet", Name: "test"}

// sources are parts that have committed a revision of some objects.
func sources(t *testing.T, objects ...client.Object) Sources {
	t.Helper()
	s := Sources{
		Version: "v1.2.3", Rollout: rollout.New(rollout.Options{}), Quarantine: quarantine.New(quarantine.Options{}),
		XDS: xds.New(xds.Options{Identity: func(*url.URL) (ir.Name, error) { return local, nil }}),
	}
	s.Pipeline = pipeline.New(pipeline.Options{XDS: s.XDS, Rollout: s.Rollout, Fleet: translator.FleetSpec{
		Name: local, Selector: httpproxy.Selector{Fleet: local},
		Listeners: []ir.Listener{{Name: "http", Address: "127.0.0.1", Port: 8080}},
	}})
	s.Pipeline.Once(source.Batch{Changed: objects}, time.Now())
	// A fleet and an Envoy, for the metrics that have one series for each.
	s.XDS.Publish(xds.Update{Revision: 1, Fleets: []xds.FleetUpdate{{Fleet: local}}})
	s.Quarantine.OnNack(xds.Nack{Fleet: local, Type: envoy.ClusterType, Resources: []*envoy.Resource{{Type: envoy.ClusterType, Name: "c"}}})
	s.Rollout.OnJoin(xds.Stream{Fleet: local, ID: 1})
	return s
}

func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "default", Name: name}
}

// estate has one upstream of each kind and a route that fails closed.
func estate(t *testing.T) []client.Object {
	t.Helper()
	now := time.Now()
	early, err := pki.NewAuthorityAt("early", now.Add(-time.Hour), now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	late, err := pki.NewAuthorityAt("late", now.Add(-time.Hour), now.Add(48*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	tls := "tls"
	route := func(prefix, service string, tls *string, v *contourv1.UpstreamValidation) contourv1.Route {
		return contourv1.Route{
			Conditions: []contourv1.MatchCondition{{Prefix: prefix}},
			Services:   []contourv1.Service{{Name: service, Port: 443, Protocol: tls, UpstreamValidation: v}},
		}
	}
	return []client.Object{
		&corev1.Service{ObjectMeta: meta("b"), Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "web", Port: 443}}}},
		&corev1.Secret{ObjectMeta: meta("ca"), Type: corev1.SecretTypeOpaque, Data: map[string][]byte{"ca.crt": append(early.PEM(), late.PEM()...)}},
		&contourv1.HTTPProxy{ObjectMeta: meta("p"), Spec: contourv1.HTTPProxySpec{
			VirtualHost: &contourv1.VirtualHost{Fqdn: "a.test"},
			Routes: []contourv1.Route{
				route("/clear", "b", nil, nil),
				route("/again", "b", nil, nil),
				route("/any", "b", &tls, nil),
				route("/verified", "b", &tls, &contourv1.UpstreamValidation{CACertificate: "ca", SubjectName: "b.test"}),
				route("/broken", "b", &tls, &contourv1.UpstreamValidation{CACertificate: "none", SubjectName: "b.test"}),
			},
		}},
	}
}

// gathered lists the samples of gauges, as `name{a="b"} 1`.
func gathered(t *testing.T, r prometheus.Gatherer, names ...string) []string {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range families {
		if !slices.Contains(names, f.GetName()) {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			out = append(out, fmt.Sprintf("%s{%s} %g", f.GetName(), strings.Join(labels, ","), m.GetGauge().GetValue()))
		}
	}
	return out
}

func TestWhatIsServedIsCounted(t *testing.T) {
	now := time.Now()
	s := sources(t, estate(t)...)
	s.Now = func() time.Time { return now }
	r := Registry(s)
	want := []string{
		`signet_hosts{fleet="test",namespace="signet"} 1`,
		`signet_routes{fleet="test",namespace="signet"} 5`,
		`signet_routes_fail_closed{fleet="test",namespace="signet"} 1`,
		`signet_upstreams{fleet="test",namespace="signet",verification="cleartext"} 1`,
		`signet_upstreams{fleet="test",namespace="signet",verification="unverified"} 1`,
		`signet_upstreams{fleet="test",namespace="signet",verification="verified"} 1`,
	}
	names := []string{hostsName, routesName, failClosedName, upstreamsName}
	if diff := cmp.Diff(want, gathered(t, r, names...)); diff != "" {
		t.Errorf("(-want, +got):\n%s", diff)
	}
	// The later of the two authorities counts, and the next revision is seen.
	lines := gathered(t, r, certificateName)
	expiry := regexp.MustCompile(`^signet_certificate_expires_seconds\{kind="Secret",name="ca",namespace="default",use="trust"\} 172[78]\d\d(\.\d+)?$`)
	if len(lines) != 1 || !expiry.MatchString(lines[0]) {
		t.Errorf("expiries: %q, want one of 48 h", lines)
	}
	s.Pipeline.Once(source.Batch{Deleted: []source.Key{key("HTTPProxy", "p")}}, now)
	want = []string{
		`signet_hosts{fleet="test",namespace="signet"} 0`,
		`signet_routes{fleet="test",namespace="signet"} 0`,
		`signet_routes_fail_closed{fleet="test",namespace="signet"} 0`,
		`signet_upstreams{fleet="test",namespace="signet",verification="cleartext"} 0`,
		`signet_upstreams{fleet="test",namespace="signet",verification="unverified"} 0`,
		`signet_upstreams{fleet="test",namespace="signet",verification="verified"} 0`,
	}
	if diff := cmp.Diff(want, gathered(t, r, append(names, certificateName)...)); diff != "" {
		t.Errorf("after the proxy is gone (-want, +got):\n%s", diff)
	}
}

func key(kind, name string) source.Key {
	return source.Key{Kind: kind, Namespace: "default", Name: name}
}

// documented is a row of the table in docs/metrics.md.
type documented struct {
	Type   string
	Labels []string
}

// The documentation and the registry name the same metrics, of the same types
// and with the same labels.
func TestEveryMetricIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	docs := map[string]documented{}
	row := regexp.MustCompile("(?m)^\\| `(signet_[a-z_]+)` \\| ([a-z]+)[^|]*\\|([^|]*)\\| ([^|]+) \\| ([^|]+) \\|")
	label := regexp.MustCompile("`([a-z_]+)`")
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		d := documented{Type: m[2], Labels: []string{}}
		// Values of labels stand in parentheses.
		for _, l := range label.FindAllStringSubmatch(regexp.MustCompile(`\([^)]*\)`).ReplaceAllString(m[3], ""), -1) {
			d.Labels = append(d.Labels, l[1])
		}
		slices.Sort(d.Labels)
		if _, twice := docs[m[1]]; twice {
			t.Errorf("%s is documented twice", m[1])
		}
		docs[m[1]] = d
	}

	s := sources(t, estate(t)...)
	families, err := Registry(s).Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]documented{}
	for name, l := range described(s) { // what has no sample here is of the type that the docs say
		found[name] = documented{Type: docs[name].Type, Labels: l}
	}
	for _, f := range families {
		if name := f.GetName(); strings.HasPrefix(name, "signet_") {
			found[name] = documented{Type: strings.ToLower(f.GetType().String()), Labels: labels(f.GetMetric()[0])}
			if f.GetHelp() == "" {
				t.Errorf("%s has no help text", name)
			}
		}
	}
	if diff := cmp.Diff(found, docs); diff != "" {
		t.Errorf("docs/metrics.md differs from the registry (-registry, +docs):\n%s", diff)
	}
}

func labels(m *dto.Metric) []string {
	out := make([]string, 0, len(m.GetLabel()))
	for _, l := range m.GetLabel() {
		out = append(out, l.GetName())
	}
	slices.Sort(out)
	return out
}

// described are the labels of each metric, with or without a sample.
func described(s Sources) map[string][]string {
	s.Now = time.Now
	to := make(chan *prometheus.Desc)
	go func() {
		defer close(to)
		for _, c := range Collectors(s) {
			c.Describe(to)
		}
	}()
	desc := regexp.MustCompile(`fqName: "([^"]+)".*constLabels: \{(.*?)\}, variableLabels: \{(.*?)\}`)
	value := regexp.MustCompile(`="[^"]*"`)
	out := map[string][]string{}
	for d := range to {
		m := desc.FindStringSubmatch(d.String())
		l := strings.FieldsFunc(value.ReplaceAllString(m[2], "")+","+m[3], func(r rune) bool { return r == ',' })
		slices.Sort(l)
		out[m[1]] = append([]string{}, l...)
	}
	return out
}
