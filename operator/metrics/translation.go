package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signetproxy/signet/translator"
	"github.com/signetproxy/signet/translator/graph"
	"github.com/signetproxy/signet/translator/ir"
)

// Names of the metrics; docs/metrics.md explains them.
const (
	buildName       = "signet_build_info"
	rowsName        = "signet_graph_rows"
	withheldName    = "signet_graph_withheld"
	computedName    = "signet_graph_computed"
	hostsName       = "signet_hosts"
	routesName      = "signet_routes"
	failClosedName  = "signet_routes_fail_closed"
	upstreamsName   = "signet_upstreams"
	certificateName = "signet_certificate_expires_seconds"
)

// Values of the label "verification" of an upstream.
const (
	cleartext  = "cleartext"
	verified   = "verified"
	unverified = "unverified"
)

// Values of the label "use" of a certificate.
const (
	usePresented = "presented"
	useTrust     = "trust"
)

var (
	rowsDesc = prometheus.NewDesc(rowsName,
		"Rows of a table of the graph: objects of an input, or units.", []string{"table"}, nil)
	withheldDesc = prometheus.NewDesc(withheldName,
		"Units of a table that have no value because computing it failed.", []string{"table"}, nil)
	computedDesc = prometheus.NewDesc(computedName,
		"Units of a table that the last commit computed.", []string{"table"}, nil)
	hostsDesc = prometheus.NewDesc(hostsName,
		"Hosts that a fleet serves, on each listener.", []string{"namespace", "fleet"}, nil)
	routesDesc = prometheus.NewDesc(routesName,
		"Routes that a fleet serves, on each listener.", []string{"namespace", "fleet"}, nil)
	failClosedDesc = prometheus.NewDesc(failClosedName,
		"Routes of a fleet that refuse requests because they cannot be served as asked.", []string{"namespace", "fleet"}, nil)
	upstreamsDesc = prometheus.NewDesc(upstreamsName,
		"Distinct upstreams of a fleet, by whether they speak TLS and verify the backend's certificate.",
		[]string{"namespace", "fleet", "verification"}, nil)
	certificateDesc = prometheus.NewDesc(certificateName,
		"Time until a certificate in use expires; below 0 when it has.", []string{"use", "kind", "namespace", "name"}, nil)
)

// translation counts what the current revision holds, when it is asked.
type translation struct {
	translator *translator.Translator
	now        func() time.Time

	mu       sync.Mutex
	revision uint64 // that figures are of
	figures  map[ir.Name]translator.Figures
}

// Describe implements prometheus.Collector.
func (*translation) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		rowsDesc, withheldDesc, computedDesc, hostsDesc, routesDesc, failClosedDesc, upstreamsDesc, certificateDesc,
	} {
		to <- d
	}
}

// sink takes gauges.
type sink chan<- prometheus.Metric

func (s sink) gauge(d *prometheus.Desc, v float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

// Collect implements prometheus.Collector. It reads a committed revision: no
// commit waits for it.
func (t *translation) Collect(to chan<- prometheus.Metric) {
	rev := t.translator.Current()
	s := sink(to)
	for _, x := range rev.Stats() {
		s.gauge(rowsDesc, float64(x.Rows), x.Name)
		if x.Unit {
			s.gauge(withheldDesc, float64(x.Withheld), x.Name)
			s.gauge(computedDesc, float64(x.Computed), x.Name)
		}
	}
	for fleet, f := range t.count(rev) {
		ns, name := fleet.Namespace, fleet.Name
		s.gauge(hostsDesc, float64(f.Hosts), ns, name)
		s.gauge(routesDesc, float64(f.Routes), ns, name)
		s.gauge(failClosedDesc, float64(f.FailClosed), ns, name)
		s.gauge(upstreamsDesc, float64(f.Upstreams-f.TLS), ns, name, cleartext)
		s.gauge(upstreamsDesc, float64(f.TLS-f.Unverified), ns, name, verified)
		s.gauge(upstreamsDesc, float64(f.Unverified), ns, name, unverified)
	}
	t.certificates(s, rev)
}

// count walks a revision once.
func (t *translation) count(rev *graph.Revision) map[ir.Name]translator.Figures {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.figures == nil || t.revision != rev.Number() {
		t.revision, t.figures = rev.Number(), t.translator.Figures(rev)
	}
	return t.figures
}

// certificates are those that an object refers to. Of a bundle the last
// authority to expire counts: with it nothing can be verified any more.
func (t *translation) certificates(s sink, rev *graph.Revision) {
	now, r := t.now(), rev.Reader()
	for ref, k := range t.translator.KeyPairs.All(r) {
		if k.Value != nil {
			s.gauge(certificateDesc, k.Value.NotAfter.Sub(now).Seconds(), usePresented, string(ir.TrustSecret), ref.Namespace, ref.Name.Name)
		}
	}
	for ref, b := range t.translator.Trust.All(r) {
		if b.Value == nil {
			continue
		}
		var last time.Time
		for _, a := range b.Value.CAs {
			if a.NotAfter.After(last) {
				last = a.NotAfter
			}
		}
		if !last.IsZero() {
			s.gauge(certificateDesc, last.Sub(now).Seconds(), useTrust, string(ref.Kind), ref.Namespace, ref.Name.Name)
		}
	}
}
